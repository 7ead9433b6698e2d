"""Stripes in sinograms, which would become rings in slices."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field, field_validator

from hpcdaas.backend import Float32
from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.threads import each

#: The angles of each column by their values.
Order: TypeAlias = NDArray[np.int64]
#: Angles over which a column that follows the sample may be smoothed.
SMOOTH = 10
#: Numbers that a running median keeps at once, so that they stay in the cache.
BATCH = 1 << 16


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
    (``sorting``), 4 and 5 (``large``), 6 (dead columns, first in ``all``). The paper divides a
    column's gain out of the transmission; here the data are its logarithm, and the same gain is
    an offset that is subtracted.

    Parameters
    ----------
    block : Block
        Line integrals; every row is a sinogram that is corrected in place.
    parameters : Stripes
    """
    data = block.values()

    def clean(row: int) -> None:
        sinogram = np.ascontiguousarray(data[:, row].T)  # (column, angle)
        if parameters.method == "all":
            remove_dead(sinogram, parameters.large_size, parameters.snr)
        order = None
        if parameters.method in ("large", "all"):
            order = remove_large(sinogram, parameters.large_size, parameters.snr)
        if parameters.method in ("sorting", "all"):
            remove_by_sorting(sinogram, parameters.size, order)
        data[:, row] = sinogram.T

    each(clean, range(data.shape[1]), block.backend.threads)


def remove_by_sorting(sinogram: Float32, size: int, order: Order | None = None) -> None:
    """Give each value the median, over `size` columns, of the values of the same rank in their columns.

    Algorithm 3: neighbouring columns see nearly the same values over all angles, so after each
    column is sorted a stripe is a plain vertical line, and nothing of the sample is.

    Parameters
    ----------
    sinogram : ndarray, (column, angle), float32
        Changed in place.
    size : int
        Odd.
    order : ndarray, (column, rank), int, optional
        The angles of each column by their values, where they are known.
    """
    if order is None:
        order, ranked = by_rank(sinogram)
    else:
        ranked = np.take_along_axis(sinogram, order, axis=1)
    np.put_along_axis(sinogram, order, median_over_columns(ranked, size), axis=1)


def remove_large(sinogram: Float32, size: int, snr: float) -> Order:
    """Level all columns, then give columns that stand out the smoothed values of their ranks.

    Algorithm 5: a column's offset is what its ranks have in common of the difference to the median
    over columns. The paper takes the mean; the median over the ranks leaves out those at which an
    edge of the sample runs along the stripe, and alters a sample with sharp edges far less.

    Parameters
    ----------
    sinogram : ndarray, (column, angle), float32
        Changed in place.
    size : int
        Columns of the median, odd.
    snr : float
        See `stand_out`.

    Returns
    -------
    ndarray, (column, rank), int
        The angles of each column by their values: no column's order is changed.
    """
    order, ranked = by_rank(sinogram)
    smooth = median_over_columns(ranked, size)
    offset = np.median(ranked - smooth, axis=1)
    wrong = scipy.ndimage.binary_dilation(stand_out(offset, snr))
    sinogram -= offset[:, None]
    # a wide stripe isn't only an offset: its columns take the neighbours' values, in their own order
    repaired = sinogram[wrong]
    np.put_along_axis(repaired, order[wrong], smooth[wrong], axis=1)
    sinogram[wrong] = repaired
    return order


def remove_dead(sinogram: Float32, size: int, snr: float) -> None:
    """Fill columns that don't follow the sample, or flicker, from their neighbours.

    Algorithm 6: how much a column differs from itself smoothed over the angle is compared with
    the median of that over `size` columns; columns that stand out are interpolated linearly.

    Parameters
    ----------
    sinogram : ndarray, (column, angle), float32
        Changed in place.
    size : int
        Columns of the median, odd.
    snr : float
        See `stand_out`.
    """
    smooth = scipy.ndimage.uniform_filter1d(sinogram, SMOOTH, axis=1)
    activity = np.abs(sinogram - smooth).mean(axis=1, dtype=np.float64)
    usual = scipy.ndimage.median_filter(activity, size)
    ratio = np.divide(activity, usual, out=np.ones_like(activity), where=usual > 0)
    dead = scipy.ndimage.binary_dilation(stand_out(ratio, snr))
    dead[:2] = dead[-2:] = False  # nothing to interpolate between
    good = np.flatnonzero(~dead)
    for column in np.flatnonzero(dead):
        right = int(np.searchsorted(good, column))
        a, b = good[right - 1], good[right]
        t = np.float32((column - a) / (b - a))
        sinogram[column] = (1 - t) * sinogram[a] + t * sinogram[b]


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


