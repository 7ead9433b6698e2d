"""What overlapping tiles have to do with each other: sums are completed, and edges fetched."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.parallel.comm import Comm
from hpcdaas.parallel.tiles import Box, Tiling


class Halo:
    """The overlaps of this rank's tile with others. Arrays are (…, y, x) of the pixels that this rank has.

    Parameters
    ----------
    comm : Comm
    tiling : Tiling
    """

    def __init__(self, comm: Comm, tiling: Tiling) -> None:
        self.comm, self.tiling = comm, tiling
        self.held, self.owned = tiling.held[comm.rank], tiling.owned[comm.rank]
        overlaps = {rank: self.held.both(box) for rank, box in enumerate(tiling.held) if rank != comm.rank}
        self.overlaps = {rank: box for rank, box in overlaps.items() if not box.empty}

    def add(self, array: NDArray[Any]) -> None:
        """Add what the other ranks have summed up where tiles overlap, in place; called by all ranks."""
        mine = {rank: _part(array, box.within(self.held)) for rank, box in self.overlaps.items()}
        comes = {rank: np.empty_like(part) for rank, part in mine.items()}
        self.comm.exchange(mine, comes)
        for rank, part in comes.items():
            array[(..., *self.overlaps[rank].within(self.held).slices)] += part

    def fetch(self, array: NDArray[Any], margin: int) -> tuple[NDArray[Any], tuple[slice, slice]]:
        """Give the tile with some pixels more on each side, from those who own them; called by all ranks.

        It ends where the plane does.

        Returns
        -------
        array : ndarray, (…, y, x)
        inner : tuple of slice
            Where the tile itself is in it.
        """
        plane = Box(0, max(b.bottom for b in self.tiling.owned), 0, max(b.right for b in self.tiling.owned))
        wide = [box.grown(margin).both(plane) for box in self.tiling.held]
        mine = wide[self.comm.rank]
        out = np.zeros((*array.shape[:-2], *mine.shape), array.dtype)
        if not self.held.empty:
            out[(..., *self.held.within(mine).slices)] = array
        sends, comes = {}, {}
        for rank in range(self.comm.size):
            to, of = self.owned.both(wide[rank]), self.tiling.owned[rank].both(mine)
            if rank != self.comm.rank and not to.empty:
                sends[rank] = _part(array, to.within(self.held))
            if rank != self.comm.rank and not of.empty:
                comes[rank] = np.empty((*array.shape[:-2], *of.shape), array.dtype)
        self.comm.exchange(sends, comes)
        for rank, part in comes.items():
            out[(..., *self.tiling.owned[rank].both(mine).within(mine).slices)] = part
        return out, self.held.within(mine).slices


def _part(array: NDArray[Any], box: Box) -> NDArray[Any]:
    """Copy the pixels of a box: contiguous, in the memory that the array is in."""
    return array[(..., *box.slices)].copy()
