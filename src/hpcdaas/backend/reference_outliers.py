"""Zingers in NumPy: the specification of `hpcdaas.backend.Backend.outliers`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Pixels that are handled at once, so that the temporaries stay in the cache.
BATCH = 1 << 15


def replace_outliers(frames: NDArray[Any], size: int, threshold: float, inner: slice) -> int:
    """See `hpcdaas.backend.Backend.outliers`."""
    batch = max(1, BATCH // frames[0].size) if len(frames) else 1
    count = 0
    for start in range(0, len(frames), batch):
        part = frames[start : start + batch]
        pixels = np.flatnonzero(_candidates(part, size, threshold))
        frame, row, column = np.unravel_index(pixels, part.shape)
        value, middle = part[frame, row, column], _median(part, (frame, row, column), size)
        # of unsigned types too: never below zero
        excess = np.maximum(value, middle) - middle
        zinger = excess > np.float32(threshold) * np.abs(middle)
        part[frame[zinger], row[zinger], column[zinger]] = middle[zinger]
        count += int(np.count_nonzero((row[zinger] >= inner.start) & (row[zinger] < inner.stop)))
    return count


def _candidates(frames: NDArray[Any], size: int, threshold: float) -> NDArray[np.bool_]:
    """Tell which pixels may be zingers: those that are so already against the minimum around them.

    The minimum costs a tenth of the median, is never above it, and nearly all pixels pass it.
    """
    low = frames.copy()
    for axis in (1, 2):
        lower = low.swapaxes(axis, 0)
        for _ in range(size // 2):
            before = lower.copy(order="K")
            np.minimum(lower[1:], before[:-1], out=lower[1:])
            np.minimum(lower[:-1], before[1:], out=lower[:-1])
    # m + t |m| grows with m for t up to 1, so that the minimum bounds it from below
    share = np.float32(min(threshold, 1.0))
    return np.asarray(frames > low + share * np.abs(low))


def _median(frames: NDArray[Any], pixels: tuple[NDArray[np.intp], ...], size: int) -> NDArray[Any]:
    """Give the median of size × size around some pixels (frame, row, column), edges repeated."""
    frame, row, column = pixels
    reach = np.arange(size) - size // 2
    rows = np.clip(row[:, None, None] + reach[:, None], 0, frames.shape[1] - 1)
    columns = np.clip(column[:, None, None] + reach, 0, frames.shape[2] - 1)
    around = frames[frame[:, None, None], rows, columns].reshape(len(frame), size * size)
    return np.asarray(np.partition(around, size * size // 2, axis=1)[:, size * size // 2])
