"""One group of views on a GPU, after which object and probe move: what rPIE and LSQ-ML share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcdaas.backend.cuda_device import F32, F64, I32, Device, tiles
from hpcdaas.backend.cuda_pieces import Fields, Misfits, Piece, Placed, Windows
from hpcdaas.backend.views import Beside, LsqStep, Sums

if TYPE_CHECKING:
    from hpcdaas.backend.cuda_views import CudaViews


@dataclass
class Room:
    """The sums of one group on the device, those that are wanted; written anew where its views are.

    Attributes
    ----------
    object, weight, probe, probe_weight
        As in `hpcdaas.backend.views.Sums`.
    touched : array, (tile,), uint8
        Where object and weight were written.
    largest : array, (tile,), float32
        The largest weight there.
    changes : int
        Bytes that χ of the group may take.
    """

    object: Any
    weight: Any
    probe: Any
    probe_weight: Any
    touched: Any
    largest: Any
    changes: int

    @classmethod
    def make(cls, views: CudaViews, fields: Fields, object_: bool, probe: bool, weight: bool = True) -> Room:
        """Make room; `weight`: for the probe's."""
        device, edge = views._device, fields.probe.shape[-1]
        spots = (tiles(fields.shape[0]) + 1) * (tiles(fields.shape[1]) + 1)
        return cls(
            device.zeros(fields.object.shape, np.complex64) if object_ else None,
            device.zeros(fields.shape, F32) if object_ else None,
            device.zeros(fields.probe.shape, np.complex64) if probe else None,
            device.zeros((edge, edge), F32) if probe and weight else None,
            device.zeros(spots, np.uint8),
            device.zeros(spots, F32),
            views.room_for_changes(),
        )

    @property
    def on_object(self) -> Sums:
        """The sums on the object's grid."""
        return Sums(self.object, self.weight)

    @property
    def on_probe(self) -> Sums:
        """The sums on the probe's grid."""
        return Sums(None, None, self.probe, self.probe_weight)


