"""Finding out how stored positions lie on the object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hpcdaas.ptycho.geometry import far_field_orientations
from hpcdaas.ptycho.lsqml import Lsqml, lsqml
from hpcdaas.ptycho.model import Model
from hpcdaas.scan import ORIENTATIONS, PtychoScan, oriented

#: Views that are tried, neighbours around the middle of the scan, and iterations of each trial.
TRIED, ITERATIONS = 160, 12
#: A second-best error this many times the best one makes it sure.
CLEAR = 1.5


@dataclass(frozen=True)
class Oriented:
    """The orientation that was found.

    Attributes
    ----------
    orientation : str
        Of `ORIENTATIONS`.
    confidence : float
        0 to 1.
    errors : mapping
        Error of each that was tried.
    """

    orientation: str
    confidence: float
    errors: dict[str, float]


def find_orientation(scan: PtychoScan, make: Callable[[PtychoScan], Model], stop: Callable[[], None]) -> Oriented:
    """Try orientations by a few iterations each: a wrong one can't make views agree where they overlap.

    Far-field data can tell four apart; turning the signs of both axes gives the conjugate, inverted object, and the
    same frames. In the near field all eight differ.

    Parameters
    ----------
    scan : PtychoScan
        Its positions as they are stored.
    make : callable
        Makes the model of a scan.
    stop : callable
        Asked between trials; raises where the run is to end.
    """
    names = ORIENTATIONS if scan.focus_distance is not None else far_field_orientations()
    errors = {}
    for name in names:
        stop()
        model = make(replace(scan, positions=oriented(scan.positions, name), orientation=name))
        middle = np.median(model.geometry.places, axis=0)
        near = np.argsort(np.linalg.norm(model.geometry.places - middle, axis=1))[:TRIED]
        part = model.part(near)
        algorithm = lsqml(part, Lsqml(iterations=ITERATIONS), {})
        for iteration in range(ITERATIONS):
            algorithm.iterate(iteration)
        found = part.evaluate()
        errors[name] = found.error / found.counts
    best, second = sorted(errors, key=lambda name: errors[name])[:2]
    ratio = errors[second] / max(errors[best], 1e-12)
    return Oriented(best, float(np.clip((ratio - 1) / (CLEAR - 1), 0, 1)), errors)
