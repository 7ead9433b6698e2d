"""The primitives of ptychography on a GPU: which kernels run in which order; they say themselves what they do.

Views go through in pieces whose waves fit into the device's cache, so that transforms and kernels find there what the
one before has left. Sums have a fixed order: the same call gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.cuda_device import F32, I32, Device, Lent, tiles
from hpcdaas.backend.cuda_groups import Group, Room
from hpcdaas.backend.cuda_memory import Memory
from hpcdaas.backend.cuda_pieces import Fields, Frames, Misfits, Piece, Placed, Windows, pieces
from hpcdaas.backend.cuda_recorded import Work, each_group, each_recorded
from hpcdaas.backend.cuda_touched import DeviceTouched
from hpcdaas.backend.views import (
    Batch,
    Beside,
    Complex64,
    Int32,
    LsqFound,
    LsqStep,
    Misfit,
    Noise,
    PieStep,
    Sums,
    Touched,
    ViewSetup,
)

#: Blocks along z that a launch may have, at most.
GRID = 65535
NOISES = ("amplitude", "gaussian", "poisson")


class CudaViews:
    """See `hpcdaas.backend.views.Views`. Arrays may be NumPy's, or the device's: these are worked on where they are.

    Parameters
    ----------
    device : Device
    setup : ViewSetup

    Attributes
    ----------
    device : Device
    """

    def __init__(self, device: Device, setup: ViewSetup) -> None:
        self.setup, self.device, self._memory = setup, device, Memory(device)
        self.modes = setup.probes * setup.objects
        self._macros = {"PROBES": setup.probes, "OBJECTS": setup.objects}
        self._good = device.put(np.ascontiguousarray(setup.good).astype(np.uint8))
        self._near = None if setup.near is None else device.put(np.ascontiguousarray(setup.near, np.complex64))
        self._limit = F32(min(setup.limit, float(np.finfo(np.float32).max)))
        self._frames = Frames(device, self._memory)
        self.wave_bytes = 8 * self.modes * setup.n**2
        self.at_once = min(max(1, device.cache // (2 * self.wave_bytes)), GRID // self.modes)
        self._waves = device.empty((0, self.modes, setup.n, setup.n), np.complex64)

    def put(self, array: NDArray[Any]) -> Any:
        """See `hpcdaas.backend.views.Views.put`."""
        return self._memory.put(array)

    def get(self, array: Any) -> NDArray[Any]:
        """See `hpcdaas.backend.views.Views.get`."""
        return self._memory.get(array)

    def reserve(self, size: int) -> None:
        """See `hpcdaas.backend.views.Views.reserve`."""
        self._memory.reserve(size)

    def waves(self, count: int, saved: Complex64 | None = None) -> Any:
        """See `hpcdaas.backend.views.Views.waves`."""
        return self._memory.waves(self.setup, count, saved)

    def gradient(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise, sums: Sums) -> Misfit:
        """See `hpcdaas.backend.views.Views.gradient`."""
        misfits = Misfits(self.device, len(batch), self.setup.n)
        with Lent(self.device) as lent:
            fields, there = Fields(lent.read(object_), lent.read(probe)), lent_sums(lent, sums)
            for piece in self.pieces(self.place(batch, fields)):
                chi = self.work(len(piece))
                self.changes(piece, fields, noise, chi, misfits)
                self._add(piece.windows, fields, chi, None, there)
            return misfits.total()

    def evaluate(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise) -> Misfit:
        """See `hpcdaas.backend.views.Views.evaluate`."""
        misfits = Misfits(self.device, len(batch), self.setup.n)
        with Lent(self.device) as lent:
            fields = Fields(lent.read(object_), lent.read(probe))
            for piece in self.pieces(self.place(batch, fields)):
                waves = self.work(len(piece))
                self._depart(piece.windows, fields, waves)
                self._detect(piece, waves, noise, misfits, writes=False)
            return misfits.total()

    def project(
        self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, how: tuple[float, float, float],
        sums: Sums,
    ) -> Misfit:  # fmt: skip
        """See `hpcdaas.backend.views.Views.project`."""
        a, b, c = how
        misfits = Misfits(self.device, len(batch), self.setup.n)
        with Lent(self.device) as lent:
            fields, there = Fields(lent.read(object_), lent.read(probe)), lent_sums(lent, sums)
            for piece in self.pieces(self.place(batch, fields)):
                psi, slot, back = self._stored(piece, waves, lent), piece.slot, self.work(len(piece))
                if not self.device.is_here(waves):
                    slot = None
                self._depart(piece.windows, fields, back, (psi, slot, F32(c)))
                self._detect(piece, back, "amplitude", misfits, keep=1.0)
                self._launch(
                    "renew", len(piece), *fields.object_arguments(), fields.probe, piece.windows.corners, F32(a),
                    F32(b), back, psi, slot, I32(self.setup.n),
                )  # fmt: skip
                self._add(piece.windows, fields, psi, slot, there)
                self._store(piece, psi, waves)
            return misfits.total()

    def exit_waves(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64) -> None:
        """See `hpcdaas.backend.views.Views.exit_waves`."""
        with Lent(self.device) as lent:
            fields = Fields(lent.read(object_), lent.read(probe))
            for piece in self.pieces(self.place(batch, fields, frames=False), frames=False):
                here = self.device.is_here(waves)
                out = waves if here else self.work(len(piece))
                self._depart(piece.windows, fields, out, to=piece.slot if here else None)
                self._store(piece, out, waves)

    def overlap(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, sums: Sums) -> None:
        """See `hpcdaas.backend.views.Views.overlap`."""
        with Lent(self.device) as lent:
            fields, there = Fields(lent.read(object_), lent.read(probe)), lent_sums(lent, sums)
            for piece in self.pieces(self.place(batch, fields, frames=False), frames=False):
                psi = self._stored(piece, waves, lent)
                self._add(piece.windows, fields, psi, piece.slot if self.device.is_here(waves) else None, there)

    def pie(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: PieStep,
        beside: Beside | None = None,
    ) -> Misfit:  # fmt: skip
        """See `hpcdaas.backend.views.Views.pie`."""
        check_bounds(bounds, batch, beside)
        with Lent(self.device) as lent:
            fields = self._moving(batch, lent, object_, probe)
            room = Room.make(self, fields, largest(bounds), bool(step.object_step), bool(step.probe_step))

            def move(number: int, own: Placed) -> None:
                Group(self, fields, room, own, number, beside).pie(step)

            self._each_group(batch, bounds, fields, room, beside, move)
            return room.total_misfit()

    def lsq(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: LsqStep, sums: Sums | None,
        beside: Beside | None = None,
    ) -> LsqFound:  # fmt: skip
        """See `hpcdaas.backend.views.Views.lsq`."""
        check_bounds(bounds, batch, beside)
        with Lent(self.device) as lent:
            fields = self._moving(batch, lent, object_, probe)
            there = None if sums is None else lent_sums(lent, sums)
            wanted = step.move_object or sums is not None, step.move_probe
            room = Room.make(self, fields, largest(bounds), *wanted, weight=False)

            def move(number: int, own: Placed) -> None:
                Group(self, fields, room, own, number, beside).lsq(step, there)

            self._each_group(batch, bounds, fields, room, beside, move)
            views = max(1, bounds[-1] - bounds[0])
            return LsqFound(room.total_misfit(), *(x / views for x in room.steps.tolist()))

    def touched(self, corners: Int32, box: tuple[int, int, int, int]) -> Touched:
        """See `hpcdaas.backend.views.Views.touched`; for fields on the device."""
        return DeviceTouched(self.device, corners, self.setup.n, box)

    # What groups need, too.

    def place(self, batch: Batch, fields: Fields, frames: bool = True) -> Placed:
        """Take the places of a batch to the device."""
        return Placed.make(self.device, batch, self.setup.n, fields.shape, frames)

    def pieces(self, placed: Placed, frames: bool = True) -> Iterator[Piece]:
        """Give views, a cache full at once."""
        return pieces(self.device, placed, self.setup.n, self.at_once, self._frames if frames else None)

    def room_for_changes(self) -> int:
        """Count the bytes that χ of a group may take: half of what is left, since it takes the place of another."""
        return (self._memory.left() + int(self._waves.nbytes)) // 2

    def fits(self, count: int, room: Room) -> bool:
        """Say whether χ of all views of a group may be kept."""
        return count * self.wave_bytes <= room.changes

    def work(self, count: int) -> Any:
        """Give room for the waves of some views; the same at each call."""
        if count > len(self._waves):
            self._waves = self.device.empty((count, *self._waves.shape[1:]), np.complex64)
        return self._waves[:count]

    def changes(self, piece: Piece, fields: Fields, noise: Noise, chi: Any, misfits: Misfits) -> None:
        """Make χ of a piece, (view, mode, n, n)."""
        self._depart(piece.windows, fields, chi)
        self._detect(piece, chi, noise, misfits)

    def launch(self, file: str, views: int, *arguments: Any, **macros: Any) -> None:
        """Start a kernel on the tiles of all views."""
        self._launch(file, views, *arguments, **macros)

    def add_object(
        self, windows: Windows, fields: Fields, chi: Any, slot: Any, sums: Sums, fresh: Room | None = None
    ) -> None:
        """Add to the sums on the object's grid; with `fresh` write them, and which tiles there are."""
        top, left, down, across = windows.box
        if not down or not across or (sums.object is None and sums.weight is None):
            return
        height, width = fields.shape
        marks = (I32(fresh is not None), *((fresh.touched, fresh.largest) if fresh is not None else (None, None)))
        kernel = self.device.kernel("add_object", **self._macros)
        self.device.launch(
            kernel, (across, down), chi, slot, I32(windows.views), I32(len(windows.corners)), windows.corners,
            fields.probe, I32(self.setup.n), I32(top), I32(left), I32(height), I32(width), sums.object, sums.weight,
            *marks,
        )  # fmt: skip

    def add_probe(
        self, windows: Windows, fields: Fields, chi: Any, slot: Any, sums: Sums, factor: float = 1.0,
        fresh: Room | None = None,
    ) -> None:  # fmt: skip
        """Add to the sums on the probe's grid, that of χ times a factor; with `fresh` write them."""
        if not windows.views or (sums.probe is None and sums.probe_weight is None):
            return
        kernel = self.device.kernel("add_probe", **self._macros)
        self.device.launch(
            kernel, (tiles(self.setup.n), self.setup.n), chi, slot, I32(windows.views), windows.corners,
            *fields.object_arguments(), I32(self.setup.n), F32(factor), sums.probe, sums.probe_weight,
            I32(fresh is not None), fresh.probe_largest if fresh is not None else None,
        )  # fmt: skip

    def _moving(self, batch: Batch, lent: Lent, object_: Complex64, probe: Complex64) -> Fields:
        """Give fields that are to move; frames come before, since χ may have a part of what they leave."""
        self._frames.resident(batch.frames)
        return Fields(lent.change(object_), lent.change(probe))

    def _each_group(
        self, batch: Batch, bounds: list[int], fields: Fields, room: Room, beside: Beside | None, move: Work
    ) -> None:
        """Do one group after the other; recorded where nothing comes in between and all is on the device."""
        placed = self.place(batch, fields)
        alone = beside is None and self.fits(largest(bounds), room) and self._frames.resident(batch.frames) is not None
        if alone:
            each_recorded(self.device, placed, bounds, move)
        else:
            each_group(placed, bounds, move)

    # The way of a view.

    def _launch(self, file: str, views: int, *arguments: Any, **macros: Any) -> None:
        edge = tiles(self.setup.n)
        self.device.launch(self.device.kernel(file, **self._macros, **macros), (edge, edge, views), *arguments)

    def _depart(
        self, windows: Windows, fields: Fields, out: Any, psi: tuple[Any, Any, Any] | None = None, to: Any = None
    ) -> None:
        self._launch(
            "depart", windows.views, *fields.object_arguments(), fields.probe, windows.corners,
            *(psi or (None, None, F32(1))), out, to, I32(self.setup.n),
        )  # fmt: skip

    def _detect(
        self, piece: Piece, waves: Any, noise: Noise, misfits: Misfits, keep: float = 0.0, writes: bool = True
    ) -> None:
        """Send waves to the detector, change them there, and bring them back."""
        device, n, far = self.device, self.setup.n, self._near is None
        power = 1 / n**2 if far else 1.0
        device.fft(waves, 2, inverse=False)
        if not far:
            self._transfer(waves, conjugated=False)
            device.fft(waves, 2, inverse=True)
        self._launch(
            "detect", len(piece), waves, piece.frames, piece.frame, self._good, self._limit, I32(n),
            I32(n // 2 if far else 0), F32(power), F32(keep), F32(power if writes else 0), misfits.room(len(piece)),
            NOISE=NOISES.index(noise), COUNTS=piece.counts,
        )  # fmt: skip
        if writes:
            if not far:
                device.fft(waves, 2, inverse=False)
                self._transfer(waves, conjugated=True)
            device.fft(waves, 2, inverse=True)

    def _transfer(self, waves: Any, conjugated: bool) -> None:
        n, edge = self.setup.n, tiles(self.setup.n)
        self.device.launch(
            self.device.kernel("transfer"), (edge, edge, len(waves) * self.modes), waves, self._near, I32(conjugated),
            F32(1 / n**2), I32(n),
        )  # fmt: skip

    def _add(self, windows: Windows, fields: Fields, chi: Any, slot: Any, sums: Sums) -> None:
        self.add_object(windows, fields, chi, slot, sums)
        self.add_probe(windows, fields, chi, slot, sums)

    # Waves that the host keeps go to the device and back, a piece at once.

    def _stored(self, piece: Piece, waves: Any, lent: Lent) -> Any:
        return waves if self.device.is_here(waves) else lent.read(waves[piece.slots])

    def _store(self, piece: Piece, psi: Any, waves: Any) -> None:
        if not self.device.is_here(waves):
            here = np.empty(psi.shape, np.complex64)
            self.device.get(psi, here)
            waves[piece.slots] = here


def lent_sums(lent: Lent, sums: Sums) -> Sums:
    """Give sums on the device."""
    return Sums(*(lent.change(array) for array in (sums.object, sums.weight, sums.probe, sums.probe_weight)))


def largest(bounds: list[int]) -> int:
    """Say how many views the largest group has."""
    return max((b - a for a, b in pairwise(bounds)), default=0)


def check_bounds(bounds: list[int], batch: Batch, beside: Beside | None) -> None:
    """Refuse groups that aren't all views, each once, in their order; with other ranks a group may be empty here."""
    if bounds[0] != 0 or bounds[-1] != len(batch):
        raise ValueError("batches cover the views")
    if any(a > b or (a == b and beside is None) for a, b in pairwise(bounds)):
        raise ValueError("a batch is empty")
