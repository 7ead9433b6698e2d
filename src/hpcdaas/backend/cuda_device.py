"""What the primitives on a GPU ask of a device: memory, copies, FFTs, launches. The algorithms know none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Threads of a block along x and y, in all kernels (kernels/device.h).
BLOCK = (32, 8)
#: Pixels along an edge of a block's tile.
TILE = 32


class Going(Protocol):
    """Arrays on their way to the host while the next are computed."""

    def send(self, array: Any, out: NDArray[Any]) -> None:
        """Copy an array into one of the host; who sends it doesn't use it any more."""
        ...

    def finish(self) -> None:
        """Wait until all have come."""
        ...


class Device(Protocol):
    """One device.

    Attributes
    ----------
    xp : module
        NumPy's functions for arrays of the device.
    cache : int
        Bytes that stay near the processors: work is cut into pieces that fit.
    """

    xp: Any
    cache: int

    def free(self) -> int:
        """Count the bytes that may still be allocated."""
        ...

    def release(self) -> None:
        """Give back memory that is kept for what may come."""
        ...

    def kernel(self, file: str, **defines: Any) -> Any:
        """Give the kernel of a file, with its macros."""
        ...

    def launch(self, kernel: Any, grid: tuple[int, ...], *arguments: Any) -> None:
        """Start a kernel on blocks along x, y, z. Arguments are arrays of the device, None, or NumPy's numbers."""
        ...

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Give what starts all that `work` would start, kernels and transforms; `work` makes no array meanwhile."""
        ...

    def empty(self, shape: Any, dtype: Any) -> Any:
        """Give an array that holds anything."""
        ...

    def zeros(self, shape: Any, dtype: Any) -> Any:
        """Give an array of zeros."""
        ...

    def is_here(self, array: Any) -> bool:
        """Say whether an array is one of the device."""
        ...

    def put(self, array: Any) -> Any:
        """Copy an array of the host to the device; one that is there is given back as it is."""
        ...

    def get(self, array: Any, out: NDArray[Any]) -> None:
        """Copy an array of the device into one of the host."""
        ...

    def coming(self, pieces: Iterable[NDArray[Any]]) -> Iterator[Any]:
        """Give pieces of the host's data on the device; the next one is copied while one is worked on."""
        ...

    def going(self) -> Going:
        """Give a way for arrays to the host."""
        ...

    def fft(self, array: Any, axes: int, inverse: bool) -> None:
        """Transform the last 1 or 2 axes of complex64 in place, without a factor."""
        ...


class Lent:
    """Arrays of the host that are on the device for a while."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._changed: list[tuple[Any, NDArray[Any]]] = []

    def read(self, array: Any) -> Any:
        """Give an array on the device."""
        return None if array is None else self._device.put(array)

    def change(self, array: Any) -> Any:
        """Give an array on the device, whose values go back to the host at the end."""
        there = self.read(array)
        if array is not None and not self._device.is_here(array):
            self._changed.append((there, array))
        return there

    def __enter__(self) -> Lent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for there, array in self._changed:
                self._device.get(there, array)


def tiles(pixels: int) -> int:
    """Count the tiles along an edge."""
    return -(-pixels // TILE)


#: Types of kernels' numbers.
I32, F32, F64 = np.int32, np.float32, np.float64
