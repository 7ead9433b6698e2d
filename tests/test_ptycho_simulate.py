"""Simulated diffraction against slow transforms, the statistics of counts, and the geometry of positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hpcdaas.ptycho.beam import fresnel_transfer, zone_plate
from hpcdaas.ptycho.patterns import fermat_spiral, raster
from hpcdaas.ptycho.phantom import SPOKES, sample, siemens_star
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters

SMALL: dict[str, Any] = {"views": 9, "size": 48, "step": 0.3e-6, "outer_zone": 120e-9}


def simulation(**changed: Any) -> Simulation:
    return Simulation(SimulationParameters(**{**SMALL, **changed}))


def slow_dft(wave: Any) -> Any:
    """Unitary DFT with exp(−2πi …) by its matrices, origin and frequency 0 at n // 2."""
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(np.arange(n) - n // 2, np.arange(n) - n // 2) / n) / np.sqrt(n)
        for n in wave.shape[-2:]
    )
    return rows @ wave @ columns.T


@settings(max_examples=12, deadline=None)
@given(size=st.integers(32, 61), modes=st.integers(1, 4), seed=st.integers(0, 99), view=st.integers(0, 8))
def test_frames_are_the_slow_transform_of_probe_times_object(size: int, modes: int, seed: int, view: int) -> None:
    made = simulation(size=size, mode_powers=tuple(range(1, modes + 1)), seed=seed, outer_zone=200e-9)
    y, x = (int(c) - size // 2 for c in made.positions_pixels[view])
    waves = made.probe * made.object[y : y + size, x : x + size]
    expected = (np.abs(slow_dft(waves.astype(complex))) ** 2).sum(axis=0)
    np.testing.assert_allclose(made.intensity(view), expected, atol=1e-6 * expected.max())


@pytest.mark.parametrize("size", [48, 51])
def test_the_direct_beam_is_at_half_and_photons_are_kept(size: int) -> None:
    made = simulation(size=size, mode_powers=(3, 1), photons=5e4)
    made.object[:] = 1
    empty = made.intensity(0)
    assert empty.sum() == pytest.approx(5e4, rel=1e-5)
    y, x = np.indices(empty.shape) - size // 2
    # a ring about the direct beam: its edge is at N pixel / (2 outer zone) of the zone plate
    assert (empty * y).sum() / empty.sum() == pytest.approx(0, abs=1e-2)
    assert (empty * x).sum() / empty.sum() == pytest.approx(0, abs=1e-2)
    edge = size * made.object_pixel / (2 * 120e-9)
    r = np.hypot(y, x)
    assert empty[r > edge + 1].max() < 1e-6 * empty.max()
    assert empty[r < 0.35 * edge - 1].max() < 1e-6 * empty.max()
    assert empty[(r < edge - 1) & (r > 0.35 * edge + 1)].min() > 0


def test_pixel_of_the_object() -> None:
    made = simulation(energy="6.2 keV", distance="1 m", pixel_size="75 um")
    wavelength = 1.23984198e-6 / 6200
    assert made.object_pixel == pytest.approx(wavelength * 1 / (48 * 75e-6), rel=1e-6)
    np.testing.assert_allclose(made.positions, made.positions_pixels * made.object_pixel)
    near = simulation(focus_distance="2 mm", distance="0.998 m")
    assert near.object_pixel == pytest.approx(75e-6 / 500)


@pytest.mark.parametrize("size", [48, 49])
def test_modes_are_orthogonal_with_their_powers(size: int) -> None:
    for more in ({}, {"focus_distance": 1e-3}):
        made = simulation(size=size, mode_powers=(1, 5, 3, 0.5), photons=1900, **more)
        flat = made.probe.reshape(4, -1).astype(complex)
        gram = flat.conj() @ flat.T
        np.testing.assert_allclose(gram, np.diag([1000, 600, 200, 100]), atol=0.01)


def test_the_first_mode_is_the_zone_plates_beam_out_of_focus() -> None:
    """A point source's wave: in focus a peak at n // 2, the same behind and before it but for conjugation."""
    focus, before, behind = (simulation(defocus=d, mode_powers=(2, 1)).probe[0] for d in (0, -4e-4, 4e-4))
    assert np.unravel_index(np.argmax(np.abs(focus)), focus.shape) == (24, 24)
    np.testing.assert_allclose(before, behind.conj(), atol=1e-3 * np.abs(behind).max())
    assert np.abs(behind).max() < 0.5 * np.abs(focus).max()
    pixel = simulation().object_pixel
    back = fresnel_transfer(48, pixel, simulation().wavelength, -4e-4) * np.fft.fft2(np.fft.ifftshift(behind))
    direction = zone_plate(48, pixel, 120e-9, 0.35).ravel()
    alike = abs(np.vdot(direction, back.ravel())) / np.linalg.norm(direction) / np.linalg.norm(back)
    assert alike == pytest.approx(1, abs=1e-5)


def test_the_cone_widens_with_the_distance_as_rays_do() -> None:
    """At defocus d the outermost rays are at d λ / (2 Δr) from the axis, those at the stop at 0.35 of it."""
    made = simulation(size=128, distance=1.0, outer_zone=60e-9, defocus=400e-6)
    power = np.abs(made.probe[0]) ** 2
    r = np.hypot(*(np.indices(power.shape) - 64)) * made.object_pixel
    reach = 400e-6 * made.wavelength / (2 * 60e-9)
    # beyond the rays light fades within a Fresnel fringe, √(λd)
    assert power[r < reach + np.sqrt(made.wavelength * 400e-6)].sum() > 0.97 * power.sum()
    assert power[r < 0.25 * reach].sum() < 0.05 * power.sum()
    assert np.sqrt((power * r**2).sum() / power.sum()) == pytest.approx(reach * np.sqrt((1 + 0.35**2) / 2), rel=0.05)


def test_near_field_is_fresnels_convolution() -> None:
    """The Fourier series' transfer at each frequency by its formula, transforms by their matrices."""
    made = simulation(focus_distance=1e-3, step=0.6e-6, mode_powers=(3, 1))
    effective = 1e-3 * 1.0 / 1.001
    k = (np.arange(48) - 24) / (48 * made.object_pixel)
    transfer = np.exp(-1j * np.pi * made.wavelength * effective * (k[:, None] ** 2 + k**2))
    for view in (0, 5):
        spectrum = slow_dft(made.exit_waves(view)) * transfer
        # the inverse is the conjugate of the transform of the conjugate
        expected = (np.abs(slow_dft(spectrum.conj())) ** 2).sum(axis=0)
        np.testing.assert_allclose(made.intensity(view), expected, atol=1e-9 * expected.max())
    # the beam fills the frame, and falls to nothing at its borders
    light = (np.abs(made.probe) ** 2).sum(axis=0)
    assert light[0].max() < 0.02 * light.max()
    assert (light > 0.1 * light.max()).mean() > 0.5


def test_views_between_pixels() -> None:
    """Moving the object's samples instead of the probe, as a slow sum, gives the same frame."""
    made = simulation(subpixel=True, size=64, outer_zone=120e-9, defocus=2e-4)
    moved = made.positions_pixels - np.rint(made.positions_pixels)
    assert np.abs(moved).max() > 0.2
    assert np.abs(moved).max() <= 0.5
    y, x = (np.arange(n) for n in made.object.shape)
    # a smooth object whose values between pixels are known: plane waves
    made.object[:] = (1 + 0.5 * np.exp(0.3j * y[:, None] + 0.2j * x)).astype(np.complex64)
    for view in (1, 4, 7):
        centre = made.positions_pixels[view]
        v, u = (np.arange(64) - 32 + c for c in centre)
        seen = made.probe[0] * (1 + 0.5 * np.exp(0.3j * v[:, None] + 0.2j * u))
        expected = np.abs(slow_dft(seen)) ** 2
        np.testing.assert_allclose(made.intensity(view), expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("photons", [3e3, 3e6])
def test_counts_have_poisson_statistics(photons: float) -> None:
    made = simulation(views=1, photons=photons)
    expected = made.intensity(0)
    counts = np.empty((300, *expected.shape))
    for seed in range(300):
        made.parameters = made.parameters.model_copy(update={"seed": seed})
        counts[seed] = made.frames()[0]
    lit = made.good & (expected > 0.05)
    z = (counts.mean(axis=0) - expected)[lit] / np.sqrt(expected[lit] / 300)
    assert z.std() == pytest.approx(1, abs=0.12)
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    ratio = counts.var(axis=0, ddof=1)[lit].sum() / expected[lit].sum()
    assert ratio == pytest.approx(1, abs=0.05)


def test_each_view_has_its_own_random_numbers() -> None:
    made = simulation()
    frames = made.frames()
    assert frames.shape == made.shape == (9, 48, 48)
    assert frames.dtype == np.uint16
    np.testing.assert_array_equal(frames[4:7], made.frames(4, 7, threads=3))
    np.testing.assert_array_equal(frames, simulation().frames())
    other = simulation(seed=1)
    assert (other.frames() != frames).any()
    assert np.abs(other.object - made.object).max() > 0.1
    # two views of one place differ by their noise alone
    made.corners[1], made.positions_pixels[1], made._nearest[1] = (
        made.corners[0],
        made.positions_pixels[0],
        made._nearest[0],
    )
    np.testing.assert_allclose(made.intensity(0), made.intensity(1))
    assert (made.frames(0, 1) != made.frames(1, 2)).any()


def test_the_gap_and_dead_pixels_measure_nothing() -> None:
    made = simulation(gap=4, dead=7, photons=1e9)
    frames = made.frames()
    assert made.good.dtype == bool
    gaps = ~made.good.any(axis=0)
    assert gaps.sum() == 4
    assert not gaps[24]
    outside = ~made.good & ~gaps
    assert 0 < outside.sum() <= 7
    assert (frames[:, outside] == 65535).all()
    assert np.isin(frames[:, ~made.good], (0, 65535)).all()
    # counts end where the type does
    assert frames[:, made.good].max() == 65535
    assert simulation(gap=0, dead=0).good.all()


@settings(max_examples=15, deadline=None)
@given(
    views=st.integers(1, 40),
    size=st.integers(32, 50),
    pattern=st.sampled_from(["fermat", "raster"]),
    subpixel=st.booleans(),
)
def test_all_windows_lie_in_the_object(views: int, size: int, pattern: Any, subpixel: bool) -> None:
    made = simulation(views=views, size=size, pattern=pattern, subpixel=subpixel, outer_zone=200e-9)
    assert made.positions_pixels.shape == (views, 2)
    assert made.object.dtype == made.probe.dtype == np.complex64
    assert (made.corners > 0).all()
    assert (made.corners + size < made.object.shape).all()
    np.testing.assert_array_equal(made.corners, np.rint(made.positions_pixels).astype(int) - size // 2)
    if not subpixel:
        np.testing.assert_array_equal(made.positions_pixels, np.rint(made.positions_pixels))


def test_patterns_have_the_step_asked_for() -> None:
    spiral = fermat_spiral(400, 2.0)
    distance = np.hypot(*(spiral[:, None] - spiral[None]).transpose(2, 0, 1)) + 1e9 * np.eye(400)
    assert distance.min() > 1.2
    # a view has the area step²
    assert np.pi * np.hypot(*spiral.T).max() ** 2 / 400 == pytest.approx(4, rel=0.01)
    regular = raster(12, 3.0, 0.0, np.random.default_rng(0))
    assert sorted(set(np.diff(np.unique(regular[:, 1])).round(9))) == [3.0]
    jittered = raster(12, 3.0, 0.5, np.random.default_rng(0))
    assert np.abs(jittered - regular).max() < 1.5
    np.testing.assert_allclose(jittered.mean(axis=0), 0, atol=1e-12)


def test_truth_is_where_light_is() -> None:
    made = Simulation(SimulationParameters(views=120))
    light, region = made.illumination(), made.truth_region()
    assert light.sum() == pytest.approx(120 * 1e6, rel=1e-3)
    window = made.truth_window()
    assert region[window].all()
    rows, columns = (part.stop - part.start for part in window)
    assert min(rows, columns) > 60
    middle = [(part.start + part.stop - 1) / 2 for part in window]
    low, high = made.positions_pixels.min(axis=0), made.positions_pixels.max(axis=0)
    np.testing.assert_allclose(middle, (low + high) / 2, atol=1.1)
    assert region.sum() < made.truth_region(0.01).sum()


def test_the_sample_retards_absorbs_and_is_band_limited() -> None:
    whole = sample((201, 256), seed=2)
    phase = np.angle(whole)
    assert phase.min() < -1.5
    assert phase.max() < 0.2
    assert np.abs(whole).max() < 1.15
    assert np.abs(whole).min() < 0.8
    np.testing.assert_array_equal(whole, sample((201, 256), seed=2))
    # nothing beyond the circle, seen through a window since the borders don't meet
    window = np.hanning(201)[:, None] * np.hanning(256)
    power = np.abs(np.fft.fft2((whole - whole.mean()) * window)) ** 2
    f = np.hypot(np.fft.fftfreq(201)[:, None], np.fft.fftfreq(256))
    assert power[f > 0.52].sum() < 1e-6 * power.sum()
    # sharp edges: half of what a step has is left where the band ends
    assert power[(f > 0.38) & (f < 0.44)].mean() > 1e-5 * power[(f > 0.05) & (f < 0.1)].mean()


def test_the_star_has_its_spokes() -> None:
    star = siemens_star((201, 202), 90)
    angle = np.linspace(0, 2 * np.pi, 3600, endpoint=False) + 1e-4
    for r in (30, 60, 80):
        seen = star[np.rint(100 + r * np.sin(angle)).astype(int), np.rint(101 + r * np.cos(angle)).astype(int)] > 0.5
        assert np.count_nonzero(np.diff(seen.astype(int)) == 1) in (SPOKES - 1, SPOKES)
        assert seen.mean() == pytest.approx(0.5, abs=0.05)
    assert star[100 + 45, :].max() <= 1
    assert star[:8].max() == 0


def test_a_simulation_is_a_scan() -> None:
    made = simulation()
    scan = made.scan()
    assert scan.shape == made.shape
    assert scan.frames.dtype == np.uint16
    frames = made.frames()
    np.testing.assert_array_equal(scan.frames.read(slice(2, 5), slice(None)), frames[2:5])
    out = np.zeros((2, 10, 48), np.uint16)
    assert scan.frames.read(slice(0, 2), slice(5, 25, 2), out) is out
    np.testing.assert_array_equal(out, frames[:2, 5:25:2])
    np.testing.assert_array_equal(scan.good, made.good)
    assert scan.pixel_size == (75e-6, 75e-6)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"mode_powers": (1.0, 0.0)}, "power of a mode"),
        ({"outer_zone": 20e-9}, "cone"),
        ({"focus_distance": 1e-3, "subpixel": True}, "near field"),
    ],
)
def test_what_the_model_can_not_hold_is_refused(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        simulation(**wrong)
