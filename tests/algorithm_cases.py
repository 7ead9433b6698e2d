"""Algorithms of ptychography on any backend against the C++ one, from the same start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from ptycho_models import iterate, make_model

#: A few iterations of each.
ALGORITHMS = {
    "dm": {},
    "raar": {"alternations": 2},
    "epie": {},
    "rpie": {"batch": 8},
    "lsqml": {"momentum": 0.3, "group": 10},
    "lsqml compact": {"grouping": "compact", "group": 10},
    "ml": {},
    "ml poisson": {"noise": "poisson"},
}


@pytest.fixture(scope="module")
def small():
    """A few views; the known probe is a good start."""
    made = Simulation(SimulationParameters(views=16, size=32, pixel_size="300 um", photons=1e5))
    return replace(made.scan(), probe=made.probe)


def uneven(shape):
    """Give phases for a first object: behind an even one the detector is dark, and rounding decides its phase."""
    return np.exp(1j * np.random.default_rng(0).random(shape)).astype(np.complex64)


class AgainstCpu:
    """Five iterations; the fixture `backend` gives what makes the primitives."""

    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_five_iterations_are_those_of_the_processor(self, backend, small, name):
        kind, parameters = name.split()[0], ALGORITHMS[name]
        models = [make_model(small, modes=2), make_model(small, backend=backend, modes=2)]
        for model in models:
            model.object *= uneven(model.object.shape)
        rows = [iterate(model, kind, 5, **parameters) for model in models]
        expected, found = models
        for field in ("object", "probe"):
            a, b = getattr(found, field), getattr(expected, field)
            assert np.linalg.norm(a - b) < 1e-4 * np.linalg.norm(b)
        for here, there in zip(*rows, strict=True):
            assert here == pytest.approx(there, rel=1e-3)
