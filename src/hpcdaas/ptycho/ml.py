"""Maximum likelihood by conjugate gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from hpcdaas.backend.views import Complex64, Misfit, Sums
from hpcdaas.ptycho.model import Iterations, Model
from hpcdaas.step import Axis, Step

#: A direction as one vector: object and probe.
Fields = dict[str, Complex64]
#: Standard deviations after which a smoothing kernel ends.
TRUNCATED = 4.0


class Ml(Iterations):
    """Parameters of `ml`."""

    iterations: int = Field(20, ge=1, le=100_000, description="times that all views are gone over")
    noise: Literal["gaussian", "poisson"] = Field("gaussian", description="model of the counts' noise")
    damping: float = Field(0.05, gt=0, le=1, description="of the preconditioner where there is little light")
    smooth: float = Field(0.0, ge=0, le=20, description="pixels over which the object's gradient is smoothed at first")
    probe_from: int = Field(0, ge=0, description="iteration from which the probe is moved; more than all: never")


class MaximumLikelihood:
    """Polak-Ribière's conjugate gradients; see `ml`.

    Parameters
    ----------
    model : Model
    parameters : Ml
    saved : mapping
        State to go on from.
    """

    def __init__(self, model: Model, parameters: Ml, saved: Mapping[str, Any]) -> None:
        self.model, self.parameters = model, parameters
        self._sums = Sums.zeros(model.object, model.probe)
        self._gradient, self._direction = (
            {name: model.views.put(saved[f"{what}_{name}"]) for name in _NAMES if f"{what}_{name}" in saved}
            for what in ("gradient", "direction")
        )
        # step of the last iteration, ⟨g, Dg⟩ of its gradient, and its likelihood
        self._step, self._square, self._likelihood = (float(x) for x in saved.get("numbers", (1.0, 0.0, np.inf)))

    def state(self) -> dict[str, NDArray[Any]]:
        """See `hpcdaas.ptycho.model.Algorithm.state`: the last gradient and direction."""
        fields = {f"gradient_{name}": field for name, field in self._gradient.items()}
        fields |= {f"direction_{name}": field for name, field in self._direction.items()}
        return fields | {"numbers": np.array([self._step, self._square, self._likelihood])}

    def iterate(self, iteration: int) -> dict[str, float]:
        """See `hpcdaas.ptycho.model.Algorithm.iterate`."""
        p = self.parameters
        moved = [n for n, first in (("object", p.object_from), ("probe", p.probe_from)) if iteration >= first]
        found, gradient = self._look(moved)
        if self._direction and found.likelihood > self._likelihood:
            self._take_back()
            found, gradient = self._look(moved)
        better = self._preconditioned(gradient, iteration)
        square = self._product(gradient, better)
        if self._direction.keys() == gradient.keys() and self._square > 0:
            beta = max(0.0, (square - self._product(self._gradient, better)) / self._square)  # Polak, Ribière (1969)
            for name, direction in self._direction.items():
                direction *= np.float32(beta)
                direction += better[name]
            if self._product(gradient, self._direction) <= 0:  # not downhill: start anew
                self._direction = better
        else:
            self._direction = better
        self._gradient, self._square, self._likelihood = gradient, square, found.likelihood
        self._step = self._search(found, -2.0 * self._product(gradient, self._direction))
        self._move(self._step)
        return {"error": found.error / found.counts, "likelihood": found.likelihood, "step": self._step}

    def _look(self, moved: list[str]) -> tuple[Misfit, Fields]:
        """Give misfit and half the downhill gradient: minus the derivative by the conjugate."""
        model, s = self.model, self._sums
        s.clear()
        found = Misfit(0.0, 0.0, 0.0)
        for batch in model.batches():
            found += model.views.gradient(batch, model.object, model.probe, self.parameters.noise, s)
        model.tile.complete(s, model.views)
        found = model.tile.misfit(found)
        fields = {"object": s.object, "probe": s.probe}
        return found, {name: field.copy() for name, field in fields.items() if field is not None and name in moved}

    def _preconditioned(self, gradient: Fields, iteration: int) -> Fields:
        """Divide by the light that fell on a pixel: how much its value matters, and the same scale for both fields."""
        better, s, damping = {}, self._sums, self.parameters.damping
        if "object" in gradient and s.weight is not None:
            better["object"] = gradient["object"] / (s.weight + np.float32(damping * self.model.tile.largest(s.weight)))
        if "probe" in gradient and s.probe_weight is not None:
            weight = s.probe_weight
            better["probe"] = gradient["probe"] / (weight + np.float32(damping * float(weight.max())))
        sigma = self.parameters.smooth / (1 + iteration)
        if sigma > 0.3 and "object" in better:
            better["object"] = self._smoothed(better["object"], sigma)
        return better

    def _smoothed(self, field: Complex64, sigma: float) -> Complex64:
        views = self.model.views
        wide, inner = self.model.tile.halo.fetch(views.get(field), int(np.ceil(TRUNCATED * sigma)))
        for mode in wide:
            mode.real, mode.imag = (
                ndimage.gaussian_filter(part, sigma, truncate=TRUNCATED) for part in (mode.real, mode.imag)
            )
        return views.put(np.ascontiguousarray(wide[(..., *inner)]))

    def _product(self, a: Fields, b: Fields) -> float:
        """Re⟨a, b⟩ over all fields and ranks, each pixel of the object once."""
        tile, value = self.model.tile, 0.0
        if "object" in a:
            (value,) = tile.total(float(np.vdot(tile.counted(a["object"]), tile.counted(b["object"])).real))
        return value + (float(np.vdot(a["probe"], b["probe"]).real) if "probe" in a else 0.0)

    def _search(self, here: Misfit, slope: float) -> float:
        """Give the step along the direction: the minimum of a parabola through slope, here and one trial.

        J. Nocedal, S. J. Wright, Numerical Optimization (2006), eq. 3.58. One look costs one transform per view.
        """
        trial = self._step if self._step > 0 else 1.0
        for _ in range(8):
            there = self._evaluate(trial).likelihood
            bend = (there - here.likelihood - slope * trial) / trial**2
            if bend > 0:
                step = -slope / (2 * bend)
                if step > trial / 10:
                    return float(min(step, 4 * trial))
            elif there < here.likelihood:
                return float(2 * trial)
            trial /= 10
        return 0.0

    def _evaluate(self, step: float) -> Misfit:
        model, d = self.model, self._direction
        object_ = model.object + np.float32(step) * d["object"] if "object" in d else model.object
        probe = model.probe + np.float32(step) * d["probe"] if "probe" in d else model.probe
        found = Misfit(0.0, 0.0, 0.0)
        for batch in model.batches():
            found += model.views.evaluate(batch, object_, probe, self.parameters.noise)
        return model.tile.misfit(found)

    def _move(self, step: float) -> None:
        for name, direction in self._direction.items():
            field = getattr(self.model, name)
            field += np.float32(step) * direction

    def _take_back(self) -> None:
        """Halve the last step, as often as it led uphill, and forget the direction."""
        for _ in range(8):
            self._move(-0.5 * self._step)
            self._step *= 0.5
            if self._evaluate(0.0).likelihood <= self._likelihood:
                break
        self._square = 0.0


_NAMES = ("object", "probe")


def ml(model: Model, parameters: Ml, saved: Mapping[str, Any]) -> MaximumLikelihood:
    """Maximum likelihood: takes the noise of the counts as it is; for the last, fine iterations.

    Gaussian model with the variance 1 + I, or Poisson's; Polak-Ribière conjugate gradients, preconditioned by the
    light on each pixel: P. Thibault, M. Guizar-Sicairos, New J. Phys. 14, 063004 (2012).

    Parameters
    ----------
    model : Model
    parameters : Ml
    saved : mapping
        State to go on from; empty at the start.
    """
    return MaximumLikelihood(model, parameters, saved)


STEP = Step(name="ml", apply=ml, parameters=Ml, axis=Axis.VIEW, place=60)
