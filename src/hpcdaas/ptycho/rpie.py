"""The regularised ptychographical iterative engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hpcdaas.ptycho.model import Model
from hpcdaas.ptycho.pie import Pie, PieParameters
from hpcdaas.step import Axis, Step


class Rpie(PieParameters):
    """Parameters of `rpie`."""

    object_alpha: float = Field(0.3, gt=0, le=1, description="regularisation of the object; 1 is ePIE")
    batch: int = Field(16, ge=1, description="views after which object and probe are moved; 1: after each")
    probe_alpha: float = Field(1.0, gt=0, le=1, description="regularisation of the probe; 1 is ePIE")


def rpie(model: Model, parameters: Rpie, saved: Mapping[str, Any]) -> Pie:
    """Regularised ptychographical iterative engine: ePIE with larger steps where there is little light.

    O += Σ P*Δψ / ((1 − α)S + α max S), S = Σ|P|² over the views of a mini-batch; with one view this is
    A. Maiden, D. Johnson, P. Li, Optica 4, 736 (2017).

    Parameters
    ----------
    model : Model
    parameters : Rpie
    saved : mapping
        State to go on from; empty at the start.
    """
    return Pie(model, parameters, parameters.object_alpha, parameters.probe_alpha)


STEP = Step(name="rpie", apply=rpie, parameters=Rpie, axis=Axis.VIEW, place=46)
