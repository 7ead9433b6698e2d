"""A plane cut into tiles, one for each rank, by the windows on it: plain arithmetic, the same on every rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcdaas.parallel.split import shares

Int32 = NDArray[np.int32]


class Box(NamedTuple):
    """Rows top … bottom − 1 and columns left … right − 1."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return max(0, self.bottom - self.top), max(0, self.right - self.left)

    @property
    def empty(self) -> bool:
        """Whether there is no pixel in it."""
        return 0 in self.shape

    def both(self, other: Box) -> Box:
        """Give the pixels that are in both."""
        return Box(
            max(self.top, other.top), min(self.bottom, other.bottom),
            max(self.left, other.left), min(self.right, other.right),
        )  # fmt: skip

    def around(self, other: Box) -> Box:
        """Give the smallest box that holds both."""
        if self.empty or other.empty:
            return other if self.empty else self
        return Box(
            min(self.top, other.top), max(self.bottom, other.bottom),
            min(self.left, other.left), max(self.right, other.right),
        )  # fmt: skip

    def grown(self, margin: int) -> Box:
        """Give it with some pixels more on each side."""
        return Box(self.top - margin, self.bottom + margin, self.left - margin, self.right + margin)

    def within(self, origin: Box) -> Box:
        """Give it as seen from the first pixel of another one."""
        return Box(
            self.top - origin.top, self.bottom - origin.top, self.left - origin.left, self.right - origin.left
        )  # fmt: skip

    @property
    def slices(self) -> tuple[slice, slice]:
        """For the last two axes of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Tiling:
    """Who has what.

    Attributes
    ----------
    owner : ndarray, (window,), int32
        Rank of each window.
    owned : list of Box
        The pixels that each rank counts as its own: each pixel once.
    held : list of Box
        The pixels that each rank has: its own, and all that its windows touch.
    """

    owner: Int32
    owned: list[Box]
    held: list[Box]


def assign(corners: Int32, n: int, shape: tuple[int, int], ranks: int) -> tuple[Int32, list[Box]]:
    """Cut a plane so that each rank has as many windows, one more or less for each cut, and those lie together.

    The plane is cut across its longer side, into as many strips as the number of ranks has as its largest small factor,
    and each strip again: coordinate bisection, M. J. Berger, S. H. Bokhari, IEEE Trans. Comput. C-36, 570 (1987), where
    that number is a power of two; 36 ranks on a square have squares, too.

    Parameters
    ----------
    corners : ndarray, (window, 2), int32
        First row and column of each window of n × n pixels.
    n : int
    shape : tuple of int
        Rows and columns of the plane.
    ranks : int

    Returns
    -------
    owner : ndarray, (window,), int32
        Rank of each window.
    owned : list of Box
        The pixels of each rank, each pixel once.
    """
    owner = np.zeros(len(corners), np.int32)
    owned = [Box(0, 0, 0, 0)] * ranks

    def cut(windows: NDArray[np.intp], box: Box, first: int, count: int) -> None:
        if count == 1:
            owner[windows], owned[first] = first, box
            return
        places = corners[windows]
        spread = np.ptp(places, axis=0) if len(windows) else np.array(box.shape)
        axis = int(spread[1] > spread[0])
        order = windows[np.lexsort((places[:, 1 - axis], places[:, axis]))]
        line, begin = box[2 * axis], 0
        for part in _parts(count):
            end = len(windows) * part.stop // count
            here = list(box)
            here[2 * axis] = line
            if part.stop < count:  # through the middle between the last window here and the first one there
                line = _between(corners[order, axis], end, n, line, box[2 * axis + 1])
                here[2 * axis + 1] = line
            cut(order[begin:end], Box(*here), first + part.start, len(part))
            begin = end

    cut(np.arange(len(corners)), Box(0, shape[0], 0, shape[1]), 0, ranks)
    return owner, owned


def _parts(count: int) -> list[range]:
    """Share a number of ranks out to strips of one width; to two of nearly one where it has no small factor."""
    strips = next((factor for factor in (7, 5, 3, 2) if count % factor == 0), 2)
    return shares(count, strips)


def _between(places: Int32, index: int, n: int, low: int, high: int) -> int:
    if 0 < index < len(places):
        return int(np.clip((int(places[index - 1]) + int(places[index]) + n) // 2, low, high))
    return high if index else low


def make_tiling(corners: Int32, n: int, shape: tuple[int, int], ranks: int) -> Tiling:
    """Cut a plane into tiles, and give each rank also all that its windows touch. See `assign`."""
    owner, owned = assign(corners, n, shape, ranks)
    order = np.argsort(owner, kind="stable")
    edges = np.searchsorted(owner[order], np.arange(ranks + 1))
    held = []
    for box, begin, end in zip(owned, edges[:-1], edges[1:], strict=True):
        if end > begin:
            mine = corners[order[begin:end]]
            (top, left), (bottom, right) = mine.min(axis=0).tolist(), (mine.max(axis=0) + n).tolist()
            box = box.around(Box(top, bottom, left, right))
        held.append(box)
    return Tiling(owner, owned, held)
