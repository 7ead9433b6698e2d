"""A plane cut into tiles, one for each rank, by the windows on it: plain arithmetic, the same on every rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def make_tiling(corners: Int32, n: int, shape: tuple[int, int], ranks: int) -> Tiling:
    """Cut a plane so that each rank has as many windows, one more or less, and those lie together.

    The plane is cut across its longer side, as often as there are ranks on the two sides: recursive coordinate
    bisection, M. J. Berger, S. H. Bokhari, IEEE Trans. Comput. C-36, 570 (1987).

    Parameters
    ----------
    corners : ndarray, (window, 2), int32
        First row and column of each window of n × n pixels.
    n : int
    shape : tuple of int
        Rows and columns of the plane.
    ranks : int
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
        left = count // 2
        some = len(windows) * left // count
        low, high = box[2 * axis], box[2 * axis + 1]
        line = low
        if 0 < some < len(windows):  # through the middle between the last window here and the first one there
            line = int(np.clip((corners[order[some - 1], axis] + corners[order[some], axis] + n) // 2, low, high))
        elif some:
            line = high
        here, there = list(box), list(box)
        here[2 * axis + 1] = there[2 * axis] = line
        cut(order[:some], Box(*here), first, left)
        cut(order[some:], Box(*there), first + left, count - left)

    cut(np.arange(len(corners)), Box(0, shape[0], 0, shape[1]), 0, ranks)
    held = []
    for rank, box in enumerate(owned):
        mine = corners[owner == rank]
        if len(mine):
            (top, left), (bottom, right) = mine.min(axis=0), mine.max(axis=0) + n
            box = box.around(Box(int(top), int(bottom), int(left), int(right)))
        held.append(box)
    return Tiling(owner, owned, held)
