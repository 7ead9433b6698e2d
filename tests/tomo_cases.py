"""The primitives of tomography on any backend against the NumPy reference."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hpcdaas.backend import Correction, FbpPlan
from hpcdaas.backend.cpu import WIDTHS
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.errors import InputError
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.filters import response


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


@cache
def fbp_by_definition(n: int, rows: int) -> np.ndarray:
    """Give the slices of a scan: slow, and the same for all that are held against them."""
    data, plan = scan(n, rows)
    expected = np.zeros((rows, n, n), np.float32)
    ReferenceBackend().fbp(data, None, plan, expected)
    return expected


class AgainstReference:
    """Every primitive against the reference; the fixture `backend` gives it, `shapes` columns and rows worth trying."""

    def test_fbp_keeps_eps_against_the_definition(self, backend, shapes):
        for n, rows in shapes:
            data, plan = scan(n, rows)
            expected = fbp_by_definition(n, rows)
            for _, _, eps in WIDTHS:
                found = np.full((rows, n, n), np.nan, np.float32)
                backend.fbp(data, None, replace(plan, eps=eps), found)
                assert error(found[:, disc(n)], expected[:, disc(n)]) < eps
                assert error(found, expected) < 2 * eps  # the corners are right too

    def test_filtered_backprojection_against_its_formula(self, backend, shapes):
        for n, rows in shapes:
            data, plan = scan(n, rows)
            expected, found = np.zeros((rows, n, n), np.float32), np.zeros((rows, n, n), np.float32)
            ReferenceBackend().filtered_backprojection(data, None, plan, expected)
            backend.filtered_backprojection(data, None, plan, found)
            assert error(found, expected) < 5e-6

    @pytest.mark.parametrize("center", [30.0, 12.3, 60.9])
    def test_projector_pair_is_adjoint_and_follows_its_formula(self, backend, center):
        rng = np.random.default_rng(1)
        n, rows, angles = 61, 6, np.linspace(0, 3, 37)
        image = rng.standard_normal((rows, n, n)).astype(np.float32)
        lines = rng.standard_normal((37, rows, n)).astype(np.float32)
        reference, projected, back = ReferenceBackend(), np.zeros_like(lines), np.zeros_like(image)
        backend.project(image, angles, center, projected)
        backend.backproject(lines, angles, center, back)
        difference = abs(np.vdot(projected.astype(float), lines) - np.vdot(image.astype(float), back))
        assert difference < 1e-5 * np.linalg.norm(projected) * np.linalg.norm(lines)
        expected = np.zeros_like(lines)
        reference.project(image, angles, center, expected)
        assert error(projected, expected) < 5e-6
        expected = np.zeros_like(image)
        reference.backproject(lines, angles, center, expected)
        assert error(back, expected) < 5e-6

    @pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4", "f8"])
    def test_correction_of_every_stored_type(self, backend, dtype):
        counts, correction = raw(dtype)
        expected, low = ReferenceBackend().correct(counts, correction)
        found, count = backend.correct(counts, correction)
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
        assert count == low > 0

    def test_raw_counts_are_corrected_on_their_way(self, backend):
        counts, correction = raw("u2")
        theta = np.linspace(0, 2.5, len(counts))
        plan = FbpPlan(theta, angular_weights(theta), response("ramp", counts.shape[2], 2.0), 17.3, eps=1e-4)
        lines, low = ReferenceBackend().correct(counts, correction)
        shape = (counts.shape[1], counts.shape[2], counts.shape[2])
        for name in ("fbp", "filtered_backprojection"):
            expected, found = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
            getattr(ReferenceBackend(), name)(lines, None, plan, expected)
            assert getattr(backend, name)(counts, correction, plan, found) == low
            assert error(found[:, disc(shape[1])], expected[:, disc(shape[1])]) < 1e-4

    def test_values_that_are_not_finite_are_refused_with_their_frame(self, backend):
        data, plan = scan(32, 2)
        data[11, 1, 3] = np.nan
        with pytest.raises(InputError, match="Projection 11 "):
            backend.fbp(data, Correction.none(data.shape), plan, np.zeros((2, 32, 32), np.float32))


def raw(dtype: str) -> tuple[np.ndarray, Correction]:
    """Give counts with a dead pixel, one below the dark, and flats that change."""
    rng = np.random.default_rng(2)
    counts = rng.integers(0, 200 if dtype == "u1" else 3000, (7, 5, 37)).astype(dtype)
    counts[3, 2, 1] = 0 if dtype[0] == "u" else -7
    net = rng.uniform(50, 3000, (2, 5, 37)).astype(np.float32)
    net[:, 1, 1] = 0  # a dead pixel
    return counts, Correction(
        rng.uniform(1, 5, (5, 37)).astype(np.float32),
        net,
        np.array([0, 0, 0, 0, 1, 1, 1], np.int32),
        np.array([0, 0.25, 0.5, 0.75, 0, 0, 0], np.float32),
        log=True,
    )
