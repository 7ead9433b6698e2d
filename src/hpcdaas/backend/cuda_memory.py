"""What may stay on a GPU: decided here alone, so that none runs out of its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.cuda_device import Device
from hpcdaas.backend.views import Complex64, ViewSetup, room_for_waves
from hpcdaas.errors import InputError

#: Share of what is free and not reserved that one thing may take: FFTs and sums need some, too.
SHARE = 0.75
#: Bytes that go to the device at once where an array is copied into one that is there.
AT_ONCE = 64 << 20


class Memory:
    """The memory of a device, as the primitives of ptychography use it.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Device) -> None:
        self._device, self._reserved = device, 0

    def reserve(self, size: int) -> None:
        """See `hpcdaas.backend.views.Views.reserve`; what was reserved before may be used for the same."""
        free = self._device.free()
        if size > free:
            raise InputError(
                f"Object and probe need {size / 1e9:.3g} GB on the GPU, and {free / 1e9:.3g} GB are free there.",
                "Use more ranks, each with a GPU, one with more memory, or --backend cpu.",
            )
        self._reserved = size

    def left(self) -> int:
        """Count the bytes that may be taken by what can do without."""
        return max(0, int(SHARE * (self._device.free() - self._reserved)))

    def put(self, array: Any) -> Any:
        """Copy an array of the host to the device."""
        return self._device.put(array)

    def get(self, array: Any) -> NDArray[Any]:
        """Copy an array of the device to the host."""
        if not self._device.is_here(array):
            return array  # type: ignore[no-any-return]
        out = np.empty(array.shape, array.dtype)
        self._device.get(array, out)
        return out

    def room(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Give an array of the device that holds anything, or None where it would take too much.

        Another rank may have taken what was free a moment ago, if it shares the device.
        """
        if int(np.prod(shape)) * np.dtype(dtype).itemsize > self.left():
            return None
        try:
            return self._device.empty(shape, dtype)
        except MemoryError:
            return None

    def waves(self, setup: ViewSetup, count: int, saved: Complex64 | None) -> Any:
        """See `hpcdaas.backend.views.Views.waves`: on the host where they are too many."""
        out = self.room((count, setup.probes * setup.objects, setup.n, setup.n), np.complex64)
        if out is None:
            return room_for_waves(setup, count) if saved is None else saved
        if saved is not None:
            self.fill(out, saved)
        return out

    def fill(self, out: Any, array: NDArray[Any]) -> None:
        """Copy an array of the host into one of the device, so that little more memory is needed."""
        some = max(1, AT_ONCE // max(1, array[:1].nbytes))
        for first in range(0, len(array), some):
            out[first : first + some] = self._device.put(array[first : first + some])
