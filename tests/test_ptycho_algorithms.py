"""Every algorithm finds the object of a simulated scan, and goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpcdaas.ptycho.modes import orthogonal
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from ptycho_models import compare, error, iterate, make_algorithm, make_model

#: What each needs to come as near to the truth as the figures ask for.
ENOUGH = {
    "dm": {"iterations": 80, "alternations": 2},
    "raar": {"iterations": 80, "alternations": 2},
    "epie": {"iterations": 40},
    "rpie": {"iterations": 40},
    "lsqml": {"iterations": 40},
    "lsqml compact": {"iterations": 60, "grouping": "compact", "momentum": 0.7},
    "ml": {"iterations": 40},
    "ml poisson": {"iterations": 40, "noise": "poisson"},
}
#: A few iterations of each, for what is the same after any number of them.
SHORT = {
    "dm": {},
    "raar": {"alternations": 2},
    "epie": {},
    "rpie": {"batch": 8},
    "lsqml": {"momentum": 0.3, "group": 10},
    "lsqml compact": {"grouping": "compact", "group": 10},
    "ml": {"smooth": 2.0},
}


@pytest.fixture(scope="module")
def simulation():
    return Simulation(SimulationParameters(photons=4e6))


@pytest.fixture(scope="module")
def small():
    """A few views, for bits rather than for sharpness; the known probe is a good start."""
    made = Simulation(SimulationParameters(views=24, size=64, pixel_size="150 um", photons=1e5))
    return made, replace(made.scan(), probe=made.probe)


@pytest.mark.parametrize("name", ENOUGH)
def test_the_object_is_found(simulation, name):
    """From an empty object and the mean frame's focus, defocused as a beamline knows it."""
    model = make_model(simulation.scan(), defocus=simulation.parameters.defocus)
    iterate(model, name.split()[0], **ENOUGH[name])
    found = compare(model, simulation)
    assert found.correlation > 0.5
    assert found.error < 0.05


def test_two_incoherent_modes_are_found():
    """With the modes of the illumination the frames are explained; with one they are not."""
    powers = (0.7, 0.3)
    simulation = Simulation(SimulationParameters(mode_powers=powers, views=300))
    one, two = (make_model(simulation.scan(), defocus=simulation.parameters.defocus, modes=modes) for modes in (1, 2))
    for model in (one, two):
        iterate(model, "rpie", 100)
    truth = make_model(replace(simulation.scan(), probe=simulation.probe), modes=2)
    y, x = np.rint(simulation.positions_pixels[0] - truth.geometry.places[0]).astype(int)
    rows, columns = truth.geometry.shape
    truth.object[0] = simulation.object[y : y + rows, x : x + columns]
    truth.probe[:] = simulation.probe
    assert error(two) < error(truth) < 0.95 * error(one)  # what is fitted follows the noise a little
    found = orthogonal(two.probe)
    power = (np.abs(found) ** 2).sum(axis=(1, 2))
    assert power / power.sum() == pytest.approx(powers, abs=0.06)
    assert compare(two, simulation).correlation > 0.5


@pytest.mark.parametrize("name", SHORT)
def test_going_on_gives_the_same_bits(small, name):
    _, scan = small
    kind, parameters = name.split()[0], SHORT[name] | {"iterations": 9}
    whole = make_model(scan)
    algorithm = make_algorithm(whole, kind, **parameters)
    rows = [dict(algorithm.iterate(i)) for i in range(9)]
    first = make_model(scan)
    algorithm = make_algorithm(first, kind, **parameters)
    for i in range(4):
        algorithm.iterate(i)
    state = {key: array.copy() for key, array in algorithm.state().items()}
    second = make_model(scan)
    second.object, second.probe = first.object.copy(), first.probe.copy()
    algorithm = make_algorithm(second, kind, saved=state, **parameters)
    assert [dict(algorithm.iterate(i)) for i in range(4, 9)] == rows[4:]
    assert np.array_equal(second.object, whole.object)
    assert np.array_equal(second.probe, whole.probe)


@pytest.mark.parametrize("name", SHORT)
def test_a_field_that_is_not_moved_stays(small, name):
    _, scan = small
    kind, parameters = name.split()[0], SHORT[name]
    model = make_model(scan)
    before = model.object.copy(), model.probe.copy()
    iterate(model, kind, 3, **parameters, probe_from=99)
    assert np.array_equal(model.probe, before[1])
    assert not np.array_equal(model.object, before[0])
    model = make_model(scan)
    iterate(model, kind, 3, **parameters, object_from=99, probe_from=0)
    assert np.array_equal(model.object, before[0])
    assert not np.array_equal(model.probe, before[1])


@pytest.mark.parametrize("name", ["lsqml", "rpie", "epie", "ml"])
def test_the_error_falls_and_is_that_of_the_definition(small, name):
    """The error of an iteration is Σ(√I − |Ψ|)²/ΣI over good pixels, evaluated as it goes over the views."""
    _, scan = small
    model = make_model(scan)
    rows = iterate(model, name, 12)
    assert rows[-1]["error"] < 0.3 * rows[0]["error"]
    frames = scan.frames.read(slice(None), slice(None)).astype(float)
    model = make_model(scan)
    n = model.geometry.n
    off = total = 0.0
    for frame, (y, x) in zip(frames, model.geometry.corners, strict=True):
        wave = np.fft.fftshift(np.fft.fft2(model.probe[0] * model.object[0][y : y + n, x : x + n], norm="ortho"))
        off += ((np.sqrt(frame) - np.abs(wave)) ** 2)[scan.good].sum()
        total += frame[scan.good].sum()
    assert error(model) == pytest.approx(off / total, rel=1e-5)


def test_likelihoods_at_the_truth_are_those_of_the_noise(small):
    """Of Poisson counts (y − I)²/y has the mean 1: the Gaussian model's sum over bright pixels is half their number."""
    simulation, scan = small
    bright = np.mean([simulation.intensity(view) for view in range(24)], axis=0) > 200
    scan = replace(scan, good=scan.good & bright)
    model = make_model(scan)
    y, x = np.rint(simulation.positions_pixels[0] - model.geometry.places[0]).astype(int)
    rows, columns = model.geometry.shape
    model.object[0] = simulation.object[y : y + rows, x : x + columns]
    model.probe[:] = simulation.probe
    pixels = 24 * int((scan.good).sum())
    assert pixels > 2000
    found = model.evaluate("gaussian").likelihood
    assert found == pytest.approx(pixels / 2, rel=5 / np.sqrt(pixels / 2))


def test_threads_alter_the_last_bits_at_most(small):
    _, scan = small
    one, two = (make_model(scan, threads=threads) for threads in (1, 2))
    for model in (one, two):
        iterate(model, "lsqml", 5)
    assert np.linalg.norm(one.object - two.object) < 1e-4 * np.linalg.norm(one.object)
