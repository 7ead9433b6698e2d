"""Difference map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hpcdaas.ptycho.model import Model
from hpcdaas.ptycho.projections import ProjectionParameters, Projections
from hpcdaas.step import Axis, Step


class Dm(ProjectionParameters):
    """Parameters of `dm`."""

    alpha: float = Field(0.8, gt=0, le=1, description="1 is the difference map; less forgets noise sooner")


def dm(model: Model, parameters: Dm, saved: Mapping[str, Any]) -> Projections:
    """Difference map: finds its way from a poor start; stores the exit waves of all views.

    ψ ← αψ − αPO + F[(1 + α)PO − αψ], F the modulus constraint: V. Elser, J. Opt. Soc. Am. A 20, 40 (2003);
    P. Thibault et al., Science 321, 379 (2008); for several modes P. Thibault, A. Menzel, Nature 494, 68 (2013).

    Parameters
    ----------
    model : Model
    parameters : Dm
    saved : mapping
        State to go on from; empty at the start.
    """
    alpha = parameters.alpha
    return Projections(model, parameters, (-alpha, 1.0, 1.0 + alpha), saved)


STEP = Step(name="dm", apply=dm, parameters=Dm, axis=Axis.VIEW, place=40)
