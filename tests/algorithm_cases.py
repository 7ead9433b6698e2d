"""Algorithms of ptychography on any backend against the C++ one, from the same start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpcdaas.errors import InputError
from hpcdaas.ptycho.plan import OBJECTS, PROBES
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from ptycho_models import iterate, make_algorithm, make_model

#: A few iterations of each.
ALGORITHMS = {
    "dm": {},
    "raar": {"alternations": 2},
    "epie": {},
    "rpie": {"batch": 8},
    "lsqml": {"momentum": 0.3, "group": 10},
    "lsqml compact": {"grouping": "compact", "group": 10, "momentum": 0.3},
    "ml": {},
    "ml poisson": {"noise": "poisson"},
    "ml smooth": {"smooth": 3.0},
}
#: Those whose fields never come to the host.
RESIDENT = [name for name in ALGORITHMS if name != "ml smooth"]
#: Those that store something beside object and probe.
STATES = ("dm", "lsqml", "lsqml compact", "ml")


@pytest.fixture(scope="module")
def small():
    return small_scan()


def small_scan():
    """Give a few views; the known probe is a good start."""
    made = Simulation(SimulationParameters(views=16, size=32, pixel_size="300 um", photons=1e5))
    return replace(made.scan(), probe=made.probe)


def uneven_model(scan, backend=None, **more):
    """Make a model of two probe modes and an object of any phases.

    Behind an even object the detector is dark, and rounding decides its phase.
    """
    model = make_model(scan, backend=backend, modes=2, **more)
    phases = np.exp(1j * np.random.default_rng(0).random(model.geometry.shape)).astype(np.complex64)
    model.object *= model.views.put(np.ascontiguousarray(phases[model.tile.box.slices]))
    return model


def on_host(model):
    """Give object and probe on the host."""
    return model.views.get(model.object), model.views.get(model.probe)


def same_fields(found, expected, tolerance=1e-4):
    for a, b in zip(on_host(found), on_host(expected), strict=True):
        assert np.linalg.norm(a - b) < tolerance * np.linalg.norm(b)


class AgainstCpu:
    """Five iterations; the fixture `backend` gives what makes the primitives."""

    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_five_iterations_are_those_of_the_processor(self, backend, small, name):
        kind, parameters = name.split()[0], ALGORITHMS[name]
        models = [uneven_model(small), uneven_model(small, backend)]
        rows = [iterate(model, kind, 5, **parameters) for model in models]
        expected, found = models
        same_fields(found, expected)
        for here, there in zip(*rows, strict=True):
            assert here == pytest.approx(there, rel=1e-3)


class OnDevice:
    """Fields stay in the memory of `backend.device`; the fixture `crossed` counts bytes of copies from and to it."""

    @pytest.mark.parametrize("name", RESIDENT)
    def test_after_the_first_iteration_only_places_cross(self, backend, crossed, small, name):
        model = uneven_model(small, backend)
        algorithm = make_algorithm(model, name.split()[0], **ALGORITHMS[name])
        for iteration in range(2):  # the object moves in the first, the probe in the second
            algorithm.iterate(iteration)
        crossed.clear()
        for iteration in range(2, 4):
            algorithm.iterate(iteration)
        assert backend.device.is_here(model.object)
        assert backend.device.is_here(model.probe)
        assert all(backend.device.is_here(a) for key, a in algorithm.state().items() if key != "numbers")
        assert max(crossed) <= 8 * len(model.order)  # row and column of each view: not even one frame

    @pytest.mark.parametrize("name", STATES)
    def test_what_was_saved_goes_on_with_the_same_bits(self, backend, small, name):
        kind, parameters = name.split()[0], ALGORITHMS[name]
        whole = uneven_model(small, backend)
        algorithm = make_algorithm(whole, kind, **parameters)
        for iteration in range(5):
            if iteration == 3:
                fields = [field.copy() for field in on_host(whole)]
                state = {key: np.array(whole.views.get(array)) for key, array in algorithm.state().items()}
            algorithm.iterate(iteration)
        second = make_model(small, backend=backend, modes=2)
        second.object, second.probe = (second.views.put(field) for field in fields)
        algorithm = make_algorithm(second, kind, saved=state, **parameters)
        for iteration in (3, 4):
            algorithm.iterate(iteration)
        for a, b in zip(on_host(second), on_host(whole), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("name", ["dm", "lsqml"])
    def test_without_room_waves_and_frames_are_on_the_host(self, backend, crossed, small, name, monkeypatch):
        expected = uneven_model(small)
        monkeypatch.setattr(backend.device, "free", lambda: needed(expected) + 1000)
        model = uneven_model(small, backend)
        for one in (expected, model):
            iterate(one, name, 5, **ALGORITHMS[name])
        same_fields(model, expected)
        frame = small.frames.read(slice(0, 1), slice(None))
        assert max(crossed) >= frame.nbytes
        waves = model.views.waves(len(model.source))
        assert not backend.device.is_here(waves)
        assert model.views.waves(len(model.source), waves) is waves

    def test_where_another_rank_has_taken_the_room_waves_are_on_the_host(self, backend, small, monkeypatch):
        model = uneven_model(small, backend)
        monkeypatch.setattr(backend.device, "empty", taken)
        assert not backend.device.is_here(model.views.waves(len(model.source)))

    def test_an_object_that_doesnt_fit_is_refused(self, backend, small, monkeypatch):
        size = needed(make_model(small))
        monkeypatch.setattr(backend.device, "free", lambda: size - 1)
        with pytest.raises(InputError, match="Object and probe need"):
            make_model(small, backend=backend)


def taken(*_):
    raise MemoryError


def needed(model):
    """Count the bytes that are kept free for the fields of algorithms."""
    return OBJECTS * model.object.nbytes + PROBES * model.probe.nbytes