def by_rank(sinogram: Float32) -> tuple[Order, Float32]:
    """Sort each column; equal values keep the order of their angles.

    Whole numbers of the value's bits and, below them, the angle's number are sorted much faster than an index is.

    Parameters
    ----------
    sinogram : ndarray, (column, angle), float32

    Returns
    -------
    order : ndarray, (column, rank), int
        The angles by their values.
    ranked : ndarray, (column, rank), float32
    """
    bits = sinogram.view(np.int32)
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)  # below zero the bits run backwards
    keys <<= 32
    keys |= np.arange(sinogram.shape[1])
    keys.sort(axis=1)
    bits = (keys >> 32).astype(np.int32)
    keys &= 0xFFFFFFFF
    return keys, (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)


def median_over_columns(ranked: Float32, size: int) -> Float32:
    """Give the running median over columns (axis 0) of `size`, mirrored at the edges.

    Parameters
    ----------
    ranked : ndarray, (column, rank), float32
    size : int
        Odd.

    Returns
    -------
    ndarray, (column, rank), float32
    """
    columns, ranks = ranked.shape
    margin = min(size // 2, columns - 1)
    tile = 1 << (margin + 1).bit_length() - 1
    tiles = -(-columns // tile)
    padded = np.pad(ranked, ((margin, margin), (0, 0)), mode="reflect")
    padded = np.pad(padded, ((0, tiles * tile - columns), (0, 0)))  # the last tile's rest is thrown away
    smooth = np.empty((tiles * tile, ranks), np.float32)
    batch = max(1, BATCH // (tile * ranks))
    for first in range(0, tiles, batch):
        here = slice(first * tile, (first + batch) * tile)
        _median_of_tiles(padded[here.start : here.stop + 2 * margin], smooth[here], margin, tile)
    return smooth[:columns]


def _median_of_tiles(padded: Float32, smooth: Float32, margin: int, tile: int) -> None:
    """Give the running median of some tiles: columns whose windows have a common part, which is sorted once.

    Of the sorted common part of `count` windows only `count` values around its middle can be a median. Each value that
    half of the windows have in common beside takes one from both ends of them (the forgetful selection), and so on with
    the halves until one is left; tiling and sharing are those of A. Adams, ACM Trans. Graph. 40, 70 (2021).

    Parameters
    ----------
    padded : ndarray, (column, rank), float32
        With `margin` columns at both ends.
    smooth : ndarray, (column, rank), float32
        Gets the medians.
    margin : int
    tile : int
        Columns of a tile, a power of two of at most `margin` + 1.
    """
    size, count = 2 * margin + 1, len(smooth)

    def of_all(column: int) -> Float32:
        """Give a column of each tile, counted from where its first window begins."""
        return padded[column : column + count - tile + 1 : tile]

    def narrow(kept: Float32, start: int, windows: int) -> None:
        if windows == 1:
            smooth[start::tile] = kept[0]
            return
        half = windows // 2
        for begin, added in ((start, start + half - 1), (start + half, start + size)):
            inner = kept
            for column in range(added, added + half):
                lower = np.maximum(of_all(column), inner[:-1])
                inner = np.minimum(lower, inner[1:], out=lower)
            narrow(inner, begin, half)

    common = np.sort([of_all(column) for column in range(tile - 1, size)], axis=0)
    narrow(common[margin - tile + 1 : margin + 1], 0, tile)


STEP = Step(name="stripes", apply=stripes, parameters=Stripes, axis=Axis.SINOGRAM, place=50, row_work=50)
