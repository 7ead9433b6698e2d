"""One group of views on a GPU, after which object and probe move: what rPIE and LSQ-ML share.

What a group does is kernels and transforms alone, in memory that is there before: so it can be recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcdaas.backend.cuda_device import F32, F64, I32, Device, tiles
from hpcdaas.backend.cuda_pieces import Fields, Misfits, Piece, Placed, Windows
from hpcdaas.backend.views import Beside, LsqStep, Misfit, PieStep, Sums

if TYPE_CHECKING:
    from hpcdaas.backend.cuda_views import CudaViews


@dataclass(frozen=True)
class Room:
    """What groups work in on the device, one after the other.

    Attributes
    ----------
    object, weight, probe, probe_weight
        Sums as in `hpcdaas.backend.views.Sums`, those that are wanted; written anew where the group's views are.
    touched : array, (tile,), uint8
        Where object and weight were written.
    largest, probe_largest : array, (tile,) and (block,), float32
        The largest weights there.
    light, probe_light : array, (1,), float32
        The largest of all.
    misfits : Misfits
    products : array, (view and tile, 5), float32
    found : array, (view, 2), float64
        Best steps.
    along : array, (2,), float64
        The group's.
    misfit, steps : array, (3,) and (2,), float64
        Sums over all groups.
    changes : int
        Bytes that χ of the group may take.
    """

    object: Any
    weight: Any
    probe: Any
    probe_weight: Any
    touched: Any
    largest: Any
    probe_largest: Any
    light: Any
    probe_light: Any
    misfits: Misfits
    products: Any
    found: Any
    along: Any
    misfit: Any
    steps: Any
    changes: int

    @classmethod
    def make(cls, views: CudaViews, fields: Fields, most: int, object_: bool, probe: bool, weight: bool = True) -> Room:
        """Make room for groups of up to `most` views; `weight`: for the probe's."""
        device, edge = views.device, fields.probe.shape[-1]
        spots = (tiles(fields.shape[0]) + 1) * (tiles(fields.shape[1]) + 1)
        return cls(
            device.zeros(fields.object.shape, np.complex64) if object_ else None,
            device.zeros(fields.shape, F32) if object_ else None,
            device.zeros(fields.probe.shape, np.complex64) if probe else None,
            device.zeros((edge, edge), F32) if probe and weight else None,
            device.zeros(spots, np.uint8),
            device.zeros(spots, F32),
            device.zeros(tiles(edge) * edge, F32),
            device.zeros(1, F32),
            device.zeros(1, F32),
            Misfits(device, most, edge),
            device.empty((most * tiles(edge) ** 2, 5), F32),
            device.empty((most, 2), F64),
            device.zeros(2, F64),
            device.zeros(3, F64),
            device.zeros(2, F64),
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

    def total_misfit(self) -> Misfit:
        """Say the sum over all groups; waits for the device."""
        return Misfit(*self.misfit.tolist())


def clear(*sums: Any) -> None:
    """Let sums, those that there are, begin."""
    for array in sums:
        if array is not None:
            array.fill(0)


class Group:
    """One group.

    Parameters
    ----------
    views : CudaViews
    fields : Fields
        They move.
    room : Room
    own : Placed
        Its views.
    number : int
        Of the group.
    beside : Beside or None
        The other ranks.
    """

    def __init__(
        self, views: CudaViews, fields: Fields, room: Room, own: Placed, number: int, beside: Beside | None
    ) -> None:
        self._views, self._fields, self._room, self._own = views, fields, room, own
        self._number, self._beside = number, beside
        self._device: Device = views.device
        self._windows = self._all_windows(own)
        self._kept: list[tuple[Piece, Any]] | None = None

    def pie(self, step: PieStep) -> None:
        """Let object and probe move as rPIE does."""
        self._collect()
        self._complete()
        room, fields = self._room, self._fields
        if step.object_step:
            how = F32(step.object_alpha), None, F32(step.object_step)
            self._move(fields.object, room.object, room.weight, room.light, *how)
        if step.probe_step:
            if self._kept is not None and self._beside is None:
                self._largest(room.probe_largest, room.probe_light)
            else:
                room.probe_light[...] = self._device.xp.max(room.probe_weight)
            how = F32(step.probe_alpha), None, F32(step.probe_step)
            self._move(fields.probe, room.probe, room.probe_weight, room.probe_light, *how)

    def lsq(self, step: LsqStep, sums: Sums | None) -> None:
        """Let object and probe move along their directions; with `sums` the object stays, and they get what it has."""
        count = self._beside.all[self._number] if self._beside else len(self._own)
        self._collect(1 / count)
        self._complete()
        self._direct(step.damping, sums)
        self._steps(step, 1 / count)
        if self._beside is not None:
            along = np.array(self._beside.steps(self._number, *self._room.along.tolist()), F64)
            self._room.along[...] = self._device.put(along)
        room, fields, how = self._room, self._fields, (None, None, F32(0))
        if step.move_object and sums is None:
            self._move(fields.object, room.object, *how, room.along[:1], F32(1))
        if step.move_probe:
            self._move(fields.probe, room.probe, *how, room.along[1:], F32(1))

    def _collect(self, factor: float = 1.0) -> None:
        """Make χ and sums of its views; those of the probe times a factor."""
        self._room.misfits.begin()
        if self._views.fits(len(self._own), self._room):
            self._keep(factor)
        else:
            self._pass_by(factor)
        self._room.misfits.add_to(self._room.misfit)

    def _keep(self, factor: float) -> None:
        """Keep χ of all views: the sums are written at once."""
        views, room, fields = self._views, self._room, self._fields
        chi, done, self._kept = views.work(len(self._own)), 0, []
        if not len(self._own):  # all are other ranks'
            clear(room.probe, room.probe_weight)
        for piece in views.pieces(self._own):
            part = chi[done : done + len(piece)]
            views.changes(piece, fields, "amplitude", part, room.misfits)
            self._kept.append((piece, part))
            done += len(piece)
        views.add_object(self._windows, fields, chi, None, room.on_object, fresh=room)
        views.add_probe(self._windows, fields, chi, None, room.on_probe, factor, fresh=room)
        if room.weight is not None:
            self._largest(room.largest[: self._windows.box[2] * self._windows.box[3]], room.light)

    def _pass_by(self, factor: float) -> None:
        """Add up χ a piece at a time: where the group has more views than there is memory for."""
        views, room, fields = self._views, self._room, self._fields
        clear(room.object, room.weight, room.probe, room.probe_weight)
        for piece in views.pieces(self._own):
            chi = views.work(len(piece))
            views.changes(piece, fields, "amplitude", chi, room.misfits)
            views.add_object(piece.windows, fields, chi, None, room.on_object)
            views.add_probe(piece.windows, fields, chi, None, room.on_probe, factor)
        if self._beside:
            near = replace(self._windows, corners=self._windows.corners[len(self._own) :], views=0)
            views.add_object(near, fields, None, None, Sums(None, room.weight))
        room.touched.fill(1)
        if room.weight is not None:
            room.light[...] = self._device.xp.max(room.weight)

    def _all_windows(self, own: Placed) -> Windows:
        n = self._views.setup.n
        if self._beside is None:
            return own.windows(n)
        a, b = self._beside.bounds[self._number : self._number + 2]
        corners = np.concatenate([own.batch.corners, self._beside.near[a:b]])
        return Windows.make(self._device, corners, n, own.shape, len(own))

    def _complete(self) -> None:
        """Complete the sums with what other ranks have of the group."""
        if self._beside is None:
            return
        room, light = self._room, float(self._room.light.tolist()[0])
        room.light.fill(self._beside.sums(self._number, room.object, room.probe, room.probe_weight, light))

    def _largest(self, numbers: Any, out: Any) -> None:
        self._device.launch(self._device.kernel("largest"), (1,), numbers, I32(len(numbers)), out)

    def _move(self, field: Any, delta: Any, weight: Any, light: Any, alpha: Any, along: Any, step: Any) -> None:
        on_object = field is self._fields.object
        top, left, down, across = self._windows.box if on_object else (0, 0, *(tiles(n) for n in field.shape[1:]))
        if not down or not across:
            return
        self._device.launch(
            self._device.kernel("move"), (across, down), field, delta, *(I32(size) for size in field.shape), I32(top),
            I32(left), self._room.touched if on_object else None, weight, light, alpha, along, step,
        )  # fmt: skip

    def _direct(self, damping: float, sums: Sums | None) -> None:
        """Make the object's sum its direction; `sums` gets what it was."""
        top, left, down, across = self._windows.box
        room = self._room
        if room.object is None or not down or not across:
            return
        total = (sums.object, sums.weight) if sums is not None else (None, None)
        self._device.launch(
            self._device.kernel("direction"), (across, down), room.object, room.weight, room.light, F32(damping),
            *(I32(size) for size in room.object.shape), I32(top), I32(left), room.touched, *total,
        )  # fmt: skip

    def _steps(self, step: LsqStep, factor: float) -> None:
        """Find the best steps of its views: their sum goes to that of all groups, and times a factor to its own."""
        n, fields, room, done = self._views.setup.n, self._fields, self._room, 0
        spots = tiles(n) ** 2
        moves = (room.object if step.move_object else None, room.probe if step.move_probe else None)
        for piece, chi in self._changes():
            count = len(piece)
            self._views.launch(
                "products", count, chi, piece.windows.corners, *fields.object_arguments(), fields.probe, *moves,
                I32(n), room.products,
            )  # fmt: skip
            self._device.launch(
                self._device.kernel("steps"), (-(-count // 256),), room.products, I32(count), I32(spots),
                F64(step.regularization), I32(step.move_object), I32(step.move_probe), room.found[done : done + count],
            )  # fmt: skip
            done += count
        sums = self._device.kernel("total", NUMBER="double", COLUMNS=2)
        self._device.launch(sums, (1,), room.found, I32(done), F64(factor), room.steps, room.along)

    def _changes(self) -> Iterator[tuple[Piece, Any]]:
        if self._kept is not None:
            yield from self._kept
            return
        for piece in self._views.pieces(self._own):
            chi = self._views.work(len(piece))
            known = Misfits(self._device, len(piece), self._views.setup.n)
            self._views.changes(piece, self._fields, "amplitude", chi, known)
            yield piece, chi
