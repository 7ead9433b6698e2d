"""From shares of the frames to shares of the rows, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.parallel.comm import Comm


def reslice(
    comm: Comm, frames: NDArray[Any], shares: Sequence[range], places: Sequence[slice]
) -> NDArray[Any]:  # fmt: skip
    """Give each rank all frames of its own rows; called by all ranks.

    Each item that belongs to another rank crosses once, in its stored type.

    Parameters
    ----------
    comm : Comm
    frames : ndarray, (own frame, row, column)
        This rank's frames, of all ranks' rows.
    shares : sequence of range
        Frames of each rank, one run after the other.
    places : sequence of slice
        Where each rank's rows are along the second axis of `frames`.

    Returns
    -------
    ndarray, (frame, own row, column)
        Where there is one rank, a view of `frames`.
    """
    if comm.size == 1:
        return frames[:, places[0]]
    columns, mine = frames.shape[2], places[comm.rank]
    rows = [place.stop - place.start for place in places]
    own = len(shares[comm.rank])
    out = np.empty((shares[-1].stop, rows[comm.rank], columns), frames.dtype)
    out[shares[comm.rank].start : shares[comm.rank].stop] = frames[:, mine]
    # What this rank keeps is not sent to itself.
    to = [0 if rank == comm.rank else own * count for rank, count in enumerate(rows)]
    of = [0 if rank == comm.rank else len(share) * rows[comm.rank] for rank, share in enumerate(shares)]
    packed = np.empty((sum(to), columns), frames.dtype)
    at = 0
    for place, count in zip(places, to, strict=True):
        if count:
            packed[at : at + count].reshape(own, -1, columns)[...] = frames[:, place]
            at += count
    starts = [share.start * rows[comm.rank] for share in shares]
    comm.deal(packed, to, out.reshape(-1, columns), of, starts)
    return out
