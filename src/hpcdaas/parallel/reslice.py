"""From shares of the frames to shares of the rows, in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpcdaas.parallel.comm import Comm


class Reslice:
    """Gives each rank all frames of its own rows, block after block.

    Each item that belongs to another rank crosses once, in its stored type. Memory that was touched once is used
    again: fresh pages cost as much as the exchange does.

    Parameters
    ----------
    comm : Comm
    shares : sequence of range
        Frames of each rank, one run after the other.
    """

    def __init__(self, comm: Comm, shares: Sequence[range]) -> None:
        self.comm, self.shares = comm, shares
        self.release()

    def release(self) -> None:
        """Give memory back."""
        self._packed, self._out = np.empty(0, np.uint8), np.empty(0, np.uint8)

    def exchange(self, frames: NDArray[Any], places: Sequence[slice], reuse: bool = False) -> NDArray[Any]:
        """Give all frames of this rank's rows; called by all ranks.

        Parameters
        ----------
        frames : ndarray, (own frame, row, column)
            This rank's frames, of all ranks' rows.
        places : sequence of slice
            Where each rank's rows are along the second axis of `frames`.
        reuse : bool
            Whether what the last call gave is over.

        Returns
        -------
        ndarray, (frame, own row, column)
            Where there is one rank, a view of `frames`.
        """
        comm, shares, columns = self.comm, self.shares, frames.shape[2]
        if comm.size == 1:
            return frames[:, places[0]]
        rows = [place.stop - place.start for place in places]
        mine, own = rows[comm.rank], len(shares[comm.rank])
        out = self._memory((shares[-1].stop, mine, columns), frames.dtype, reuse)
        out[shares[comm.rank].start : shares[comm.rank].stop] = frames[:, places[comm.rank]]
        # What this rank keeps is not sent to itself.
        to = [0 if rank == comm.rank else own * count for rank, count in enumerate(rows)]
        of = [0 if rank == comm.rank else len(share) * mine for rank, share in enumerate(shares)]
        packed = self._pack(frames, places, to)
        comm.deal(packed, to, out.reshape(-1, columns), of, [share.start * mine for share in shares])
        return out

    def _pack(self, frames: NDArray[Any], places: Sequence[slice], to: Sequence[int]) -> NDArray[Any]:
        own, _, columns = frames.shape
        size = sum(to) * columns * frames.dtype.itemsize
        if self._packed.size < size:
            self._packed = np.empty(size, np.uint8)
        packed, at = self._packed[:size].view(frames.dtype).reshape(-1, columns), 0
        for place, count in zip(places, to, strict=True):
            if count:
                packed[at : at + count].reshape(own, -1, columns)[...] = frames[:, place]
                at += count
        return packed

    def _memory(self, shape: tuple[int, ...], dtype: DTypeLike, reuse: bool) -> NDArray[Any]:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not reuse:
            return np.empty(shape, dtype)
        if self._out.size < size:
            self._out = np.empty(size, np.uint8)
        return self._out[:size].view(dtype).reshape(shape)
