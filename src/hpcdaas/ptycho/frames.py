"""Which part of a frame is used, and which of its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
#: Edge of the smallest square, pixels as they are used.
SMALLEST = 8


class FramesParameters(Parameters):
    """Parameters of `frames`."""

    size: int | None = Field(
        None, ge=SMALLEST, le=8192, description="edge of the square that is cut out (default: all)"
    )
    bin: int = Field(1, ge=1, le=16, description="detector pixels along an edge that are added up to one")
    row: float | None = Field(None, ge=0, description="of the direct beam (default: the file's, else centre of mass)")
    column: float | None = Field(None, ge=0, description="of the direct beam")
    saturation: float | None = Field(None, gt=0, description="counts at and above this aren't used")
    hot: float = Field(10.0, ge=0, description="pixels this many times above all neighbours aren't used; 0: off")


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
    saturation : float
        Counts at or above this, as stored, aren't used.
    dark : ndarray, (size, size), float32, or None
        What is subtracted.
    mean : ndarray, (n, n), float32
        Mean of some frames, 0 where a pixel isn't used.
    brightest : float
        Most counts of one of them, in the pixels that are used.
    """

    row: int
    column: int
    size: int
    bin: int
    good: NDArray[np.bool_]
    saturation: float
    dark: NDArray[np.float32] | None
    mean: NDArray[np.float32]
    brightest: float

    @property
    def n(self) -> int:
        """Edge of a frame as it is used."""
        return self.size // self.bin

    @property
    def limit(self) -> float:
        """Counts of a frame as it is used that aren't: none, where `apply` has marked the saturated ones."""
        return self.saturation if self.bin == 1 and self.dark is None else np.inf

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Give the type of the frames as they are used: as stored where nothing is added or subtracted."""
        return stored if self._as_stored(stored) else np.dtype(np.float32)

    def _as_stored(self, stored: np.dtype[Any]) -> bool:
        return self.dark is None and self.bin == 1 and stored in KEPT

    def apply(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Cut whole frames (view, row, column) to (view, n, n): a view where nothing else is done."""
        part: NDArray[Any] = frames[:, self.row : self.row + self.size, self.column : self.column + self.size]
        if self._as_stored(frames.dtype):
            return part
        values = part.astype(np.float32)
        bad = (values < 0) | (values >= self.saturation)
        if self.dark is not None:
            values = np.maximum(values - self.dark, 0)
        values[bad] = -1
        if self.bin == 1:
            return values
        shape = (len(values), self.n, self.bin, self.n, self.bin)
        binned: NDArray[Any] = values.reshape(shape).sum(axis=(2, 4))
        binned[bad.reshape(shape).any(axis=(2, 4))] = -1
        return binned


_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.bool_)
#: Types that the primitives take as they are.
KEPT = tuple(np.dtype(t) for t in ("u1", "u2", "i2", "u4", "i4", "f4"))


def frames(scan: PtychoScan, parameters: FramesParameters) -> Cut:
    """Choose the square of a frame around the direct beam, and the pixels that are used.

    Pixels that the mask excludes, hot ones (alone or in pairs far above all around them in the mean frame) and, in
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
    saturation = parameters.saturation or scan.saturation or _largest(scan.frames.dtype)
    mean = np.zeros(scan.shape[1:])
    for index in chosen:
        one = scan.frames.read(slice(int(index), int(index) + 1), slice(None))[0].astype(np.float64)
        if not np.isfinite(one).all():
            raise InputError(f"Frame {index} holds values that are not finite.")
        one[(one < 0) | (one >= saturation) | ~good] = 0
        mean += (one if scan.dark is None else np.maximum(one - scan.dark, 0)) / len(chosen)
    if not mean.any():
        raise InputError(
            f"All {len(chosen)} frames that were looked at are empty.", "Is the mask right? Was the shutter open?"
        )
    good = good & ~_hot(mean, parameters.hot)
    row, column, size = _square(scan, parameters, np.where(good, mean, 0))
    here = (slice(row, row + size), slice(column, column + size))
    n, b = size // parameters.bin, parameters.bin
    binned = np.asarray(good[here].reshape(n, b, n, b).all(axis=(1, 3)))
    average = np.where(binned, mean[here].reshape(n, b, n, b).sum(axis=(1, 3)), 0).astype(np.float32)
    dark = None if scan.dark is None else np.asarray(scan.dark[here], np.float32)
    cut = Cut(row, column, size, b, binned, saturation, dark, average, 0.0)
    # again, for only now it's known which pixels count
    return replace(cut, brightest=max(_light(cut, scan, int(index)) for index in chosen))


def _light(cut: Cut, scan: PtychoScan, index: int) -> float:
    """Add up the counts of a frame in the pixels that are used."""
    one = cut.apply(scan.frames.read(slice(index, index + 1), slice(None)))[0]
    return float(one[cut.good & (one >= 0) & (one < cut.limit)].sum(dtype=np.float64))


def _largest(dtype: np.dtype[Any]) -> float:
    """Give the limit of a type: the largest number of an unsigned one marks pixels that don't count."""
    return float(np.iinfo(dtype).max) if dtype.kind == "u" and dtype.itemsize > 1 else np.inf


def _hot(mean: NDArray[np.float64], times: float) -> NDArray[np.bool_]:
    """Find pixels far above all of their neighbours but one: light that a detector resolves falls off over more."""
    if not times:
        return np.zeros(mean.shape, np.bool_)
    around = ndimage.rank_filter(mean, -2, footprint=_NEIGHBOURS, mode="constant")
    return np.asarray(mean > times * (around + 1.0))


def _square(scan: PtychoScan, p: FramesParameters, mean: NDArray[np.float64]) -> tuple[int, int, int]:
    """Give first row, first column and edge of the square with the direct beam at index n // 2."""
    rows, columns = mean.shape
    middle, b = _beam(scan, p, mean), p.bin
    if middle[0] >= rows or middle[1] >= columns:
        raise InputError(
            f"The direct beam at ({middle[0]}, {middle[1]}) is off the frames of {rows} × {columns}.",
            "Give another: -s frames.row=... -s frames.column=...",
        )
    room = min(min(2 * (c // b) + 1, 2 * ((length - c) // b)) for c, length in zip(middle, mean.shape, strict=True))
    n = p.size or room
    if n > room or n < SMALLEST:
        wrong = f"not of {n}" if n > room else "which is too small"
        smaller = "frames.size" if n > room else "frames.bin" if b > 1 else ""
        raise InputError(
            f"Around the direct beam at ({middle[0]}, {middle[1]}) the frames of {rows} × {columns} pixels hold a "
            f"square of {room}{f' × {b}' if b > 1 else ''}, {wrong}.",
            (f"Give a smaller -s {smaller}=..., or the beam" if smaller else "Give the beam")
            + ": -s frames.row=... -s frames.column=...",
        )
    # where that isn't all there is, of a length for fast transforms
    while p.size is None and n < min(rows, columns) // b and n > SMALLEST and next_smooth(n) != n:
        n -= 1
    return middle[0] - n // 2 * b, middle[1] - n // 2 * b, n * b


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
