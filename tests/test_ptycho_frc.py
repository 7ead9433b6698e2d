"""Fourier ring correlation against what it must be for known signal and noise."""

from __future__ import annotations

import numpy as np
import pytest

from hpcdaas.errors import InputError
from hpcdaas.ptycho.frc import ring_correlation
from hpcdaas.ptycho.registration import shifted, times_ramp

N = 128


def noise(seed, shape=(N, N)):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def low_passed(image, cut):
    """Keep spatial frequencies below a cut, cycles per pixel."""
    y, x = (np.fft.fftfreq(n) for n in image.shape)
    return np.fft.ifft2(np.fft.fft2(image) * (np.hypot(y[:, None], x) < cut))


def test_the_same_image_correlates_fully_up_to_a_pixel():
    image = noise(0)
    # apart by what no measurement could tell
    other = 3j * times_ramp(shifted(image, (2.0, -3.0)), (0.3 / N, -0.2 / N), +1)
    found = ring_correlation(image[8:-8, 8:-8], other[8:-8, 8:-8], (10e-9, 10e-9))
    assert found.frc[3:].min() > 0.98
    assert found.resolution == pytest.approx(10e-9, rel=0.02)
    assert found.frequency[-1] == pytest.approx(1 / 20e-9, rel=0.01)


def test_independent_noise_stays_below_the_thresholds():
    common = 1.0  # without a common mean nothing could be registered
    first, second = (ring_correlation(common + 0.5 * noise(2 * i), common + 0.5 * noise(2 * i + 1), (1.0, 1.0))
                     for i in (1, 2))  # fmt: skip
    values = np.concatenate([first.frc[10:], second.frc[10:]])
    assert abs(values.mean()) < 0.03
    assert (first.frc < first.half_bit)[5:].mean() > 0.98
    assert (first.half_bit < first.one_bit).all()


def test_signal_and_noise_give_snr_over_one_plus_snr():
    signal = noise(7)
    snr = 4.0
    images = [2.0 + signal + noise(seed) / np.sqrt(snr) for seed in (8, 9)]
    found = ring_correlation(*images, (1.0, 1.0))
    assert found.frc[10:].mean() == pytest.approx(snr / (1 + snr), abs=0.03)


def test_the_crossing_is_where_the_signal_ends():
    cut = 0.2
    signal = 1.5 * low_passed(noise(3), cut)
    images = [5.0 + signal + noise(seed) for seed in (4, 5)]
    found = ring_correlation(*images, (2e-9, 2e-9))
    # the soft window spreads what is in a ring over its neighbours
    assert 0.5 / found.resolution == pytest.approx(cut / 2e-9, abs=1.5 / (N * 2e-9))


def test_rings_are_of_physical_frequency():
    """Pixels twice as high as wide: rings end at the coarser axis' Nyquist frequency."""
    cut = 0.15e9
    shape, pixel = (64, 128), (2e-9, 1e-9)
    y, x = (np.fft.fftfreq(n, p) for n, p in zip(shape, pixel, strict=True))
    inside = np.hypot(y[:, None], x) < cut
    signal = 1.5 * np.fft.ifft2(np.fft.fft2(noise(3, shape)) * inside)
    images = [5.0 + signal + noise(seed, shape) for seed in (4, 5)]
    found = ring_correlation(*images, pixel)
    assert 0.5 / found.resolution == pytest.approx(cut, abs=1.5 / (128 * 1e-9))
    assert found.frequency[-1] == pytest.approx(0.25e9)


def test_thresholds_are_those_of_van_heel_and_schatz():
    """Their rounded numbers, in 1/√n."""
    found = ring_correlation(1 + noise(0), 1 + noise(0), (1.0, 1.0))
    # n follows from the half-bit curve itself: T = (0.2071 + 1.9102/√n) / (1.2071 + 0.9102/√n)
    chance = (1.2071 * found.half_bit - 0.2071) / (1.9102 - 0.9102 * found.half_bit)
    expected = (0.5 + 2.4142 * chance) / (1.5 + 1.4142 * chance)
    assert found.one_bit == pytest.approx(expected, abs=1e-3)
    # all rings together hold the disc of the spectrum, as far as the window leaves its pixels independent: along an
    # axis (∫w²)²/∫w⁴ with w = 1 on one half and sin² on the other, whose squares have the means 3/8 and 35/128
    share = (0.5 + 0.5 * 3 / 8) ** 2 / (0.5 + 0.5 * 35 / 128)
    assert (1 / chance**2).sum() == pytest.approx(np.pi * (N / 2) ** 2 * share**2, rel=0.04)


def test_what_can_not_be_correlated_is_refused():
    with pytest.raises(InputError, match="ring by ring"):
        ring_correlation(noise(0), noise(0)[1:], (1.0, 1.0))
    with pytest.raises(InputError, match="ring by ring"):
        ring_correlation(noise(0)[:8, :8], noise(0)[:8, :8], (1.0, 1.0))
