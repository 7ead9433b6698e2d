"""Views on a GPU, as many at once as its cache holds: their frames, windows, and slots."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.cuda_device import F32, F64, I32, TILE, Device, tiles
from hpcdaas.backend.cuda_memory import Memory
from hpcdaas.backend.views import Batch, Int32, Misfit

#: What counts are called in kernels.
COUNTS = {
    "u1": "unsigned char",
    "u2": "unsigned short",
    "i2": "short",
    "u4": "unsigned int",
    "i4": "int",
    "f4": "float",
}


@dataclass(frozen=True)
class Fields:
    """Object (mode, y, x) and probe (mode, n, n) on the device."""

    object: Any
    probe: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the object."""
        height, width = self.object.shape[1:]
        return height, width

    def object_arguments(self) -> tuple[Any, ...]:
        """Give the object as kernels take it."""
        return self.object, I32(self.shape[0]), I32(self.shape[1])


@dataclass(frozen=True)
class Windows:
    """Windows on the object.

    Attributes
    ----------
    corners : array, (window, 2), int32
        On the device.
    views : int
        The first ones belong to views that are here; the others to views of other ranks.
    box : tuple of int
        Where they are: first row and column, tiles down and across.
    """

    corners: Any
    views: int
    box: tuple[int, int, int, int]

    @classmethod
    def make(cls, device: Device, corners: Int32, n: int, shape: tuple[int, int], views: int | None = None) -> Windows:
        """Take corners of the host."""
        there = device.put(np.ascontiguousarray(corners, np.int32))
        return cls(there, len(corners) if views is None else views, box_of(corners, n, shape))


