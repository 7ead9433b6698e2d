"""Which part of a frame is used, and which of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from hpcdaas.backend import next_smooth
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.scan import PtychoScan
from hpcdaas.step import Axis, Step

#: Frames, evenly over the scan, whose mean is looked at.
SAMPLED = 64
#: A centre of mass this near to the middle, share of the edge, means the middle: frames are seldom symmetric.
NEAR = 1 / 16


class FramesParameters(Parameters):
    """Parameters of `frames`."""

    size: int | None = Field(None, ge=8, le=8192, description="edge of the square that is cut out (default: all)")
    bin: int = Field(1, ge=1, le=16, description="detector pixels along an edge that are added up to one")
    row: float | None = Field(None, ge=0, description="of the direct beam (default: the file's, else centre of mass)")
    column: float | None = Field(None, ge=0, description="of the direct beam")
    saturation: float | None = Field(None, gt=0, description="counts at and above this aren't used")
    hot: float = Field(30.0, ge=0, description="pixels this many times above their surroundings aren't used; 0: off")


@dataclass(frozen=True)
class Cut:
    """The part of the frames that is used.

    Attributes
    ----------
    row, column : int
        First of each, of the frames as stored.
    size : int
        Edge of the square, detector pixels.
    bin : int
        Detector pixels along an edge of one that is used.
    good : ndarray, (n, n), bool
        Pixels that are used.
    limit : float
        Counts at or above this aren't used.
    dark : ndarray, (size, size), float32, or None
        What is subtracted.
    mean : ndarray, (n, n), float32
        Mean of some frames, 0 where a pixel isn't used.
    brightest : float
        Most counts of one of them.
    """

    row: int
    column: int
    size: int
    bin: int
    good: NDArray[np.bool_]
    limit: float
    dark: NDArray[np.float32] | None
    mean: NDArray[np.float32]
    brightest: float

    @property
    def n(self) -> int:
        """Edge of a frame as it is used."""
        return self.size // self.bin

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Give the type of the frames as they are used: as stored where nothing is added or subtracted."""
        if self.dark is None and self.bin == 1 and stored in KEPT:
            return stored
        return np.dtype(np.float32)

    def apply(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Cut whole frames (view, row, column) to (view, n, n): a view where nothing else is done."""
        part = frames[:, self.row : self.row + self.size, self.column : self.column + self.size]
        kind = self.dtype(frames.dtype)
        if kind == frames.dtype:
            return part
        values = part.astype(np.float32)
        bad = (values < 0) | (values >= self.limit)
        if self.dark is not None:
            values = np.maximum(values - self.dark, 0)
        values[bad] = -1
        if self.bin == 1:
            return values
        shape = (len(values), self.n, self.bin, self.n, self.bin)
        binned = values.reshape(shape).sum(axis=(2, 4))
        binned[bad.reshape(shape).any(axis=(2, 4))] = -1
        return binned


#: Types that the primitives take as they are.
KEPT = tuple(np.dtype(t) for t in ("u1", "u2", "i2", "u4", "i4", "f4"))


def frames(scan: PtychoScan, parameters: FramesParameters) -> Cut:
    """Choose the square of a frame around the direct beam, and the pixels that are used.

    Pixels that the mask excludes, hot ones (far above the median of their 5×5 neighbours in the mean frame) and, in
    each frame, saturated ones and those below 0 aren't used; no value is altered.

    Parameters
    ----------
    scan : PtychoScan
    parameters : FramesParameters

    Returns
    -------
    Cut

    Raises
    ------
    InputError
        If all frames are empty, or the square reaches beyond them.
    """
    count = scan.shape[0]
    chosen = np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(int))
    good = np.ones(scan.shape[1:], np.bool_) if scan.good is None else scan.good
    limit = parameters.saturation or scan.saturation or _largest(scan.frames.dtype)
    total, brightest = np.zeros(scan.shape[1:]), 0.0
    for index in chosen:
        one = scan.frames.read(slice(int(index), int(index) + 1), slice(None))[0].astype(np.float64)
        if not np.isfinite(one).all():
            raise InputError(f"Frame {index} holds values that are not finite.")
        one[(one < 0) | (one >= limit) | ~good] = 0
        if scan.dark is not None:
            one = np.maximum(one - scan.dark, 0)
        total += one
        brightest = max(brightest, float(one.sum()))
    mean = total / len(chosen)
    if not mean.any():
        raise InputError(
            f"All {len(chosen)} frames that were looked at are empty.", "Is the mask right? Was the shutter open?"
        )
    good = good & ~_hot(mean, good, parameters.hot)
    row, column, size = _square(scan, parameters, np.where(good, mean, 0))
    here = (slice(row, row + size), slice(column, column + size))
    n, b = size // parameters.bin, parameters.bin
    binned = np.asarray(good[here].reshape(n, b, n, b).all(axis=(1, 3)))
    average = np.where(binned, mean[here].reshape(n, b, n, b).sum(axis=(1, 3)), 0).astype(np.float32)
    dark = None if scan.dark is None else np.asarray(scan.dark[here], np.float32)
    # where pixels are added up, those over the limit were marked before
    return Cut(row, column, size, b, binned, limit if b == 1 and dark is None else np.inf, dark, average, brightest)


def _largest(dtype: np.dtype[Any]) -> float:
    """Give the limit of a type: the largest number of an unsigned one marks pixels that don't count."""
    return float(np.iinfo(dtype).max) if dtype.kind == "u" and dtype.itemsize > 1 else np.inf


def _hot(mean: NDArray[np.float64], good: NDArray[np.bool_], times: float) -> NDArray[np.bool_]:
    """Find pixels far above the median of their neighbours."""
    if not times:
        return np.zeros(mean.shape, np.bool_)
    around = ndimage.median_filter(np.where(good, mean, 0), 5)
    return np.asarray(mean > times * (around + 1.0))


def _square(scan: PtychoScan, p: FramesParameters, mean: NDArray[np.float64]) -> tuple[int, int, int]:
    """Give first row, first column and edge of the square with the direct beam at index n // 2."""
    rows, columns = mean.shape
    middle = _beam(scan, p, mean)
    if p.size is not None:
        size = p.size * p.bin
    else:  # as large as fits around the beam; where that isn't all there is, of a length for fast transforms
        size = min(min(2 * c + 1, 2 * (length - c)) for c, length in zip(middle, mean.shape, strict=True)) // p.bin
        while size * p.bin < min(rows, columns) - p.bin and size > 8 and next_smooth(size) != size:
            size -= 1
        size *= p.bin
    half = size // p.bin // 2 * p.bin
    row, column = middle[0] - half, middle[1] - half
    if row < 0 or column < 0 or row + size > rows or column + size > columns or size < 8 * p.bin:
        raise InputError(
            f"A square of {size} pixels around the direct beam at ({middle[0]}, {middle[1]}) reaches beyond the frames "
            f"of {rows} × {columns}.",
            "Give a smaller one with -s frames.size=..., or the beam with -s frames.row=... -s frames.column=...",
        )
    return row, column, size


def _beam(scan: PtychoScan, p: FramesParameters, mean: NDArray[np.float64]) -> tuple[int, int]:
    """Give row and column of the direct beam, whole pixels."""
    given = scan.beam_center or (None, None)
    found = ndimage.center_of_mass(mean)
    middle = []
    for said, stored, mass, length in zip((p.row, p.column), given, found, mean.shape, strict=True):
        center = said if said is not None else stored
        if center is None:
            far = scan.focus_distance is None and abs(mass - length // 2) > NEAR * length
            center = mass if far else length // 2
        middle.append(round(center))
    return middle[0], middle[1]


STEP = Step(name="frames", apply=frames, parameters=FramesParameters, axis=Axis.FRAME, place=10)
