"""The methods behind the centre, one by one."""

import numpy as np
import pytest

from hpcdaas.tomo.symmetry import mirror, wedge
from tomo_phantom import HEAD, sinogram


def test_wedge_is_the_energy_of_the_completed_turn() -> None:
    """Against the definition: mirror, complete, transform, sum outside."""
    rng = np.random.default_rng(0)
    half, columns = 20, 16
    data = rng.normal(size=(1, half, columns)).astype(np.float32)
    curve, turning = wedge(data, 6.0)
    padded = 32  # already the next fast length
    k = np.abs(np.fft.fftfreq(2 * half, 1 / (2 * half)))
    f = np.fft.fftfreq(padded)
    outside = (k[:, None] > 2 * np.pi * np.abs(f) * 6.0 + 3) & (f != 0)
    square = np.repeat([1.0, -1.0], half)

    def energy(c: float, static: bool) -> float:
        spectrum = np.fft.fft(data[0].astype(float), padded, axis=1)
        later = spectrum[:, (-np.arange(padded)) % padded] * np.exp(-4j * np.pi * f * c)
        turn = np.fft.fft(np.concatenate([spectrum, later]), axis=0) * outside
        if static:
            wave = np.fft.fft(square)[:, None] * outside
            norm = (np.abs(wave) ** 2).sum(axis=0)
            turn -= wave * (np.conj(wave) * turn).sum(axis=0) / np.where(norm > 0, norm, 1)
        return float((np.abs(turn) ** 2).sum())

    for found, static in ((curve, False), (turning, True)):
        some = np.arange(5, len(found.centers) // 2, 97)
        direct = np.array([energy(found.centers[i], static) for i in some])
        expected = found.misfit[0, some] * 4 * found.weight[0]  # both signs of f, and |A|² + |B|²
        np.testing.assert_allclose(expected, direct, rtol=1e-3)


def test_what_does_not_turn_is_invisible_to_the_second_curve() -> None:
    theta = np.linspace(0, np.pi, 180, endpoint=False)
    data = sinogram(HEAD, theta, 128, 60.3, 55.0).astype(np.float32)[None]
    static = np.random.default_rng(0).normal(size=(1, 1, 128)).astype(np.float32)
    (_, clean), (_, spoiled) = wedge(data, 64), wedge(data + static, 64)
    assert spoiled.best().center == pytest.approx(clean.best().center, abs=1e-3)
    np.testing.assert_allclose(spoiled.misfit, clean.misfit, atol=1e-3)


def test_mirror_on_fractions_of_a_column() -> None:
    u = np.arange(100)
    bump = np.exp(-(((u - 37.3) / 4) ** 2)).astype(np.float32)[None, None]
    other = np.exp(-(((u - (2 * 45.9 - 37.3)) / 4) ** 2)).astype(np.float32)[None, None]
    best = mirror(bump, other, 10, 90).best()
    assert best.center == pytest.approx(45.9, abs=0.01)
    assert best.misfit < 1e-3
