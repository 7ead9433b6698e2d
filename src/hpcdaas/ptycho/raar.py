"""Relaxed averaged alternating reflections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hpcdaas.ptycho.model import Model
from hpcdaas.ptycho.projections import ProjectionParameters, Projections
from hpcdaas.step import Axis, Step


class Raar(ProjectionParameters):
    """Parameters of `raar`."""

    beta: float = Field(0.75, gt=0, le=1, description="relaxation; 1 is the difference map")


def raar(model: Model, parameters: Raar, saved: Mapping[str, Any]) -> Projections:
    """Relaxed averaged alternating reflections: a steadier difference map; stores the exit waves of all views.

    ψ ← βψ + (1 − 2β)PO + βF[2PO − ψ], F the modulus constraint: D. R. Luke, Inverse Problems 21, 37 (2005);
    S. Marchesini et al., J. Appl. Cryst. 49, 1245 (2016) for ptychography.

    Parameters
    ----------
    model : Model
    parameters : Raar
    saved : mapping
        State to go on from; empty at the start.
    """
    beta = parameters.beta
    return Projections(model, parameters, (1.0 - 2.0 * beta, beta, 2.0), saved)


STEP = Step(name="raar", apply=raar, parameters=Raar, axis=Axis.VIEW, place=42)
