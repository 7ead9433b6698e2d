"""The C++ primitives against the NumPy reference, at every vector level that this machine has."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.backend import Correction, FbpPlan
from hpcdaas.backend.cpu import WIDTHS, CpuBackend
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.errors import InputError
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.filters import response


def levels() -> list[str]:
    found = []
    for level in ("baseline", "avx2", "avx512"):
        try:
            CpuBackend(1, level)
        except InputError:
            continue
        found.append(level)
    return found


def scan(n: int, rows: int, angles: int = 60, seed: int = 0) -> tuple[np.ndarray, FbpPlan]:
    rng = np.random.default_rng(seed)
    theta = np.sort(rng.uniform(0, np.pi, angles))
    data = rng.standard_normal((angles, rows, n)).astype(np.float32)
    plan = FbpPlan(theta, angular_weights(theta), response("ramp", n, 2.0), n * rng.uniform(0.4, 0.6))
    return data, plan


def disc(n: int) -> np.ndarray:
    x = np.arange(n) - (n - 1) / 2
    return x[:, None] ** 2 + x**2 <= ((n - 1) / 2) ** 2


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found.astype(float) - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize(("n", "rows"), [(64, 1), (65, 5), (96, 17), (33, 4)])
def test_fbp_keeps_eps_against_the_definition(level: str, n: int, rows: int) -> None:
    data, plan = scan(n, rows)
    expected = np.zeros((rows, n, n), np.float32)
    ReferenceBackend().fbp(data, None, plan, expected)
    for _, _, eps in WIDTHS:
        found = np.full((rows, n, n), np.nan, np.float32)
        CpuBackend(2, level).fbp(data, None, replace(plan, eps=eps), found)
        assert error(found[:, disc(n)], expected[:, disc(n)]) < eps
        assert error(found, expected) < 2 * eps  # the corners are right too


@given(n=st.integers(8, 40), rows=st.integers(1, 18), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_fbp_of_any_shape(n: int, rows: int, seed: int) -> None:
    data, plan = scan(n, rows, angles=20, seed=seed)
    expected, found = np.zeros((rows, n, n), np.float32), np.full((rows, n, n), np.nan, np.float32)
    ReferenceBackend().fbp(data, None, plan, expected)
    CpuBackend(1).fbp(data, None, replace(plan, eps=1e-4), found)
    assert error(found[:, disc(n)], expected[:, disc(n)]) < 2e-4


@pytest.mark.parametrize("level", levels())
def test_filtered_backprojection_against_its_formula(level: str) -> None:
    data, plan = scan(70, 19)
    expected, found = np.zeros((19, 70, 70), np.float32), np.zeros((19, 70, 70), np.float32)
    ReferenceBackend().filtered_backprojection(data, None, plan, expected)
    CpuBackend(2, level).filtered_backprojection(data, None, plan, found)
    assert error(found, expected) < 5e-6


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("center", [30.0, 12.3, 60.9])
def test_projector_pair_is_adjoint_and_follows_its_formula(level: str, center: float) -> None:
    rng = np.random.default_rng(1)
    n, rows, angles = 61, 6, np.linspace(0, 3, 37)
    image = rng.standard_normal((rows, n, n)).astype(np.float32)
    lines = rng.standard_normal((37, rows, n)).astype(np.float32)
    cpu, reference = CpuBackend(2, level), ReferenceBackend()
    projected, back = np.zeros_like(lines), np.zeros_like(image)
    cpu.project(image, angles, center, projected)
    cpu.backproject(lines, angles, center, back)
    difference = abs(np.vdot(projected.astype(float), lines) - np.vdot(image.astype(float), back))
    assert difference < 1e-5 * np.linalg.norm(projected) * np.linalg.norm(lines)
    expected = np.zeros_like(lines)
    reference.project(image, angles, center, expected)
    assert error(projected, expected) < 5e-6
    expected = np.zeros_like(image)
    reference.backproject(lines, angles, center, expected)
    assert error(back, expected) < 5e-6


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_correction_of_every_stored_type(level: str, dtype: str) -> None:
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 200 if dtype == "u1" else 3000, (7, 5, 37)).astype(dtype)
    counts[3, 2, 1] = 0 if dtype[0] == "u" else -7
    net = rng.uniform(50, 3000, (2, 5, 37)).astype(np.float32)
    net[:, 1, 1] = 0  # a dead pixel
    correction = Correction(
        rng.uniform(1, 5, (5, 37)).astype(np.float32),
        net,
        np.array([0, 0, 0, 0, 1, 1, 1], np.int32),
        np.array([0, 0.25, 0.5, 0.75, 0, 0, 0], np.float32),
        log=True,
    )
    expected, low = ReferenceBackend().correct(counts, correction)
    found, count = CpuBackend(2, level).correct(counts, correction)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    assert count == low > 0


def test_values_that_are_not_finite_are_refused_with_their_frame() -> None:
    data, plan = scan(32, 2)
    data[11, 1, 3] = np.nan
    with pytest.raises(InputError, match="Projection 11 "):
        CpuBackend(2).fbp(data, Correction.none(data.shape), plan, np.zeros((2, 32, 32), np.float32))


def test_fbp_is_the_same_with_any_number_of_threads() -> None:
    data, plan = scan(64, 16)
    one, two = np.zeros((16, 64, 64), np.float32), np.zeros((16, 64, 64), np.float32)
    CpuBackend(1).fbp(data, None, plan, one)
    CpuBackend(2).fbp(data, None, plan, two)
    np.testing.assert_array_equal(one, two)


def test_an_unknown_vector_level_is_refused() -> None:
    with pytest.raises(InputError, match="vector level"):
        CpuBackend(1, "mmx")
