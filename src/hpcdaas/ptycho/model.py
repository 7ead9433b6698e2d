"""What a ptychographic algorithm works on: object, probe, the views, and the primitives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.backend.views import Batch, Beside, Complex64, Int32, Misfit, Noise, Views
from hpcdaas.params import Parameters
from hpcdaas.ptycho.beside import GroupsBeside
from hpcdaas.ptycho.geometry import Geometry, by_place
from hpcdaas.ptycho.plan import OBJECTS, PROBES
from hpcdaas.ptycho.source import Source
from hpcdaas.ptycho.tile import Tile


class Iterations(Parameters):
    """Parameters that all algorithms have."""

    iterations: int = Field(100, ge=1, le=100_000, description="times that all views are gone over")
    seconds: float | None = Field(None, gt=0, description="it ends earlier when this time is over")
    stagnation: float = Field(
        0.0, ge=0, lt=1, description="it ends when the error falls by less than this share in 10 iterations; 0: never"
    )
    probe_from: int = Field(2, ge=0, description="iteration from which the probe is moved; more than all: never")
    object_from: int = Field(0, ge=0, description="iteration from which the object is moved")


@dataclass
class Model:
    """Object and probe, and what they are held against.

    Where there are many ranks, each has the views and the part of the object that its tile says, and the whole probe;
    what moves them is the same on all. Both are in the primitives' memory (``views.put``), as is what algorithms make
    of them: ``views.get`` gives them to whom is on the host.

    Attributes
    ----------
    object : ndarray, (mode, y, x), complex64
        This rank's part.
    probe : ndarray, (mode, n, n), complex64
    geometry : Geometry
    source : Source
        Frames of this rank's views.
    views : Views
        The backend's primitives.
    order : ndarray, (view,), int32
        The views that are used, on all ranks, neighbours after each other.
    tile : Tile
    """

    object: Complex64
    probe: Complex64
    geometry: Geometry
    source: Source
    views: Views
    order: Int32
    tile: Tile

    @classmethod
    def start(
        cls, object_: Complex64, probe: Complex64, geometry: Geometry, source: Source, views: Views,
        tile: Tile | None = None,
    ) -> Model:  # fmt: skip
        """Make the model of all views; without a tile, for one rank."""
        order = by_place(geometry.corners, geometry.n)
        views.reserve(OBJECTS * object_.nbytes + PROBES * probe.nbytes)
        return cls(views.put(object_), views.put(probe), geometry, source, views, order, tile or Tile(geometry))

    def part(self, views: NDArray[np.integer[Any]]) -> Model:
        """Give a model of some of the views with object and probe of its own."""
        order = self.order[np.isin(self.order, views)]
        return Model(self.object.copy(), self.probe.copy(), self.geometry, self.source, self.views, order, self.tile)

    def batches(self) -> Iterator[Batch]:
        """Give this rank's views, as many at once as fit into memory."""
        for batch, _ in self.source.batches(self.tile.own(self.order)):
            yield batch

    def groups(self, order: Int32, bounds: Sequence[int]) -> Iterator[tuple[Batch, list[int], Beside | None]]:
        """Give groups of views after each of which object and probe move, as many at once as fit into memory.

        Parameters
        ----------
        order : ndarray, (view,), int32
            Views of all ranks, the same on all.
        bounds : sequence of int
            Groups: ``order[bounds[i]:bounds[i + 1]]``.

        Yields
        ------
        batch : Batch
            This rank's views of some groups.
        bounds : list of int
            Of the groups in it; with many ranks a group may be empty here.
        beside : Beside or None
            The other ranks.
        """
        if self.tile.alone:
            for batch, edges in self.source.batches(order, bounds):
                yield batch, edges, None
            return
        beside, first = GroupsBeside(self.tile, order, bounds, self.views), 0
        for batch, edges in self.source.batches(beside.own_order, beside.own_bounds.tolist()):
            yield batch, edges, beside.part(first, len(edges) - 1)
            first += len(edges) - 1

    def evaluate(self, noise: Noise = "amplitude") -> Misfit:
        """Give the misfit of object and probe over the views of all ranks."""
        total = Misfit(0.0, 0.0, 0.0)
        for batch in self.batches():
            total += self.views.evaluate(batch, self.object, self.probe, noise)
        return self.tile.misfit(total)

    def illumination(self) -> NDArray[np.float32]:
        """Give Σ|P|² over views and modes on this part of the object, (y, x), on the host."""
        power, n = (np.abs(self.views.get(self.probe)) ** 2).sum(axis=0), self.geometry.n
        light = np.zeros(self.tile.shape, np.float32)
        for y, x in self.tile.corners[self.tile.own(self.order)]:
            light[y : y + n, x : x + n] += power
        self.tile.halo.add(light)
        return light


class Algorithm(Protocol):
    """What a step along `Axis.VIEW` makes of its parameters: ``apply(model, parameters, saved)``.

    It moves ``model.object`` and ``model.probe`` in place; what else it needs to go on is its state.
    """

    def iterate(self, iteration: int) -> Mapping[str, float]:
        """Go over all views once; `iteration` counts from 0. Gives ``error`` and what else is worth a curve."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Give what it needs to go on beside object and probe, by name.

        Arrays whose name holds ``object`` lie on this rank's part of it, and ``waves`` belong to its views; others are
        alike on all ranks. They may be in the primitives' memory; what is saved comes back on the host.
        """
        ...


def waves_needed(parameters: Parameters) -> bool:
    """Say whether an algorithm with these parameters stores the exit waves of all views."""
    return bool(getattr(type(parameters), "STORES_WAVES", False))
