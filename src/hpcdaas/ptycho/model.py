"""What a ptychographic algorithm works on: object, probe, the views, and the primitives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.backend.views import Batch, Complex64, Int32, Misfit, Noise, Views
from hpcdaas.params import Parameters
from hpcdaas.ptycho.geometry import Geometry, by_place
from hpcdaas.ptycho.source import Source


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

    Attributes
    ----------
    object : ndarray, (mode, y, x), complex64
    probe : ndarray, (mode, n, n), complex64
    geometry : Geometry
    source : Source
        Frames.
    views : Views
        The backend's primitives.
    order : ndarray, (view,), int32
        The views that are used, neighbours after each other.
    """

    object: Complex64
    probe: Complex64
    geometry: Geometry
    source: Source
    views: Views
    order: Int32

    @classmethod
    def start(cls, object_: Complex64, probe: Complex64, geometry: Geometry, source: Source, views: Views) -> Model:
        """Make the model of all views."""
        return cls(object_, probe, geometry, source, views, by_place(geometry.corners, geometry.n))

    def part(self, views: NDArray[np.integer[Any]]) -> Model:
        """Give a model of some of the views with object and probe of its own."""
        order = self.order[np.isin(self.order, views)]
        return Model(self.object.copy(), self.probe.copy(), self.geometry, self.source, self.views, order)

    def batches(self) -> Iterator[Batch]:
        """Give all views, as many at once as fit into memory."""
        for batch, _ in self.source.batches(self.order):
            yield batch

    def evaluate(self, noise: Noise = "amplitude") -> Misfit:
        """Give the misfit of object and probe."""
        total = Misfit(0.0, 0.0, 0.0)
        for batch in self.batches():
            total += self.views.evaluate(batch, self.object, self.probe, noise)
        return total

    def illumination(self) -> NDArray[np.float32]:
        """Give Σ|P|² over views and modes on the object, (y, x)."""
        power, n = (np.abs(self.probe) ** 2).sum(axis=0), self.geometry.n
        light = np.zeros(self.geometry.shape, np.float32)
        for y, x in self.geometry.corners[self.order]:
            light[y : y + n, x : x + n] += power
        return light


class Algorithm(Protocol):
    """What a step along `Axis.VIEW` makes of its parameters: ``apply(model, parameters, saved)``.

    It moves ``model.object`` and ``model.probe`` in place; what else it needs to go on is its state.
    """

    def iterate(self, iteration: int) -> Mapping[str, float]:
        """Go over all views once; `iteration` counts from 0. Gives ``error`` and what else is worth a curve."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Give what it needs to go on beside object and probe, by name."""
        ...


def waves_needed(parameters: Parameters) -> bool:
    """Say whether an algorithm with these parameters stores the exit waves of all views."""
    return bool(getattr(type(parameters), "STORES_WAVES", False))
