"""What difference map and RAAR share: stored exit waves, two projections, the overlap's object and probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.backend.views import Complex64, Float32, Misfit, Sums
from hpcdaas.ptycho.model import Iterations, Model


class ProjectionParameters(Iterations):
    """Parameters of algorithms that store the exit waves."""

    STORES_WAVES: ClassVar[bool] = True
    alternations: int = Field(1, ge=1, le=20, description="times that object and probe are taken from the waves")
    inertia: float = Field(1e-3, ge=0, lt=1, description="weight of the object before, share of the largest light")
    probe_inertia: float = Field(1e-3, ge=0, lt=1, description="weight of the probe before, likewise")


class Projections:
    """ψ ← (1 − a − b)ψ + a·PO + b·F[c·PO + (1 − c)ψ], then object and probe from the overlap.

    P. Thibault et al., Science 321, 379 (2008), and Ultramicroscopy 109, 338 (2009): O = ΣP*ψ / Σ|P|²,
    P = ΣO*ψ / Σ|O|², each with a little weight of what it was before, so that dark places stay finite.

    Parameters
    ----------
    model : Model
    parameters : ProjectionParameters
    how : tuple of float
        a, b, c.
    saved : mapping
        State to go on from; empty at the start.
    """

    def __init__(
        self, model: Model, parameters: ProjectionParameters, how: tuple[float, float, float], saved: Mapping[str, Any]
    ) -> None:
        self.model, self.parameters, self.how = model, parameters, how
        self.waves = model.views.waves(len(model.source), saved.get("waves"))
        if "waves" not in saved:
            for batch in model.batches():
                model.views.exit_waves(batch, model.object, model.probe, self.waves)
        self._sums = Sums.zeros(model.object, model.probe)

    def state(self) -> dict[str, NDArray[Any]]:
        """See `hpcdaas.ptycho.model.Algorithm.state`."""
        return {"waves": self.waves}

    def iterate(self, iteration: int) -> dict[str, float]:
        """See `hpcdaas.ptycho.model.Algorithm.iterate`; ``distance``: of the reflected waves from the amplitudes."""
        model, p, s = self.model, self.parameters, self._sums
        move_object, move_probe = iteration >= p.object_from, iteration >= p.probe_from
        s.clear()
        wanted = Sums(*((s.object, s.weight) if move_object else (None, None)),
                      *((s.probe, s.probe_weight) if move_probe else (None, None)))  # fmt: skip
        found = Misfit(0.0, 0.0, 0.0)
        for batch in model.batches():
            found += model.views.project(batch, model.object, model.probe, self.waves, self.how, wanted)
        found = model.tile.misfit(found)
        model.tile.complete(wanted, model.views)
        # Each sum blames one field alone for what the waves ask of their product: together they go half the way.
        share = 0.5 if move_object and move_probe else 1.0
        if move_object:
            self._move_object(share)
        if move_probe:
            self._move_probe(share)
        for _ in range(p.alternations - 1):
            if move_probe:
                self._overlap(Sums(None, None, s.probe, s.probe_weight))
                self._move_probe()
            if move_object:
                self._overlap(Sums(s.object, s.weight))
                self._move_object()
        return {"distance": found.error / found.counts}

    def _overlap(self, sums: Sums) -> None:
        sums.clear()
        for batch in self.model.batches():
            self.model.views.overlap(batch, self.model.object, self.model.probe, self.waves, sums)
        self.model.tile.complete(sums, self.model.views)

    def _move_object(self, share: float = 1.0) -> None:
        weight = self._sums.weight
        assert weight is not None
        floor = self.parameters.inertia * self.model.tile.largest(weight)
        _approach(self.model.object, self._sums.object, weight, floor, share)

    def _move_probe(self, share: float = 1.0) -> None:
        weight = self._sums.probe_weight
        assert weight is not None
        floor = self.parameters.probe_inertia * float(weight.max())
        _approach(self.model.probe, self._sums.probe, weight, floor, share)


def _approach(field: Complex64, total: Complex64 | None, weight: Float32, floor: float, share: float) -> None:
    """Move a field, in place, a share of the way to total / weight, less where there is less light than `floor`."""
    assert total is not None
    total -= weight * field
    total *= np.float32(share) / (weight + (np.float32(floor) or np.finfo(np.float32).tiny))
    field += total