class Group:
    """One group.

    Parameters
    ----------
    views : CudaViews
    fields : Fields
        They move.
    room : Room
    number : int
        Of the group.
    beside : Beside or None
        The other ranks.
    """

    def __init__(self, views: CudaViews, fields: Fields, room: Room, number: int, beside: Beside | None) -> None:
        self._views, self._fields, self._room, self._number, self._beside = views, fields, room, number, beside
        self._device: Device = views._device
        self._light = self._device.zeros(1, F32)
        self._kept: list[tuple[Piece, Any]] | None = None
        self._windows: Windows

    def collect(self, own: Placed, misfits: Misfits) -> None:
        """Make χ and sums of its views."""
        self._own, views, room = own, self._views, self._room
        self._windows = self._all_windows(own)
        for array in (room.probe, room.probe_weight):
            if array is not None:
                array.fill(0)
        if len(own) * views.wave_bytes <= room.changes:
            self._keep(own, misfits)
        else:
            self._pass_by(own, misfits)

    def _keep(self, own: Placed, misfits: Misfits) -> None:
        """Keep χ of all views: the sums are written at once."""
        views, room, fields = self._views, self._room, self._fields
        chi, done, self._kept = views.work(len(own)), 0, []
        for piece in views.pieces(own):
            part = chi[done : done + len(piece)]
            views.changes(piece, fields, "amplitude", part, misfits)
            self._kept.append((piece, part))
            done += len(piece)
        views.add_object(self._windows, fields, chi, None, room.on_object, fresh=room)
        views.add_probe(self._windows, fields, chi, None, room.on_probe)
        spots = self._windows.box[2] * self._windows.box[3]
        if spots and room.weight is not None:
            self._light = self._device.xp.max(room.largest[:spots], keepdims=True)

    def _pass_by(self, own: Placed, misfits: Misfits) -> None:
        """Add up χ a piece at a time: where the group has more views than there is memory for."""
        views, room, fields = self._views, self._room, self._fields
        for array in (room.object, room.weight):
            if array is not None:
                array.fill(0)
        for piece in views.pieces(own):
            chi = views.work(len(piece))
            views.changes(piece, fields, "amplitude", chi, misfits)
            views.add_object(piece.windows, fields, chi, None, room.on_object)
            views.add_probe(piece.windows, fields, chi, None, room.on_probe)
        if self._beside:
            near = replace(self._windows, corners=self._windows.corners[len(own) :], views=0)
            views.add_object(near, fields, None, None, Sums(None, room.weight))
        room.touched.fill(1)
        if room.weight is not None:
            self._light = self._device.xp.max(room.weight, keepdims=True)

    def _all_windows(self, own: Placed) -> Windows:
        n = self._views.setup.n
        if self._beside is None:
            return own.windows(n)
        a, b = self._beside.bounds[self._number : self._number + 2]
        corners = np.concatenate([own.batch.corners, self._beside.near[a:b]])
        return Windows.make(self._device, corners, n, own.shape, len(own))

    def complete(self) -> None:
        """Complete the sums with what other ranks have of the group."""
        if self._beside is None:
            return
        room, light = self._room, float(self._light.reshape(-1)[0])
        self._light.fill(self._beside.sums(self._number, room.object, room.probe, room.probe_weight, light))

    def complete_steps(self, along: Any) -> Any:
        """Add up what all ranks say of the steps, (2,) on the device."""
        if self._beside is None:
            return along
        return self._device.put(np.array(self._beside.steps(self._number, *along.tolist()), F64))

    def move_object(self, step: float, alpha: float) -> None:
        """Move as rPIE does."""
        self._move(self._fields.object, self._room.object, self._room.weight, self._light, F32(alpha), None, F32(step))

    def move_object_along(self, along: Any) -> None:
        """Move by a number of times its direction."""
        self._move(self._fields.object, self._room.object, None, None, F32(0), along, F32(1))

    def move_probe(self, step: float, alpha: float) -> None:
        """Move as rPIE does."""
        weight = self._room.probe_weight
        light = self._device.xp.max(weight, keepdims=True)
        self._move(self._fields.probe, self._room.probe, weight, light, F32(alpha), None, F32(step))

    def move_probe_along(self, along: Any) -> None:
        """Move by a number of times its direction."""
        self._move(self._fields.probe, self._room.probe, None, None, F32(0), along, F32(1))

    def _move(self, field: Any, delta: Any, weight: Any, light: Any, alpha: Any, along: Any, step: Any) -> None:
        on_object = field is self._fields.object
        top, left, down, across = self._windows.box if on_object else (0, 0, *(tiles(n) for n in field.shape[1:]))
        if not down or not across:
            return
        self._device.launch(
            self._device.kernel("move"), (across, down), field, delta, *(I32(size) for size in field.shape), I32(top),
            I32(left), self._room.touched if on_object else None, weight, light, alpha, along, step,
        )  # fmt: skip

    def direct(self, damping: float, sums: Sums | None) -> None:
        """Make the object's sum its direction; `sums` gets what it was."""
        top, left, down, across = self._windows.box
        room = self._room
        if room.object is None or not down or not across:
            return
        total = (sums.object, sums.weight) if sums is not None else (None, None)
        self._device.launch(
            self._device.kernel("direction"), (across, down), room.object, room.weight, self._light, F32(damping),
            *(I32(size) for size in room.object.shape), I32(top), I32(left), room.touched, *total,
        )  # fmt: skip

    def steps(self, step: LsqStep) -> Any:
        """Add up the best steps of its views, (2,) on the device."""
        total = self._device.zeros(2, F64)
        for piece, chi in self._changes():
            total += self._steps(piece, chi, step)
        return total

    def _changes(self) -> Any:
        if self._kept is not None:
            yield from self._kept
            return
        for piece in self._views.pieces(self._own):
            chi = self._views.work(len(piece))
            known = Misfits(self._device, len(piece), self._views.setup.n)
            self._views.changes(piece, self._fields, "amplitude", chi, known)
            yield piece, chi

    def _steps(self, piece: Piece, chi: Any, step: LsqStep) -> Any:
        n, fields, count = self._views.setup.n, self._fields, len(piece)
        spots = tiles(n) ** 2
        sums, found = self._device.empty((count * spots, 5), F32), self._device.empty((count, 2), F64)
        moves = (self._room.object if step.move_object else None, self._room.probe if step.move_probe else None)
        self._views.launch(
            "products",
            count,
            chi,
            piece.windows.corners,
            *fields.object_arguments(),
            fields.probe,
            *moves,
            I32(n),
            sums,
        )
        self._device.launch(
            self._device.kernel("steps"), (-(-count // 256),), sums, I32(count), I32(spots), F64(step.regularization),
            I32(step.move_object), I32(step.move_probe), found,
        )  # fmt: skip
        return found.sum(axis=0)
