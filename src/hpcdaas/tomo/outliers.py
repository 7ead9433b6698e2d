"""Zingers: single pixels far brighter than what is around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.threads import each

#: Pixels that a thread handles at once: with fewer, threads wait for each other's Python, with more, for memory.
BATCH = 1 << 19


class Outliers(Parameters):
    """Parameters of `outliers`."""

    threshold: float = Field(
        0.5, gt=0, description="how far above the median around it a pixel may be, as a share of that median"
    )
    size: int = Field(3, ge=3, le=15, description="width of the neighbourhood, odd")

    @field_validator("size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("it must be odd")
        return size


def outliers(block: Block, parameters: Outliers) -> None:
    """Replace zingers, pixels brighter than the median around them by more than a share, with that median.

    The conditional ("switching") median of T. Sun and Y. Neuvo, Pattern Recognition Letters 15,
    341 (1994): all other pixels keep their value, and the data their type. Flats get the same
    treatment, so that a bright pixel isn't taken out of only one side of the division; darks
    don't, because a share of next to nothing says nothing. At the frame's edges the outermost
    pixels are repeated. Values that are not finite stay, to be reported by the flat field.

    Parameters
    ----------
    block : Block
        Changed in place; tally ``zingers`` counts the replaced pixels outside the halo.
    parameters : Outliers
    """
    inner = slice(block.halo, block.data.shape[1] - block.halo)
    block.tally["zingers"] += _clean(block.data, parameters, inner, block.backend.threads)
    for _, frames in block.flats:
        _clean(frames, parameters, inner, block.backend.threads)


def _clean(frames: NDArray[Any], parameters: Outliers, inner: slice, threads: int) -> int:
    """Replace zingers in frames (frame, row, column); give how many there were in the inner rows."""
    batch = max(1, BATCH // frames[0].size) if len(frames) else 1

    def clean(start: int) -> int:
        part = frames[start : start + batch]
        pixels = np.flatnonzero(_candidates(part, parameters))
        frame, row, column = np.unravel_index(pixels, part.shape)
        value, middle = part[frame, row, column], _median(part, (frame, row, column), parameters.size)
        # of unsigned types too: never below zero
        excess = np.maximum(value, middle) - middle
        zinger = excess > np.float32(parameters.threshold) * np.abs(middle)
        part[frame[zinger], row[zinger], column[zinger]] = middle[zinger]
        return int(np.count_nonzero((row[zinger] >= inner.start) & (row[zinger] < inner.stop)))

    return sum(each(clean, range(0, len(frames), batch), threads))


def _candidates(frames: NDArray[Any], parameters: Outliers) -> NDArray[np.bool_]:
    """Tell which pixels may be zingers: those that are so already against the minimum around them.

    The minimum costs a tenth of the median, is never above it, and nearly all pixels pass it.
    """
    low = frames.copy()
    for axis in (1, 2):
        lower = low.swapaxes(axis, 0)
        for _ in range(parameters.size // 2):
            before = lower.copy(order="K")
            np.minimum(lower[1:], before[:-1], out=lower[1:])
            np.minimum(lower[:-1], before[1:], out=lower[:-1])
    # m + t |m| grows with m for t up to 1, so that the minimum bounds it from below
    share = np.float32(min(parameters.threshold, 1.0))
    return np.asarray(frames > low + share * np.abs(low))


def _median(frames: NDArray[Any], pixels: tuple[NDArray[np.intp], ...], size: int) -> NDArray[Any]:
    """Give the median of size × size around some pixels (frame, row, column), edges repeated."""
    frame, row, column = pixels
    reach = np.arange(size) - size // 2
    rows = np.clip(row[:, None, None] + reach[:, None], 0, frames.shape[1] - 1)
    columns = np.clip(column[:, None, None] + reach, 0, frames.shape[2] - 1)
    around = frames[frame[:, None, None], rows, columns].reshape(len(frame), size * size)
    return np.asarray(np.partition(around, size * size // 2, axis=1)[:, size * size // 2])


STEP = Step(
    name="outliers",
    apply=outliers,
    parameters=Outliers,
    axis=Axis.PROJECTION,
    place=10,
    halo=lambda parameters, scan: parameters.size // 2,
)
