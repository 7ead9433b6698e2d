"""What ePIE and rPIE share: mini-batches in a random order, object and probe moved after each."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.backend.views import Misfit, PieStep
from hpcdaas.ptycho.groups import SparseGroups
from hpcdaas.ptycho.model import Iterations, Model


class PieParameters(Iterations):
    """Parameters of algorithms of the PIE family."""

    batch: int = Field(1, ge=1, description="views after which object and probe are moved; 1: after each")
    object_step: float = Field(1.0, gt=0, le=2, description="factor on the object's move")
    probe_step: float = Field(1.0, gt=0, le=2, description="factor on the probe's move")
    seed: int = Field(0, ge=0, description="of the views' order")


class Pie:
    """O += Σ P*Δψ / ((1 − α)S + α max S), S = Σ|P|² over the views of a mini-batch; the probe alike.

    Parameters
    ----------
    model : Model
    parameters : PieParameters
    object_alpha, probe_alpha : float
        α of object and probe.
    """

    def __init__(self, model: Model, parameters: PieParameters, object_alpha: float, probe_alpha: float) -> None:
        self.model, self.parameters = model, parameters
        self.alphas = object_alpha, probe_alpha
        self._groups = SparseGroups(model, parameters.batch, parameters.seed)

    def state(self) -> dict[str, NDArray[Any]]:
        """See `hpcdaas.ptycho.model.Algorithm.state`: the order of an iteration follows from its number."""
        return {}

    def iterate(self, iteration: int) -> dict[str, float]:
        """See `hpcdaas.ptycho.model.Algorithm.iterate`."""
        model, p = self.model, self.parameters
        step = PieStep(
            *self.alphas,
            p.object_step if iteration >= p.object_from else 0.0,
            p.probe_step if iteration >= p.probe_from else 0.0,
        )
        order = self._groups.order(iteration)
        found = Misfit(0.0, 0.0, 0.0)
        for batch, edges, beside in model.groups(order, [*range(0, len(order), p.batch), len(order)]):
            found += model.views.pie(batch, edges, model.object, model.probe, step, beside)
        found = model.tile.misfit(found)
        return {"error": found.error / found.counts}
