"""One rank's part of a scan: its views, and the part of the object that they touch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.views import Int32, Misfit, Sums, Views
from hpcdaas.parallel import Comm, Serial
from hpcdaas.parallel.halo import Halo
from hpcdaas.parallel.tiles import make_tiling
from hpcdaas.ptycho.geometry import Geometry


@contextmanager
def at_hand(array: NDArray[Any], views: Views, comm: Comm) -> Iterator[NDArray[Any]]:
    """Give an array where ranks can exchange it; what becomes of it there is so in the primitives' memory, too."""
    here = array if comm.links else views.get(array)
    yield here
    if here is not array:
        array[...] = views.put(here)


class Tile:
    """The views of a rank and its part of the object; with one rank all of both.

    Parameters
    ----------
    geometry : Geometry
    comm : Comm, optional

    Attributes
    ----------
    views : ndarray, (own view,), int32
        Their numbers in the scan, in its order.
    corners : ndarray, (own view, 2), int32
        Their windows in this part of the object.
    box, owned : Box
        The pixels of the object that this rank has, and those that it alone counts.
    """

    def __init__(self, geometry: Geometry, comm: Comm | None = None) -> None:
        self.comm, self.n = comm or Serial(), geometry.n
        self.all_corners = geometry.corners
        self.tiling = make_tiling(self.all_corners, geometry.n, geometry.shape, self.comm.size)
        self.halo = Halo(self.comm, self.tiling)
        self.box, self.owned = self.halo.held, self.halo.owned
        self.views = np.flatnonzero(self.tiling.owner == self.comm.rank).astype(np.int32)
        self.origin = np.array([self.box.top, self.box.left], np.int32)
        self.corners = self.all_corners[self.views] - self.origin
        self._number = np.full(len(self.all_corners), -1, np.int32)
        self._number[self.views] = np.arange(len(self.views), dtype=np.int32)

    @property
    def alone(self) -> bool:
        """Whether there is one rank."""
        return self.comm.size == 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of this part of the object."""
        return self.box.shape

    def own(self, order: Int32) -> Int32:
        """Give the own ones among some views, counted among the own."""
        if self.alone:
            return order
        mine = self._number[order]
        return mine[mine >= 0]

    def complete(self, sums: Sums, views: Views) -> None:
        """Add what all ranks' views say, in place."""
        if self.alone:
            return
        adds = (self.halo.add, self.halo.add, self.comm.add, self.comm.add)
        for add, array in zip(adds, (sums.object, sums.weight, sums.probe, sums.probe_weight), strict=True):
            if array is not None:
                with at_hand(array, views, self.comm) as here:
                    add(here)

    def total(self, *numbers: float) -> NDArray[np.float64]:
        """Add up numbers of all ranks."""
        together = np.array(numbers, np.float64)
        self.comm.add(together)
        return together

    def misfit(self, own: Misfit) -> Misfit:
        """Add up the misfits of all ranks' views."""
        return Misfit(*self.total(*own).tolist())

    def largest(self, array: NDArray[np.float32]) -> float:
        """Give the largest value of all ranks' parts."""
        return self.comm.largest(float(array.max()) if array.size else 0.0)

    def counted(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give the part of an array (…, y, x) of the object's pixels that this rank counts."""
        return array if self.alone else array[(..., *self.owned.within(self.box).slices)]

    def whole(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give an array (…, y, x) of the whole object to rank 0, and one without pixels to the others."""
        if self.alone:
            return array
        sends, comes = {}, {}
        lead = array.shape[:-2]
        if self.comm.rank == 0:
            bottom, right = (max(box[i] for box in self.tiling.owned) for i in (1, 3))
            out = np.empty((*lead, bottom, right), array.dtype)
            out[(..., *self.owned.slices)] = array[(..., *self.owned.within(self.box).slices)]
            comes = {q: np.empty((*lead, *box.shape), array.dtype) for q, box in enumerate(self.tiling.owned)
                     if q and not box.empty}  # fmt: skip
        else:
            out = np.empty((*lead, 0, 0), array.dtype)
            if not self.owned.empty:
                sends = {0: np.ascontiguousarray(array[(..., *self.owned.within(self.box).slices)])}
        self.comm.exchange(sends, comes)
        for q, part in comes.items():
            out[(..., *self.tiling.owned[q].slices)] = part
        return out

    def near(self, box: Sequence[int]) -> NDArray[np.bool_]:
        """Say which of all views touch a box of the object."""
        top, bottom, left, right = box
        y, x = self.all_corners.T
        return np.asarray((y < bottom) & (y + self.n > top) & (x < right) & (x + self.n > left))
