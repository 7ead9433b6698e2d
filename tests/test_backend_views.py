"""The primitives of ptychography: C++ against the NumPy reference, the reference against formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.backend.views import Batch, LsqStep, PieStep, Sums, ViewSetup
from hpcdaas.errors import InputError

NOISES = ("amplitude", "gaussian", "poisson")


def normal(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


class Case:
    """A few views of random fields, with bad pixels, counts over the limit and below 0."""

    def __init__(self, n=16, views=7, probes=1, objects=1, dtype=np.uint16, near=False, seed=0):
        rng = np.random.default_rng(seed)
        self.object = normal(rng, objects, n + 9, n + 13)
        self.probe = normal(rng, probes, n, n)
        good = rng.random((n, n)) > 0.1
        transfer = np.exp(2j * np.pi * rng.random((n, n))).astype(np.complex64) if near else None
        self.setup = ViewSetup(n, probes, objects, good, 40.0, transfer)
        frames = rng.poisson(8, (views + 2, n, n))
        frames[rng.random(frames.shape) < 0.02] = 77
        if np.dtype(dtype).kind != "u":
            frames[rng.random(frames.shape) < 0.02] = -1
        corners = np.stack([rng.integers(0, 10, views), rng.integers(0, 14, views)], 1).astype(np.int32)
        frame, slot = rng.permutation(views + 2)[:views].astype(np.int32), rng.permutation(views).astype(np.int32)
        self.batch = Batch(frames.astype(dtype), frame, corners, slot)
        self.waves = normal(rng, views, probes * objects, n, n)

    def fields(self):
        return self.object.copy(), self.probe.copy()

    def both(self, threads=2, level=None):
        return ReferenceBackend().views(self.setup), CpuBackend(threads, level).views(self.setup)


def near(found, expected, tolerance=1e-5):
    assert np.linalg.norm(np.ravel(found) - np.ravel(expected)) <= tolerance * np.linalg.norm(np.ravel(expected))


def same_sums(found, expected):
    for name in ("object", "weight", "probe", "probe_weight"):
        near(getattr(found, name), getattr(expected, name))


CASES = {
    "plain": {},
    "modes": {"probes": 3, "objects": 2},
    "odd": {"n": 21, "views": 5},
    "near field": {"near": True, "probes": 2},
    "signed": {"dtype": np.int32},
    "bytes": {"dtype": np.uint8},
    "floats": {"dtype": np.float32, "n": 40},
    "one view": {"views": 1},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("threads", [1, 3])
class TestAgainstReference:
    @pytest.mark.parametrize("noise", NOISES)
    def test_gradient(self, name, threads, noise):
        case = Case(**CASES[name])
        results = []
        for views in case.both(threads):
            sums = Sums.zeros(case.object, case.probe)
            misfit = views.gradient(case.batch, case.object, case.probe, noise, sums)
            assert views.evaluate(case.batch, case.object, case.probe, noise) == pytest.approx(misfit, rel=1e-6)
            results.append((misfit, sums))
        (expected, expected_sums), (found, found_sums) = results
        assert found == pytest.approx(expected, rel=1e-5)
        same_sums(found_sums, expected_sums)

    def test_project_and_overlap(self, name, threads):
        case = Case(**CASES[name])
        results = []
        for views in case.both(threads):
            waves, sums, again = case.waves.copy(), *(Sums.zeros(case.object, case.probe) for _ in range(2))
            misfit = views.project(case.batch, case.object, case.probe, waves, (-0.9, 1.0, 1.9), sums)
            views.overlap(case.batch, case.object, case.probe, waves, again)
            same_sums(again, sums)
            results.append((misfit, waves, sums))
        (expected, expected_waves, expected_sums), (found, found_waves, found_sums) = results
        assert found == pytest.approx(expected, rel=1e-5)
        near(found_waves, expected_waves)
        same_sums(found_sums, expected_sums)

    def test_exit_waves(self, name, threads):
        case = Case(**CASES[name])
        found = [np.zeros_like(case.waves) for _ in range(2)]
        for views, waves in zip(case.both(threads), found, strict=True):
            views.exit_waves(case.batch, case.object, case.probe, waves)
        near(found[1], found[0], 1e-6)

    @pytest.mark.parametrize("step", [PieStep(0.3, 0.8, 0.9, 0.5), PieStep(1.0, 1.0, 1.0, 0.0)])
    def test_pie(self, name, threads, step):
        case = Case(**CASES[name])
        count = len(case.batch)
        for bounds in ([0, count], list(range(count + 1))):
            results = []
            for views in case.both(threads):
                object_, probe = case.fields()
                results.append((views.pie(case.batch, bounds, object_, probe, step), object_, probe))
            (expected, *expected_fields), (found, *found_fields) = results
            assert found == pytest.approx(expected, rel=1e-5)
            for a, b in zip(found_fields, expected_fields, strict=True):
                near(a, b)

    @pytest.mark.parametrize(
        ("moves", "compact"),
        [((True, True), False), ((True, False), False), ((False, True), False), ((True, True), True)],
    )
    def test_lsq(self, name, threads, moves, compact):
        case = Case(**CASES[name])
        count = len(case.batch)
        bounds = sorted({0, (count + 1) // 2, count})
        results = []
        for views in case.both(threads):
            object_, probe = case.fields()
            sums = Sums(np.zeros_like(object_), np.zeros(object_.shape[1:], np.float32)) if compact else None
            found = views.lsq(case.batch, bounds, object_, probe, LsqStep(0.1, 0.1, *moves), sums)
            results.append((found, object_, probe, sums))
        (expected, *expected_fields, expected_sums), (found, *found_fields, found_sums) = results
        assert found.misfit == pytest.approx(expected.misfit, rel=1e-5)
        assert found[1:] == pytest.approx(expected[1:], rel=1e-4)
        for a, b in zip(found_fields, expected_fields, strict=True):
            near(a, b)
        if compact:
            near(found_sums.object, expected_sums.object)
            near(found_sums.weight, expected_sums.weight)


@pytest.mark.parametrize("level", ["baseline", "avx2", "avx512"])
def test_every_vector_level(level):
    case = Case(probes=2)
    try:
        views = CpuBackend(2, level).views(case.setup)
    except InputError:
        pytest.skip(f"this machine has no {level}")
    expected, found = (Sums.zeros(case.object, case.probe) for _ in range(2))
    ReferenceBackend().views(case.setup).gradient(case.batch, case.object, case.probe, "poisson", expected)
    views.gradient(case.batch, case.object, case.probe, "poisson", found)
    same_sums(found, expected)


def test_threads_dont_alter_what_the_object_gets():
    case = Case(n=32, views=40)
    sums = [Sums.zeros(case.object, case.probe) for _ in range(3)]
    for threads, one in zip((1, 2, 2), sums, strict=True):
        CpuBackend(threads).views(case.setup).gradient(case.batch, case.object, case.probe, "gaussian", one)
    assert np.array_equal(sums[1].object, sums[2].object)
    assert np.array_equal(sums[1].probe, sums[2].probe)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("near_field", [False, True])
def test_gradients_are_derivatives_of_the_likelihood(noise, near_field):
    """Finite differences of the reference, in float64: dL = −2 Re⟨χ-sums, change⟩, for amplitudes, too."""
    case = Case(n=12, views=3, probes=2, near=near_field)
    views = ReferenceBackend().views(case.setup)
    object_, probe = case.object.astype(np.complex128), case.probe.astype(np.complex128)
    sums = Sums(np.zeros_like(object_), None, np.zeros_like(probe), None)
    views.gradient(case.batch, object_, probe, noise, sums)
    rng = np.random.default_rng(1)
    object_move, probe_move = (normal(rng, *a.shape).astype(np.complex128) for a in (object_, probe))
    step = 1e-5
    up, down = (
        views.evaluate(case.batch, object_ + s * object_move, probe + s * probe_move, noise).likelihood
        for s in (step, -step)
    )
    slope = -2 * (np.vdot(sums.object, object_move).real + np.vdot(sums.probe, probe_move).real)
    assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-5)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(4, 40), views=st.integers(1, 9), probes=st.integers(1, 3), seed=st.integers(0, 99))
def test_any_size(n, views, probes, seed):
    case = Case(n=n, views=views, probes=probes, seed=seed)
    expected, found = (Sums.zeros(case.object, case.probe) for _ in range(2))
    for primitives, sums in zip(case.both(), (expected, found), strict=True):
        primitives.gradient(case.batch, case.object, case.probe, "gaussian", sums)
    same_sums(found, expected)


@pytest.mark.parametrize("name", ["pie", "lsq"])
def test_threads_dont_alter_a_move_of_the_object(name):
    """Sums on the object's grid are made in the order of the views, whoever makes them."""
    case, found = Case(n=32, views=40), []
    for threads in (1, 2, 3):
        object_, probe = case.fields()
        views = CpuBackend(threads).views(case.setup)
        if name == "pie":
            views.pie(case.batch, [0, 15, 40], object_, probe, PieStep(0.3, 0.8, 0.9, 0.0))
        else:
            views.lsq(case.batch, [0, 15, 40], object_, probe, LsqStep(0.1, 0.1, True, False), None)
        found.append(object_)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("noise", NOISES)
def test_a_dark_model_misses_all_counts(noise):
    case = Case()
    sums = Sums.zeros(case.object, case.probe)
    for views in case.both(1):
        found = views.gradient(case.batch, 0 * case.object, case.probe, noise, sums)
        assert found.error == pytest.approx(found.counts, rel=1e-6)
        assert np.isfinite(sums.object).all()


def test_views_beyond_the_object_are_refused():
    case = Case()
    views = CpuBackend(1).views(case.setup)
    batch = replace(case.batch, corners=case.batch.corners + np.int32(20))
    with pytest.raises(ValueError, match="beyond the object"):
        views.evaluate(batch, case.object, case.probe, "amplitude")
