"""The primitives of ptychography: C++ against the NumPy reference, the reference against formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.backend.views import LsqStep, PieStep, Sums
from hpcdaas.errors import InputError
from views_cases import NOISES, AgainstReference, Case, half_is_another_ranks, normal, same_sums


@pytest.fixture(params=[1, 3], ids=lambda threads: f"{threads} threads")
def make_views(request):
    return lambda setup: CpuBackend(request.param).views(setup)


class TestAgainstReference(AgainstReference):
    """C++ with one and with several threads."""


def test_views_of_other_ranks_count(make_views):
    half_is_another_ranks(make_views, lambda array: array)


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
    for primitives, sums in zip((case.reference(), CpuBackend(2).views(case.setup)), (expected, found), strict=True):
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
    for views in (case.reference(), CpuBackend(1).views(case.setup)):
        found = views.gradient(case.batch, 0 * case.object, case.probe, noise, sums)
        assert found.error == pytest.approx(found.counts, rel=1e-6)
        assert np.isfinite(sums.object).all()


def test_views_beyond_the_object_are_refused():
    case = Case()
    views = CpuBackend(1).views(case.setup)
    batch = replace(case.batch, corners=case.batch.corners + np.int32(20))
    with pytest.raises(ValueError, match="beyond the object"):
        views.evaluate(batch, case.object, case.probe, "amplitude")