def box_of(corners: Int32, n: int, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Give first row and column, and tiles down and across, of what windows touch."""
    if not len(corners):
        return 0, 0, 0, 0
    first = np.maximum(corners.min(axis=0), 0) // TILE * TILE
    last = np.minimum(corners.max(axis=0) + n, shape)
    down, across = (max(0, tiles(int(b - a))) for a, b in zip(first, last, strict=True))
    return int(first[0]), int(first[1]), down, across


@dataclass(frozen=True)
class Placed:
    """Views whose places are on the device, too.

    Attributes
    ----------
    batch : Batch
    shape : tuple of int
        Rows and columns of the object.
    corners, frame, slot : array
        As in the batch, on the device.
    """

    batch: Batch
    shape: tuple[int, int]
    corners: Any
    frame: Any
    slot: Any

    @classmethod
    def make(cls, device: Device, batch: Batch, n: int, shape: tuple[int, int], frames: bool) -> Placed:
        """Check places, and frame numbers where there are frames, and take them to the device.

        Raises
        ------
        ValueError
            If a window reaches beyond the object, or a frame isn't there.
        """
        corners, number, slot = (
            None if array is None else np.ascontiguousarray(array, np.int32)
            for array in (batch.corners, batch.frame, batch.slot)
        )
        assert corners is not None
        assert number is not None
        if len(corners) and (corners.min() < 0 or (corners.max(axis=0) + n > shape).any()):
            raise ValueError("a view reaches beyond the object")
        if frames and len(batch) and (number.min() < 0 or number.max() >= len(batch.frames)):
            raise ValueError("a frame is out of range")
        own = Batch(batch.frames, number, corners, slot)
        return cls(own, shape, *(None if array is None else device.put(array) for array in (corners, number, slot)))

    def __len__(self) -> int:
        return len(self.batch)

    def part(self, first: int, last: int) -> Placed:
        """Give some of them."""
        b, some = self.batch, slice(first, last)
        batch = Batch(b.frames, b.frame[some], b.corners[some], None if b.slot is None else b.slot[some])
        slot = None if self.slot is None else self.slot[some]
        return Placed(batch, self.shape, self.corners[some], self.frame[some], slot)

    def windows(self, n: int) -> Windows:
        """Give their windows."""
        return Windows(self.corners, len(self), box_of(self.batch.corners, n, self.shape))

    @property
    def wanted(self) -> Int32 | None:
        """Their frames, on the host."""
        return self.batch.frame

    @property
    def slots(self) -> Int32 | None:
        """Their slots, on the host."""
        return self.batch.slot


class Staged(Placed):
    """Views whose places are known on the device alone: now these, now others. Their frames are there."""

    @classmethod
    def of(cls, device: Device, placed: Placed, count: int) -> Staged:
        """Give room for the places of `count` of some views."""
        return cls(placed.batch, placed.shape, device.zeros((count, 2), I32), device.zeros(count, I32), None)

    def __len__(self) -> int:
        return len(self.frame)

    def part(self, first: int, last: int) -> Staged:
        """Give some of them."""
        return Staged(self.batch, self.shape, self.corners[first:last], self.frame[first:last], None)

    def windows(self, n: int) -> Windows:
        """Give their windows, which may be anywhere."""
        height, width = self.shape
        return Windows(self.corners, len(self), (0, 0, tiles(height), tiles(width)))

    @property
    def wanted(self) -> None:
        """Nobody knows."""

    @property
    def slots(self) -> None:
        """There are none."""


@dataclass(frozen=True)
class Piece:
    """Some views.

    Attributes
    ----------
    windows : Windows
    frames : array, (frame, n, n), or None
        Counts, of which `frame` says whose they are; on the device.
    counts : str
        Their type.
    frame : array, (view,), int32, or None
    slot : array, (view,), int32, or None
        On the device.
    slots : ndarray, (view,), int32, or None
        The same on the host.
    """

    windows: Windows
    frames: Any
    counts: str
    frame: Any
    slot: Any
    slots: Int32 | None

    def __len__(self) -> int:
        return self.windows.views


class Misfits:
    """What detectors say of views, tile by tile, until it is added up.

    Parameters
    ----------
    device : Device
    views : int
        How many are gone over, each once.
    n : int
        Pixels along an edge of their frames.
    """

    def __init__(self, device: Device, views: int, n: int) -> None:
        self._device, self._each, self._used = device, tiles(n) ** 2, 0
        self._sums = device.empty((views * self._each, 3), F32)

    def room(self, views: int) -> Any:
        """Give room for the sums of the next views, (view and tile, 3)."""
        first, self._used = self._used, self._used + views * self._each
        return self._sums[first : self._used]

    def begin(self) -> None:
        """Forget what there is."""
        self._used = 0

    def add_to(self, sums: Any) -> None:
        """Add up what there is since the beginning, to (3,) float64 of the device."""
        kernel = self._device.kernel("total", NUMBER="float", COLUMNS=3)
        self._device.launch(kernel, (1,), self._sums, I32(self._used), F64(0), sums, None)

    def total(self) -> Misfit:
        """Add up; waits for the device."""
        return Misfit(*self._sums.sum(axis=0, dtype=F64).tolist())


class Frames:
    """Frames on the device: the stack that was used last stays there, if there is room.

    Frames are not altered while they are used: who has others has another array.
    """

    def __init__(self, device: Device, memory: Memory) -> None:
        self._device, self._memory = device, memory
        self._known: Any = lambda: None
        self._there: Any = None

    def resident(self, frames: Any) -> Any:
        """Give a stack on the device, or None where it is too large to stay."""
        if self._device.is_here(frames):
            return frames
        if self._known() is frames:
            return self._there
        self._there, self._known = None, lambda: None
        self._there = self._memory.room(frames.shape, _stored(frames[:0]).dtype)
        if self._there is not None:
            self._memory.fill(self._there, _stored(frames))
            self._known = weakref.ref(frames)
        return self._there

    def come(self, frames: NDArray[Any], wanted: Sequence[Int32 | None]) -> Iterator[tuple[Any, bool]]:
        """Give frames for each list of them; and whether it is the whole stack."""
        there = self.resident(frames)
        if there is not None:
            yield from ((there, True) for _ in wanted)
        else:
            for piece in self._device.coming(_stored(frames[index]) for index in wanted if index is not None):
                yield piece, False


def _stored(frames: NDArray[Any]) -> NDArray[Any]:
    known = frames.dtype.str[1:] in COUNTS and frames.dtype.isnative
    return np.ascontiguousarray(frames if known else frames.astype(np.float32))


def pieces(device: Device, placed: Placed, n: int, at_once: int, frames: Frames | None) -> Iterator[Piece]:
    """Cut views into pieces; without frames where none are needed."""
    cut = [placed.part(first, first + at_once) for first in range(0, len(placed), at_once)]
    wanted = [part.wanted for part in cut]
    coming = frames.come(placed.batch.frames, wanted) if frames else ((None, True) for _ in cut)
    for part, (stack, whole) in zip(cut, coming, strict=True):
        yield Piece(
            part.windows(n),
            stack,
            COUNTS[stack.dtype.str[1:]] if stack is not None else "",
            part.frame if whole else device.put(np.arange(len(part), dtype=np.int32)),
            part.slot,
            part.slots,
        )
