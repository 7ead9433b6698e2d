"""Groups of views that are spread over ranks: object and probe move after each, on all ranks alike."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.views import Complex64, Float32, Int32, Views
from hpcdaas.ptycho.tile import Tile, at_hand


@dataclass(frozen=True)
class _Selected:
    """Corners of some views, group after group."""

    corners: Int32
    bounds: NDArray[np.intp]

    def __getitem__(self, group: int) -> Int32:
        return self.corners[self.bounds[group] : self.bounds[group + 1]]


class GroupsBeside:
    """What the views of other ranks have to do with the groups of an iteration.

    Every rank knows all places, so that both sides of an exchange know which pixels it is about.

    Parameters
    ----------
    tile : Tile
    order : ndarray, (view,), int32
        All views, group after group.
    bounds : sequence of int
        Groups: ``order[bounds[i]:bounds[i + 1]]``.
    views : Views
    """

    def __init__(self, tile: Tile, order: Int32, bounds: Sequence[int], views: Views) -> None:
        self.tile, self._views = tile, views
        self.sizes = np.diff(bounds)
        self._group = np.repeat(np.arange(len(self.sizes)), self.sizes)
        self._corners = tile.all_corners[order] - tile.origin
        rank, owner = tile.comm.rank, tile.tiling.owner[order]
        reaches = tile.near(tile.box)[order]
        mine = owner == rank
        self.own_order = tile.own(order)
        self.own_bounds = self._bounds(mine)
        self.others = self._selected(~mine & reaches)
        self._boxes = {q: box.within(tile.box) for q, box in tile.halo.overlaps.items()}
        self._sent = {q: self._selected(mine & tile.near(tile.tiling.held[q])[order]) for q in self._boxes}
        self._coming = {q: self._selected((owner == q) & reaches) for q in self._boxes}

    def _bounds(self, chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
        counts = np.bincount(self._group[chosen], minlength=len(self.sizes))
        return np.concatenate([[0], np.cumsum(counts)])

    def _selected(self, chosen: NDArray[np.bool_]) -> _Selected:
        return _Selected(self._corners[chosen], self._bounds(chosen))

    def part(self, first: int, groups: int) -> Beside:
        """Give what belongs to some of the groups."""
        return Beside(self, first, groups)

    def complete(self, group: int, field: Complex64 | None, sums: Sequence[NDArray[Any]], light: float) -> float:
        """Add what other ranks' views of a group have summed up: to this rank's part of a field, and to sums of all.

        Gives the largest `light`.
        """
        views, comm, sends, comes, places = self._views, self.tile.comm, {}, {}, {}
        for rank, box in self._boxes.items():
            if field is None:
                break
            sent, coming = self._sent[rank][group], self._coming[rank][group]
            if len(sent):
                packed = views.touched(sent, box).pack(field)
                sends[rank] = packed if comm.links else views.get(packed)
            if len(coming):
                places[rank] = views.touched(coming, box)
                shape = len(field), places[rank].pixels
                comes[rank] = np.empty_like(field, shape=shape) if comm.links else np.empty(shape, np.complex64)
        with ExitStack() as stack:
            largest = comm.complete(
                light,
                {rank: packed for rank, packed in sends.items() if packed.size},
                {rank: packed for rank, packed in comes.items() if packed.size},
                [stack.enter_context(at_hand(array, views, comm)) for array in sums],
            )
        for rank, place in places.items():
            assert field is not None
            place.add(views.put(comes[rank]), field)
        return largest


class Beside:
    """See `hpcdaas.backend.views.Beside`.

    Parameters
    ----------
    whole : GroupsBeside
    first, groups : int
        Some of its groups.
    """

    def __init__(self, whole: GroupsBeside, first: int, groups: int) -> None:
        self._whole, self._first = whole, first
        edges = whole.others.bounds[first : first + groups + 1]
        self.near = whole.others.corners[edges[0] : edges[-1]]
        self.bounds: list[int] = (edges - edges[0]).tolist()
        self.all: list[int] = whole.sizes[first : first + groups].tolist()

    def sums(
        self, group: int, object_: Complex64 | None, probe: Complex64 | None, probe_weight: Float32 | None, light: float
    ) -> float:
        """See `hpcdaas.backend.views.Beside.sums`."""
        sums = [array for array in (probe, probe_weight) if array is not None]
        return self._whole.complete(self._first + group, object_, sums, light)

    def steps(self, group: int, object_step: float, probe_step: float) -> tuple[float, float]:
        """See `hpcdaas.backend.views.Beside.steps`."""
        both = np.array([object_step, probe_step])
        self._whole.tile.comm.add_at_once(both)  # between the sums and the steps nothing can fail
        return float(both[0]), float(both[1])
