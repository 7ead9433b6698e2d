"""Modes in their natural order make the same frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hpcdaas.ptycho.modes import orthogonal


def random(modes: int, n: int, seed: int) -> NDArray[np.complex64]:
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((modes, n, n)) + 1j * rng.standard_normal((modes, n, n))
    return (made * np.exp(rng.uniform(-2, 2, (modes, 1, 1)))).astype(np.complex64)


def gram(probe: NDArray[Any]) -> NDArray[Any]:
    """Of all pairs, by sums."""
    return np.array([[(a.conj() * b).sum() for b in probe.astype(complex)] for a in probe.astype(complex)])


def frames(probe: NDArray[Any], object_: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((np.abs(np.fft.fft2(probe.astype(complex) * object_)) ** 2).sum(axis=0))


@given(st.integers(1, 6), st.sampled_from([8, 17, 32]), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_orthogonal_sorted_and_of_the_same_frames(modes: int, n: int, seed: int) -> None:
    probe = random(modes, n, seed)
    found = orthogonal(probe)
    assert (found.shape, found.dtype) == (probe.shape, np.complex64)
    products = gram(found)
    powers = np.diag(products).real
    assert (np.diff(powers) <= 1e-6 * powers[0]).all()
    assert np.abs(products - np.diag(powers)).max() < 1e-5 * powers[0]
    object_ = np.exp(1j * np.random.default_rng(seed).uniform(-2, 2, (n, n)))
    expected = frames(probe, object_)
    np.testing.assert_allclose(frames(found, object_), expected, atol=1e-5 * expected.max())


def test_powers_are_the_eigenvalues_of_the_mutual_intensity() -> None:
    """Independent of modes and pixels: the mutual intensity Σ P(r)P*(r′) has the powers as its eigenvalues."""
    probe = random(3, 12, 4)
    flat = probe.reshape(3, -1).astype(complex)
    values = np.linalg.eigvalsh(flat.T @ flat.conj())[::-1]
    np.testing.assert_allclose(np.diag(gram(orthogonal(probe))).real, values[:3], rtol=1e-5)
    assert values[3] < 1e-9 * values[0]


def test_mixed_modes_are_told_apart_again() -> None:
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((400, 3)) + 1j * rng.standard_normal((400, 3)))
    truth = (q * np.sqrt([5, 2, 1])).T
    unitary, _ = np.linalg.qr(rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)))
    found = orthogonal((unitary @ truth).reshape(3, 20, 20).astype(np.complex64)).reshape(3, -1)
    for mine, other in zip(found, truth, strict=True):
        assert abs(np.vdot(mine, other)) == pytest.approx(np.linalg.norm(other) ** 2, rel=1e-5)


def test_modes_that_are_in_order_stay() -> None:
    """Neither their order nor their phases turn, so that a second time alters nothing."""
    found = orthogonal(random(4, 16, 7))
    again = orthogonal(found)
    np.testing.assert_allclose(again, found, atol=1e-5 * np.abs(found).max())
    one = random(1, 16, 3)
    np.testing.assert_allclose(orthogonal(one), one, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_modes_without_light() -> None:
    probe = random(3, 8, 1)
    probe[1] = 0
    found = orthogonal(probe)
    assert np.isfinite(found).all()
    assert np.abs(found[2]).max() < 1e-6 * np.abs(found[0]).max()
    assert (orthogonal(np.zeros((2, 8, 8), np.complex64)) == 0).all()
