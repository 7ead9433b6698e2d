"""What ptychography can't know is recovered where it was put in, and what's left is what differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.errors import InputError
from hpcdaas.ptycho.ambiguity import Ambiguity, align, find_ambiguity, relative_error
from hpcdaas.ptycho.phantom import sample
from hpcdaas.ptycho.registration import register, shifted

RNG = np.random.default_rng(5)


def periodic(shape: tuple[int, int], seed: int = 0, size: float = 0.12) -> Any:
    """A smooth complex image, periodic and band limited, so that its shift is exact."""
    rng = np.random.default_rng(seed)
    f = [np.fft.fftfreq(n) for n in shape]
    low = np.exp(-((np.hypot(f[0][:, None], f[1]) / size) ** 2))
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((2, *shape))) * low).real
    noise /= noise.std(axis=(1, 2), keepdims=True)
    return (1 - 0.1 * noise[0]) * np.exp(0.6j * noise[1])


def moved(image: Any, shift: tuple[float, float]) -> Any:
    """image(r − shift) by the slow definition: a sum over all frequencies, along rows and along columns."""
    for axis, (n, s) in enumerate(zip(image.shape, shift, strict=True)):
        k = np.fft.fftfreq(n)
        r = np.arange(n)
        forward = np.exp(-2j * np.pi * np.outer(k, r))
        back = np.exp(2j * np.pi * np.outer(r - s, k)) / n
        image = np.moveaxis(np.tensordot(back @ forward, image, axes=(1, axis)), 0, axis)
    return image


def changed(image: Any, shift: tuple[float, float], ramp: tuple[float, float], factor: complex) -> Any:
    """Factor · ramp · image(r − shift), ramp in cycles per pixel about index n // 2."""
    y, x = (np.arange(n) - n // 2 for n in image.shape)
    return factor * np.exp(2j * np.pi * (ramp[0] * y[:, None] + ramp[1] * x)) * moved(image, shift)


shifts = st.tuples(st.floats(-6, 6), st.floats(-6, 6))
ramps = st.tuples(st.floats(-0.04, 0.04), st.floats(-0.04, 0.04))
sizes = st.tuples(st.integers(71, 110), st.integers(71, 110))


@settings(max_examples=25, deadline=None)
@given(sizes, shifts, ramps, st.floats(0.1, 8), st.floats(-3, 3), st.integers(0, 99))
def test_ramp_and_shift_at_once_are_recovered(
    shape: tuple[int, int], shift: Any, ramp: Any, scale: float, phase: float, seed: int
) -> None:
    truth = periodic(shape, seed)
    factor = scale * np.exp(1j * phase)
    found = changed(truth, shift, ramp, factor)
    # the borders, where the shift wraps round, don't count
    weight = np.zeros(shape)
    weight[16:-16, 16:-16] = 1
    answer = find_ambiguity(found, truth, weight)
    np.testing.assert_allclose(answer.shift, shift, atol=1e-3)
    np.testing.assert_allclose(answer.ramp, ramp, atol=1e-5)
    assert answer.factor == pytest.approx(factor, rel=2e-3)
    assert relative_error(answer.undo(found), truth, weight) < 2e-3


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_a_sample_with_sharp_edges_and_uneven_light(dtype: Any) -> None:
    whole = sample((240, 261), seed=3).astype(np.complex128)
    found = changed(whole, (2.37, -4.61), (0.011, -0.023), 0.4 - 1.3j)[20:-20, 20:-20].astype(dtype)
    truth = whole[20:-20, 20:-20].astype(dtype)
    y, x = (np.linspace(-1, 1, n) for n in truth.shape)
    light = np.exp(-3 * (y[:, None] ** 2 + x**2))
    light[light < 0.3] = 0
    answer = find_ambiguity(found, truth, light)
    np.testing.assert_allclose(answer.shift, (2.37, -4.61), atol=1e-3)
    np.testing.assert_allclose(answer.ramp, (0.011, -0.023), atol=1e-6)
    aligned = align(found, truth, light)
    assert aligned.dtype == dtype
    assert relative_error(aligned, truth, light) < 3e-3


def test_what_is_dark_may_hold_anything() -> None:
    truth = periodic((120, 120), 1)
    found = changed(truth, (0.4, -1.3), (0.01, 0.02), 2j)
    light = np.zeros(truth.shape, bool)
    light[30:90, 25:80] = True
    dark = ~light & (RNG.uniform(size=light.shape) > 0.3)
    dark[23:97, 18:87] = False
    found[dark] = 3 * RNG.standard_normal(dark.sum()) + 2j * RNG.standard_normal(dark.sum())
    answer = find_ambiguity(found, truth, light)
    np.testing.assert_allclose(answer.shift, (0.4, -1.3), atol=0.01)
    np.testing.assert_allclose(answer.ramp, (0.01, 0.02), atol=1e-4)
    assert relative_error(align(found, truth, light), truth, light) < 0.01


def test_noise_moves_it_by_little_and_a_large_shift_is_found() -> None:
    truth = periodic((128, 128), 2)
    noise = 0.2 * (RNG.standard_normal(truth.shape) + 1j * RNG.standard_normal(truth.shape))
    weight = np.zeros(truth.shape)
    weight[40:-40, 40:-40] = 1
    answer = find_ambiguity(changed(truth, (25.3, -31.8), (0.09, -0.12), 1.5) + noise, truth, weight)
    np.testing.assert_allclose(answer.shift, (25.3, -31.8), atol=0.05)
    np.testing.assert_allclose(answer.ramp, (0.09, -0.12), atol=1e-3)


def test_a_pure_phase_object_without_structure_in_its_modulus() -> None:
    truth = np.exp(1j * np.angle(periodic((100, 90), 4)))
    answer = find_ambiguity(changed(truth, (-3.25, 1.5), (-0.05, 0.03), 1.0), truth)
    np.testing.assert_allclose(answer.shift, (-3.25, 1.5), atol=0.02)
    np.testing.assert_allclose(answer.ramp, (-0.05, 0.03), atol=1e-4)


def test_what_differs_stays() -> None:
    """Noise of 10% remains 10%, and alignment with itself changes nothing."""
    truth = periodic((96, 96), 6)
    power = np.sqrt(np.mean(np.abs(truth) ** 2))
    noise = 0.1 * power * (RNG.standard_normal(truth.shape) + 1j * RNG.standard_normal(truth.shape)) / np.sqrt(2)
    assert relative_error(align(truth + noise, truth), truth) == pytest.approx(0.1, rel=0.03)
    np.testing.assert_allclose(align(truth, truth), truth, atol=1e-9)


def test_an_object_and_its_probe_are_undone_together() -> None:
    """The exit wave of every view is what it was, but for a phase, after both are undone."""
    truth = periodic((128, 128), 7, 0.06)
    y, x = (np.arange(48) - 24.0 for _ in range(2))
    probe = np.exp(-(y[:, None] ** 2 + x**2) / 40) * np.exp(0.02j * (y[:, None] ** 2 - x**2)) * (1 + 0.02 * x)
    shift, ramp, factor = (0.7, -0.4), (0.013, -0.007), 0.5 + 0.8j
    found = changed(truth, shift, ramp, factor)
    other = changed(probe, shift, (-ramp[0], -ramp[1]), 1 / factor)
    # this is an ambiguity: the frames are the same
    for row, column in ((30, 31), (50, 20)):
        window = (slice(row, row + 48), slice(column, column + 48))
        frames = [np.abs(np.fft.fft2(p * o[window])) for p, o in ((probe, truth), (other, found))]
        np.testing.assert_allclose(frames[0], frames[1], atol=1e-5 * frames[0].max())
    answer = Ambiguity(shift, ramp, factor)
    back = answer.undo_probe(np.stack([other, 2 * other]))
    turn = np.vdot(probe, back[0])
    assert abs(turn) == pytest.approx(np.vdot(probe, probe).real, rel=1e-6)
    np.testing.assert_allclose(back[0], probe * turn / abs(turn), atol=1e-5)
    np.testing.assert_allclose(back[1], 2 * back[0])


def test_register_finds_the_peak_to_its_grid() -> None:
    image = periodic((75, 64), 8)
    image -= image.mean()
    assert register(moved(image, (3.27, -7.44)), image) == pytest.approx((3.27, -7.44), abs=0.005)
    assert register(moved(image, (0.3, 0.0)), image, 10) == pytest.approx((0.3, 0), abs=1e-9)
    np.testing.assert_allclose(shifted(image, (2, -3))[5:-5, 5:-5], np.roll(image, (-2, 3), (0, 1))[5:-5, 5:-5])


def test_what_can_not_be_compared_is_refused() -> None:
    image = periodic((32, 32))
    broken = image.copy()
    broken[3, 3] = np.nan
    for found, reference, weight, word in (
        (image, image[1:], None, "compared"),
        (image, image, np.ones((3, 3)), "fit"),
        (image, image, np.zeros(image.shape), "Weights"),
        (image, image, -np.ones(image.shape), "Weights"),
        (broken, image, None, "finite"),
        (0 * image, image, None, "zero"),
    ):
        with pytest.raises(InputError, match=word):
            align(found, reference, weight)
