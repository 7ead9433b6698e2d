"""Sinograms with their columns sorted: what steps against stripes are written with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


class Ranks(Protocol):
    """Sinograms are (angle, column), columns side by side; rank r of a column is the r-th smallest of its values."""

    def sort(self, sinogram: Float32) -> tuple[Int32, Float32]:
        """Sort each column; equal values keep the order of their angles.

        Returns
        -------
        order : ndarray, (column, rank), int32
            The angles.
        ranked : ndarray, (column, rank), float32
            The values.
        """
        ...

    def median(self, ranked: Float32, size: int) -> Float32:
        """Give the running median of (column, rank) over `size` columns, an odd number, mirrored at the edges."""
        ...

    def unsort(self, order: Int32, ranked: Float32, sinogram: Float32) -> None:
        """Put values (column, rank) into a sinogram, at the angles that `sort` has given."""
        ...


class ReferenceRanks:
    """In NumPy: the specification. See `Ranks`."""

    def sort(self, sinogram: Float32) -> tuple[Int32, Float32]:
        """See `Ranks.sort`."""
        columns = np.ascontiguousarray(sinogram.T)
        order = np.argsort(columns, axis=1, kind="stable")
        return order.astype(np.int32), np.take_along_axis(columns, order, axis=1)

    def median(self, ranked: Float32, size: int) -> Float32:
        """See `Ranks.median`."""
        margin = min(size // 2, len(ranked) - 1)
        padded = np.pad(ranked, ((margin, margin), (0, 0)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * margin + 1, axis=0)
        return np.asarray(np.median(windows, axis=-1))

    def unsort(self, order: Int32, ranked: Float32, sinogram: Float32) -> None:
        """See `Ranks.unsort`."""
        np.put_along_axis(sinogram.T, order.astype(np.int64), ranked, axis=1)
