"""Stripes in sinograms, which would become rings in slices."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field, field_validator

from hpcdaas.backend import Float32
from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.threads import each

#: Angles over which a column that follows the sample may be smoothed.
SMOOTH = 10
#: Columns that are smoothed at once, so that they stay in the cache.
SLAB = 64


class Stripes(Parameters):
    """Parameters of `stripes`."""

    method: Literal["sorting", "large", "all"] = Field(
        "all", description="sorting: faint narrow ones; large: strong wide ones; all: dead columns, large, sorting"
    )
    size: int = Field(11, ge=3, description="columns of the median in 'sorting', odd: over twice a stripe's width")
    large_size: int = Field(31, ge=3, description="the same for large stripes and dead columns")
    snr: float = Field(3.0, ge=1, description="how far a column must stand out to be a large stripe or dead")

    @field_validator("size", "large_size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("it must be odd")
        return size


def stripes(block: Block, parameters: Stripes) -> None:
    """Remove stripes by sorting each column over the angles (Vo).

    N. T. Vo, R. C. Atwood and M. Drakopoulos, Opt. Express 26, 28396 (2018): algorithm 3
    (``sorting``), 4 and 5 (``large``), 6 (dead columns, first in ``all``). Neighbouring columns see
    nearly the same values over all angles, so after each column is sorted a stripe is a plain
    vertical line, and nothing of the sample is. Algorithm 3 gives each value the median, over
    columns, of those of its rank. The paper divides a column's gain out of the transmission; here the
    data are its logarithm, and the same gain is an offset that is subtracted.

    Parameters
    ----------
    block : Block
        Line integrals; every row is a sinogram that is corrected in place.
    parameters : Stripes
    """
    data, sorting = block.values(), block.backend.sorting
    threads = min(block.backend.threads, data.shape[1])

    def clean(rows: range) -> None:
        # of all these sinograms: getting new memory takes a quarter of the time
        order = np.empty((data.shape[2], data.shape[0]), np.int32)
        ranked, smooth, spare = (np.empty(order.shape, np.float32) for _ in range(3))
        for row in rows:
            sinogram = data[:, row]
            if parameters.method == "all":
                fill_dead(sinogram, parameters.large_size, parameters.snr)
            sorting.sort(sinogram, order, ranked)
            if parameters.method in ("large", "all"):
                sorting.median(ranked, parameters.large_size, smooth)
                level(ranked, smooth, parameters.snr, spare)
            if parameters.method in ("sorting", "all"):
                sorting.median(ranked, parameters.size, smooth)
            sorting.unsort(order, ranked if parameters.method == "large" else smooth, sinogram)

    each(clean, [range(first, data.shape[1], threads) for first in range(threads)], threads)


def level(ranked: Float32, smooth: Float32, snr: float, spare: Float32) -> None:
    """Level all columns, then give columns that stand out the smoothed values of their ranks.

    Algorithm 5: a column's offset is what its ranks have in common of the difference to the median
    over columns. The paper takes the mean; the median over the ranks leaves out those at which an
    edge of the sample runs along the stripe, and alters a sample with sharp edges far less. A wide
    stripe isn't only an offset: its columns take the neighbours' values, in their own order.

    Parameters
    ----------
    ranked : ndarray, (column, rank), float32
        Changed in place.
    smooth : ndarray, (column, rank), float32
        Its running median over columns.
    snr : float
        See `stand_out`.
    spare : ndarray, (column, rank), float32
        Room.
    """
    offset = np.median(np.subtract(ranked, smooth, out=spare), axis=1, overwrite_input=True)
    wrong = scipy.ndimage.binary_dilation(stand_out(offset, snr))
    ranked -= offset[:, None]
    ranked[wrong] = smooth[wrong]


def fill_dead(sinogram: Float32, size: int, snr: float) -> None:
    """Fill columns that don't follow the sample, or flicker, from their neighbours.

    Algorithm 6: how much a column differs from itself smoothed over the angle is compared with
    the median of that over `size` columns; columns that stand out are interpolated linearly.

    Parameters
    ----------
    sinogram : ndarray, (angle, column), float32
        Changed in place.
    size : int
        Columns of the median, odd.
    snr : float
        See `stand_out`.
    """
    activity = flicker(sinogram)
    usual = scipy.ndimage.median_filter(activity, size)
    ratio = np.divide(activity, usual, out=np.ones_like(activity), where=usual > 0)
    dead = scipy.ndimage.binary_dilation(stand_out(ratio, snr))
    dead[:2] = dead[-2:] = False  # nothing to interpolate between
    good = np.flatnonzero(~dead)
    for column in np.flatnonzero(dead):
        right = int(np.searchsorted(good, column))
        a, b = good[right - 1], good[right]
        t = np.float32((column - a) / (b - a))
        sinogram[:, column] = (1 - t) * sinogram[:, a] + t * sinogram[:, b]


def flicker(sinogram: Float32) -> NDArray[np.float64]:
    """Give the mean difference of each column to itself smoothed over `SMOOTH` angles, mirrored at the ends.

    Parameters
    ----------
    sinogram : ndarray, (angle, column), float32

    Returns
    -------
    ndarray, (column,), float64
    """
    found = np.empty(sinogram.shape[1], np.float64)
    for first in range(0, len(found), SLAB):
        part = sinogram[:, first : first + SLAB]
        padded = np.pad(part, ((SMOOTH // 2, SMOOTH - 1 - SMOOTH // 2), (0, 0)), mode="symmetric")
        total = sum(padded[shift : shift + len(part)] for shift in range(SMOOTH))
        found[first : first + SLAB] = np.abs(part - total / SMOOTH).mean(axis=0, dtype=np.float64)
    return found


def stand_out(values: NDArray[np.floating], snr: float) -> NDArray[np.bool_]:
    """Tell which values don't belong to the rest.

    Algorithm 4: a line is fitted to the middle half of the sorted values and drawn out to both
    ends; its height over the whole length is the noise. Where the largest or the smallest value
    is more than `snr` noises off the line's end, values more than half of that off are outliers.

    Parameters
    ----------
    values : ndarray, (n,)
    snr : float

    Returns
    -------
    ndarray, (n,), bool
    """
    ranked = np.sort(values.astype(np.float64))
    n = len(ranked)
    place = np.arange(n)
    middle = slice(n // 4, n - n // 4)
    slope, start = np.polyfit(place[middle], ranked[middle], 1) if n >= 8 else (0.0, 0.0)
    noise = abs(slope) * (n - 1)
    found = np.zeros(n, np.bool_)
    if noise == 0:
        return found
    end = start + slope * (n - 1)
    if ranked[-1] - end > snr * noise:
        found |= values > end + snr * noise / 2
    if start - ranked[0] > snr * noise:
        found |= values < start - snr * noise / 2
    return found


STEP = Step(name="stripes", apply=stripes, parameters=Stripes, axis=Axis.SINOGRAM, place=50, row_work=20)
