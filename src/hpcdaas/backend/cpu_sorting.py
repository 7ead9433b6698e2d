"""Sinograms with their columns sorted, in C++."""

from __future__ import annotations

from hpcdaas import _core
from hpcdaas.backend.sorting import Float32, Int32


class CpuSorting:
    """In the calling thread. See `hpcdaas.backend.sorting.Sorting`.

    Columns are sorted by their bits (radix sort). A running median sorts once what the windows of some neighbouring
    columns have in common; the rest is merged into halves of them, and so on (the tiling and sharing of A. Adams, ACM
    Trans. Graph. 40, 70 (2021), with forgetful selection in the place of its networks).

    Parameters
    ----------
    level : str
        Vector level; empty for the best of this machine.
    """

    def __init__(self, level: str = "") -> None:
        self._level = level

    def sort(self, sinogram: Float32, order: Int32, ranked: Float32) -> None:
        """See `hpcdaas.backend.sorting.Sorting.sort`."""
        _core.sort_columns(sinogram, order, ranked)

    def median(self, ranked: Float32, size: int, out: Float32) -> None:
        """See `hpcdaas.backend.sorting.Sorting.median`."""
        _core.median_over_columns(ranked, size, out, self._level)

    def unsort(self, order: Int32, ranked: Float32, sinogram: Float32) -> None:
        """See `hpcdaas.backend.sorting.Sorting.unsort`."""
        _core.unsort_columns(order, ranked, sinogram)
