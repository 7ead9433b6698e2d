"""The extended ptychographical iterative engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcdaas.ptycho.model import Model
from hpcdaas.ptycho.pie import Pie, PieParameters
from hpcdaas.step import Axis, Step


class Epie(PieParameters):
    """Parameters of `epie`."""


def epie(model: Model, parameters: Epie, saved: Mapping[str, Any]) -> Pie:
    """Extended ptychographical iterative engine: simple, one view after the other.

    O += P*Δψ / max|P|², P += O*Δψ / max|O|²: A. M. Maiden, J. M. Rodenburg, Ultramicroscopy 109, 1256 (2009).

    Parameters
    ----------
    model : Model
    parameters : Epie
    saved : mapping
        State to go on from; empty at the start.
    """
    return Pie(model, parameters, 1.0, 1.0)


STEP = Step(name="epie", apply=epie, parameters=Epie, axis=Axis.VIEW, place=44)
