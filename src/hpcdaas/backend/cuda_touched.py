"""Pixels of a field on a GPU that some windows touch: what goes to other ranks, and comes from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcdaas.backend.cuda_device import Device
from hpcdaas.backend.views import Int32


class DeviceTouched:
    """See `hpcdaas.backend.views.Touched`; row after row of the box, for fields on the device.

    Parameters
    ----------
    device : Device
    corners : ndarray, (view, 2), int32
    n : int
        Pixels along an edge of a window.
    box : tuple of int
        Top, bottom, left, right.
    """

    def __init__(self, device: Device, corners: Int32, n: int, box: tuple[int, int, int, int]) -> None:
        top, bottom, left, right = box
        here = np.zeros((max(0, bottom - top), max(0, right - left)), np.bool_)
        for y, x in (corners - np.array([top, left])).tolist():
            here[max(0, y) : max(0, y + n), max(0, x) : max(0, x + n)] = True
        self._device, self._origin = device, (top, left)
        self._rows, self._columns = np.nonzero(here)
        self.pixels = len(self._rows)

    def pack(self, field: Any) -> Any:
        """See `hpcdaas.backend.views.Touched.pack`."""
        return _flat(field)[:, self._at(field)]

    def add(self, packed: Any, field: Any) -> None:
        """See `hpcdaas.backend.views.Touched.add`: each pixel is there once."""
        if self.pixels:
            _flat(field)[:, self._at(field)] += packed

    def _at(self, field: Any) -> Any:
        """Give their places in a mode, on the device."""
        top, left = self._origin
        return self._device.put((self._rows + top) * field.shape[-1] + self._columns + left)


def _flat(field: Any) -> Any:
    """Give a view (mode, pixel): what is written there is written into the field."""
    return field.reshape(len(field), -1)
