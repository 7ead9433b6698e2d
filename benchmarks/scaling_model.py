"""What ranks send, by the formulas of `docs/scaling.md`, and how long that would take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcdaas.parallel.tiles import Box, Tiling, make_tiling
from hpcdaas.ptycho.geometry import MARGIN, Geometry

#: Bytes of a complex value, of a weight, and of what ranks say when they meet.
WAVE, WEIGHT, WORD = 8, 4, 32
#: Meetings and small sums of an iteration of DM: misfit, two halos, probe and its weight, the largest weight.
DM_MEETINGS, DM_SUMS = 6, 3


def raster(views: int, step: int) -> NDArray[np.int32]:
    """Give the corners of a square raster scan of about as many views, (view, 2)."""
    side = max(1, round(math.sqrt(views)))
    y, x = np.divmod(np.arange(side**2), side)
    return np.stack([y, x], axis=1).astype(np.int32) * step


def geometry_of(corners: NDArray[np.int32], n: int) -> Geometry:
    """Lay windows on an object as small as holds them, as the program does."""
    at = corners - corners.min(axis=0) + MARGIN
    rows, columns = (at.max(axis=0) + n + MARGIN).tolist()
    return Geometry(n, (1.0, 1.0), at + float(n // 2), (rows, columns))


def tiling_of(geometry: Geometry, ranks: int) -> Tiling:
    """Cut the object as the program does."""
    return make_tiling(geometry.corners, geometry.n, geometry.shape, ranks)


@dataclass(frozen=True)
class Sends:
    """Pixels that a rank sends in an iteration, each time it sends them; the messages; the ranks that get some."""

    pixels: int
    messages: int
    neighbours: int


def _shared(boxes: NDArray[np.int64], box: Box | NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the pixels that each of some boxes (…, 4) shares with one."""
    top, bottom, left, right = np.moveaxis(np.asarray(box), -1, 0)
    height = np.minimum(boxes[..., 1], bottom) - np.maximum(boxes[..., 0], top)
    width = np.minimum(boxes[..., 3], right) - np.maximum(boxes[..., 2], left)
    return np.maximum(height, 0) * np.maximum(width, 0)


def sends_of_tiles(tiling: Tiling) -> Iterator[Sends]:
    """Say what each rank sends when sums of all views are completed once: all pixels that two tiles share."""
    held = np.array(tiling.held, np.int64)
    for rank, box in enumerate(tiling.held):
        shared = _shared(held, box)
        shared[rank] = 0
        some = int(np.count_nonzero(shared))
        yield Sends(int(shared.sum()), some, some)


def _windows(corners: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    y, x = corners.T.astype(np.int64)
    return np.stack([y, y + n, x, x + n], axis=1)


def sends_of_views(tiling: Tiling, geometry: Geometry) -> Iterator[Sends]:
    """Say what each rank sends when sums are completed view by view: all pixels of a window that are another's too."""
    held, windows = np.array(tiling.held, np.int64), _windows(geometry.corners, geometry.n)
    for rank, box in enumerate(tiling.held):
        near = np.flatnonzero(_shared(held, box))
        near = near[near != rank]
        shared = _shared(held[near][None], windows[tiling.owner == rank][:, None])
        yield Sends(int(shared.sum()), int(np.count_nonzero(shared)), len(near))


def sends_of_groups(tiling: Tiling, geometry: Geometry, order: NDArray[np.int32], group: int) -> Iterator[Sends]:
    """Say what each rank sends when sums are completed group by group: what two windows of it touch goes once."""
    held, windows = np.array(tiling.held, np.int64), _windows(geometry.corners, geometry.n)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order)) // group
    for rank, box in enumerate(tiling.held):
        near = np.flatnonzero(_shared(held, box))
        near = near[near != rank]
        boxes = [tiling.held[q].both(box).within(box).slices for q in near]
        mine = np.flatnonzero(tiling.owner == rank)
        pixels = messages = 0
        for one in np.unique(number[mine]):
            touched = np.zeros(box.shape, np.bool_)
            for top, bottom, left, right in windows[mine[number[mine] == one]].tolist():
                touched[Box(top, bottom, left, right).within(box).slices] = True
            counts = [int(np.count_nonzero(touched[there])) for there in boxes]
            pixels += sum(counts)
            messages += sum(count > 0 for count in counts)
        yield Sends(pixels, messages, len(near))


