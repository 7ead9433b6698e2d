"""Least-squares solver for generalised maximum-likelihood ptychography."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.backend.views import Complex64, Int32, LsqStep, Misfit, Sums
from hpcdaas.ptycho.groups import SparseGroups
from hpcdaas.ptycho.model import Iterations, Model
from hpcdaas.step import Axis, Step


class Lsqml(Iterations):
    """Parameters of `lsqml`."""

    iterations: int = Field(40, ge=1, le=100_000, description="times that all views are gone over")
    grouping: Literal["sparse", "compact"] = Field(
        "sparse", description="views of a group: spread over the object, which moves after each group; or neighbours, "
        "and the object moves after all"
    )  # fmt: skip
    group: int = Field(32, ge=1, description="views in a group")
    damping: float = Field(0.1, gt=0, le=1, description="δ of the object's direction")
    regularization: float = Field(0.1, ge=0, le=1, description="of the steps: what is added to the diagonal")
    momentum: float = Field(0.0, ge=0, lt=1, description="share of the last iteration's move that is made again")
    seed: int = Field(0, ge=0, description="of the sparse groups")


class LsqMl:
    """One iteration goes over all groups; see `lsqml`.

    Parameters
    ----------
    model : Model
    parameters : Lsqml
    saved : mapping
        State to go on from.
    """

    def __init__(self, model: Model, parameters: Lsqml, saved: Mapping[str, Any]) -> None:
        self.model, self.parameters = model, parameters
        self._groups = SparseGroups(model, parameters.group, parameters.seed)
        moving = parameters.momentum > 0
        self._moves: dict[str, Complex64] = {
            name: model.views.put(saved[f"{name}_move"]) if f"{name}_move" in saved else np.zeros_like(field)
            for name, field in (("object", model.object), ("probe", model.probe)) if moving
        }  # fmt: skip

    def state(self) -> dict[str, NDArray[Any]]:
        """See `hpcdaas.ptycho.model.Algorithm.state`: the last moves."""
        return {f"{name}_move": move for name, move in self._moves.items()}

    def iterate(self, iteration: int) -> dict[str, float]:
        """See `hpcdaas.ptycho.model.Algorithm.iterate`."""
        model, p = self.model, self.parameters
        before = {"object": model.object.copy(), "probe": model.probe.copy()} if self._moves else {}
        step = LsqStep(p.damping, p.regularization, iteration >= p.object_from, iteration >= p.probe_from)
        compact = p.grouping == "compact" and step.move_object
        sums = Sums.zeros(model.object, model.probe, move_probe=False) if compact else None
        order = self._order(iteration)
        found, along_object, along_probe = Misfit(0.0, 0.0, 0.0), 0.0, 0.0
        for batch, bounds, beside in model.groups(order, [*range(0, len(order), p.group), len(order)]):
            part = model.views.lsq(batch, bounds, model.object, model.probe, step, sums, beside)
            found += part.misfit
            along_object += part.object_step * len(batch) / len(order)
            along_probe += part.probe_step * len(batch) / len(order)
        found = model.tile.misfit(found)
        along_object, along_probe = model.tile.total(along_object, along_probe).tolist()
        if sums is not None and sums.object is not None and sums.weight is not None:
            weight = np.sqrt(sums.weight**2 + np.float32(p.damping * model.tile.largest(sums.weight)) ** 2)
            model.object += np.float32(along_object) * (sums.object / weight)
        for name, move in self._moves.items():
            self._go_on(getattr(model, name), before[name], move)
        return {"error": found.error / found.counts, "object_step": along_object, "probe_step": along_probe}

    def _go_on(self, field: Complex64, before: Complex64, move: Complex64) -> None:
        """Make a share of the last move again: heavy-ball momentum, B. T. Polyak, 1964."""
        made = field - before
        field += np.float32(self.parameters.momentum) * move
        move *= np.float32(self.parameters.momentum)
        move += made

    def _order(self, iteration: int) -> Int32:
        """Give the views, group after group: they follow from places, seed and iteration alone."""
        p, order = self.parameters, self.model.order
        if p.grouping == "sparse":
            return self._groups.order(iteration)
        rng = np.random.default_rng((p.seed, iteration))
        groups = [order[i : i + p.group] for i in range(0, len(order), p.group)]
        last = groups.pop() if len(groups[-1]) < p.group else None  # the shorter one stays the last
        shuffled = [groups[i] for i in rng.permutation(len(groups))]
        return np.concatenate(shuffled + ([last] if last is not None else []))


def lsqml(model: Model, parameters: Lsqml, saved: Mapping[str, Any]) -> LsqMl:
    """Least-squares maximum likelihood: fast and steady; each group of views finds its own step.

    χ = F⁻¹[(√I/|Ψ| − 1)Ψ]; ΔP = mean O*χ; ΔO = ΣP*χ / √((Σ|P|²)² + (δ max Σ|P|²)²); for each view a 2×2 system of
    (PΔO, OΔP) against χ gives its steps, of which the group makes the mean: M. Odstrčil, A. Menzel,
    M. Guizar-Sicairos, Opt. Express 26, 3108 (2018).

    Parameters
    ----------
    model : Model
    parameters : Lsqml
    saved : mapping
        State to go on from; empty at the start.
    """
    return LsqMl(model, parameters, saved)


STEP = Step(name="lsqml", apply=lsqml, parameters=Lsqml, axis=Axis.VIEW, place=50)
