"""Sinograms with their columns sorted: what steps against stripes are written with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


class Sorting(Protocol):
    """Sinograms are (angle, column), columns side by side; rank r of a column is the r-th smallest of its values."""

    def sort(self, sinogram: Float32, order: Int32, ranked: Float32) -> None:
        """Sort each column; equal values keep the order of their angles.

        Parameters
        ----------
        sinogram : ndarray, (angle, column), float32
        order : ndarray, (column, rank), int32
            Gets the angles.
        ranked : ndarray, (column, rank), float32
            Gets the values.
        """
        ...

    def median(self, ranked: Float32, size: int, out: Float32) -> None:
        """Take the running median of (column, rank) over `size` columns, an odd number, mirrored at the edges."""
        ...

    def unsort(self, order: Int32, ranked: Float32, sinogram: Float32) -> None:
        """Put values (column, rank) into a sinogram, at the angles that `sort` has given."""
        ...


class ReferenceSorting:
    """In NumPy: the specification. See `Sorting`."""

    def sort(self, sinogram: Float32, order: Int32, ranked: Float32) -> None:
        """See `Sorting.sort`."""
        order[...] = np.argsort(sinogram.T, axis=1, kind="stable")
        ranked[...] = np.take_along_axis(sinogram.T, order.astype(np.int64), axis=1)

    def median(self, ranked: Float32, size: int, out: Float32) -> None:
        """See `Sorting.median`."""
        margin = min(size // 2, len(ranked) - 1)
        padded = np.pad(ranked, ((margin, margin), (0, 0)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * margin + 1, axis=0)
        out[...] = np.median(windows, axis=-1)

    def unsort(self, order: Int32, ranked: Float32, sinogram: Float32) -> None:
        """See `Sorting.unsort`."""
        np.put_along_axis(sinogram.T, order.astype(np.int64), ranked, axis=1)