def busiest(sends: Iterator[Sends]) -> Sends:
    """Give the most of each that one rank has."""
    every = list(sends)
    return Sends(*(max(getattr(s, name) for s in every) for name in ("pixels", "messages", "neighbours")))


def inner_tile(n: int, step: int, side: int) -> tuple[int, int]:
    """Give the pixels that a tile of side × side views with tiles all around it sends: at once, and view by view."""
    edge, pitch = (side - 1) * step + n, side * step
    away = [d * pitch for d in range(1, -(-edge // pitch) + 1)]
    both = edge + 2 * sum(max(0, edge - d) for d in away)
    singly = sum(
        n + sum(max(0, i * step + n - d) + max(0, min(n, edge - d - i * step)) for d in away) for i in range(side)
    )
    return both**2 - edge**2, singly**2 - (side * n) ** 2


@dataclass(frozen=True)
class Machine:
    """What the time of many ranks is worked out for.

    Attributes
    ----------
    bandwidth : float
        Of a node, bytes/s, which its ranks share.
    latency : float
        Of a message, s.
    filesystem : float
        Bytes/s, of all ranks together.
    per_node : int
        Ranks on a node.
    """

    bandwidth: float
    latency: float
    filesystem: float
    per_node: int

    def move(self, amount: float, messages: float, ranks: int) -> float:
        """Give the seconds of bytes that a rank sends; all leave the node, and all ranks of it send at once."""
        if ranks == 1:
            return 0.0
        return amount * min(ranks, self.per_node) / self.bandwidth + messages * self.latency

    def reduce(self, payload: float, ranks: int) -> float:
        """Give the seconds of an Allreduce: there and back through a tree; nodes add up their ranks' at no cost."""
        return 2 * math.ceil(math.log2(ranks)) * self.latency + (2 * payload / self.bandwidth if ranks > 1 else 0.0)


@dataclass(frozen=True)
class Ptychography:
    """A scan of n² frames, and the seconds that one core takes for a view, and for the lists of a view of the scan."""

    n: int
    dm_view: float
    lsq_view: float
    listed: float

    def dm(self, machine: Machine, ranks: int, views: float, sends: Sends) -> float:
        """Give the seconds of an iteration of the difference map; `views` of the rank that has most."""
        probe = self.n**2
        meetings = DM_MEETINGS * machine.reduce(WORD, ranks) + machine.reduce(24, ranks)
        sums = machine.reduce(WAVE * probe, ranks) + machine.reduce(WEIGHT * probe, ranks)
        halo = machine.move((WAVE + WEIGHT) * sends.pixels, 2 * sends.neighbours, ranks)
        return views * self.dm_view + meetings + sums + halo

    def lsqml(self, machine: Machine, ranks: int, total: int, group: int, sends: Sends) -> float:
        """Give the seconds of an iteration of LSQ-ML: each group is as slow as the rank with most of its views."""
        groups, most = -(-total // group), -(-group // ranks)
        each = machine.reduce(WORD, ranks) + machine.reduce(WAVE * self.n**2, ranks) + machine.reduce(16, ranks)
        # of a group's views the busiest rank has `most`, and each brings its part of what a rank sends in all
        pixels = sends.pixels / math.ceil(total / ranks) * most
        halo = machine.move(WAVE * pixels, sends.neighbours, min(ranks, group))
        lists = self.listed * total if ranks > 1 else 0.0
        return groups * (most * self.lsq_view + each + (halo if ranks > 1 else 0.0)) + lists


@dataclass(frozen=True)
class Tomography:
    """A scan of 16 bit counts, the seconds that one core takes for a slice, and for what rank 0 does alone."""

    angles: int
    rows: int
    columns: int
    slice: float
    alone: float
    blocks: int = 8

    def run(self, machine: Machine, ranks: int) -> float:
        """Give the seconds of a run, as if nothing overlapped: read, re-slice, compute, write, and rank 0 alone."""
        counts, volume = 2 * self.angles * self.rows * self.columns, 4 * self.rows * self.columns**2
        sent = (ranks - 1) / ranks * counts / ranks
        # rows of a rank come in pairs as long as there are enough
        pair = 2 if self.rows >= 2 * ranks else 1
        most = pair * math.ceil(self.rows / (pair * ranks))
        exchange = machine.move(sent, self.blocks * (ranks - 1), ranks)
        return (counts + volume) / machine.filesystem + exchange + most * self.slice + self.alone
