"""Finding out how far the sample is from the focus, where no first probe is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpcdaas.ptycho.frames import Cut
from hpcdaas.ptycho.geometry import Geometry
from hpcdaas.ptycho.lsqml import Lsqml, lsqml
from hpcdaas.ptycho.model import Model
from hpcdaas.scan import PtychoScan

#: Views that are tried, neighbours around the middle of the scan, and iterations of each trial.
TRIED, ITERATIONS = 64, 10
#: Distances that are tried on each side, up to where the beam fills the window.
STEPS = 8
#: Share of the light that the cone of the beam holds.
LIGHT = 0.9


@dataclass(frozen=True)
class Focus:
    """The distance that was found.

    Attributes
    ----------
    defocus : float
        The sample is this far downstream of the focus, m.
    errors : mapping
        Error of each distance that was tried, m.
    """

    defocus: float
    errors: dict[float, float]


def reach(scan: PtychoScan, cut: Cut, geometry: Geometry) -> float:
    """Give the distance from the focus, m, at which the cone of the beam fills the window of a view.

    The cone's half angle is that of the circle on the detector with nine tenths of the light.
    """
    n, pixel = geometry.n, max(geometry.pixel)
    place = np.arange(n) - n // 2
    radius = np.hypot(place[:, None], place).ravel()
    order = np.argsort(radius)
    light = np.cumsum(cut.mean.ravel()[order])
    edge = max(1.0, float(radius[order][np.searchsorted(light, LIGHT * light[-1])]))
    return n * pixel / (2 * edge / (n * pixel) * scan.wavelength)


def find_focus(
    scan: PtychoScan, cut: Cut, geometry: Geometry, make: Callable[[float], Model], stop: Callable[[], None]
) -> Focus:
    """Try distances by a few iterations each, on the views in the middle: the right one explains them best.

    Parameters
    ----------
    scan : PtychoScan
        Of the far field.
    cut : Cut
        What is used of the frames.
    geometry : Geometry
    make : callable
        Makes the model for a distance, m.
    stop : callable
        Asked between trials; raises where the run is to end.

    Returns
    -------
    Focus
    """
    step = reach(scan, cut, geometry) / STEPS
    errors = {}

    def attempt(distance: float) -> None:
        stop()
        model = make(distance)
        middle = np.median(model.geometry.places, axis=0)
        part = model.part(np.argsort(np.linalg.norm(model.geometry.places - middle, axis=1))[:TRIED])
        algorithm = lsqml(part, Lsqml(iterations=ITERATIONS, group=16), {})
        for iteration in range(ITERATIONS):
            algorithm.iterate(iteration)
        found = part.evaluate()
        error = found.error / found.counts
        errors[distance] = error if np.isfinite(error) else np.inf

    for k in range(-STEPS, STEPS + 1):
        attempt(k * step)
    for finer in (step / 2, step / 4):
        best = min(errors, key=lambda d: errors[d])
        attempt(best - finer)
        attempt(best + finer)
    return Focus(min(errors, key=lambda d: errors[d]), errors)
