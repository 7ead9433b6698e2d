"""Pixels, windows and the near field's way, held against the formulas that define them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.ptycho.geometry import by_place, far_field_orientations, make_geometry, object_pixel, transfer
from hpcdaas.scan import ORIENTATIONS, PtychoScan, oriented
from ptycho_scans import FAR, NEAR, cut_of, scan_of, simulated

#: P25 at PETRA III: its focus is 3.65 mm before the sample.
P25 = {"energy": 12658.0, "distance": 1.12, "pixel_size": (55e-6, 55e-6), "focus_distance": 3.65e-3}


def scan(n: int = 100, **over: object) -> PtychoScan:
    return scan_of(np.ones((5, n, n), np.uint16), **over)


# Pixels


def test_far_field_pixel() -> None:
    """λz/(NΔ): 1 nm · 0.1 m / (100 · 0.1 mm) is 10 nm, and what is cropped away makes it coarser."""
    assert scan().wavelength == pytest.approx(1e-9)
    assert object_pixel(scan(), 100) == pytest.approx((10e-9, 10e-9))
    assert object_pixel(scan(), 50) == pytest.approx((20e-9, 20e-9))
    # binning leaves the angle of the frame, and with it the pixel
    assert object_pixel(scan(), 50, 2) == pytest.approx((10e-9, 10e-9))
    assert object_pixel(scan(pixel_size=(1e-4, 2e-4)), 100) == pytest.approx((10e-9, 5e-9))


def test_near_field_pixel() -> None:
    of = scan(**P25)
    assert of.magnification == pytest.approx(307.85, rel=2e-5)
    assert object_pixel(of, 100) == pytest.approx((178.7e-9, 178.7e-9), rel=5e-4)
    assert object_pixel(of, 60) == object_pixel(of, 100)
    assert object_pixel(of, 50, 2) == pytest.approx(tuple(2 * p for p in object_pixel(of, 100)))


# The way to a near detector


def test_the_far_field_needs_no_transfer() -> None:
    assert transfer(scan(), 100, (1e-8, 1e-8)) is None


@pytest.mark.parametrize("n", [32, 33])
def test_transfer_is_that_of_fresnel(n: int) -> None:
    """exp(-iπλz(k_y² + k_x²)) with z = 3.638 mm, written down pixel by pixel."""
    pixel = (178.7e-9, 150e-9)
    found = transfer(scan(**P25), n, pixel)
    assert found is not None
    z, wavelength = 3.638e-3, 12398.4198433 / 12658.0 * 1e-10
    for i in range(n):
        for j in range(n):
            signed = [m if m < (n + 1) // 2 else m - n for m in (i, j)]
            k2 = sum((m / (n * p)) ** 2 for m, p in zip(signed, pixel, strict=True))
            assert found[i, j] == pytest.approx(np.exp(-1j * np.pi * wavelength * z * k2), abs=2e-3)
    np.testing.assert_allclose(np.abs(found), 1, rtol=1e-6)


def test_before_the_focus_the_wave_seems_to_go_back() -> None:
    """z₁z₂/(z₁ + z₂) is below 0 for z₁ = -3.65 mm: -3.662 mm."""
    found = transfer(scan(**(P25 | {"focus_distance": -3.65e-3})), 64, (2e-7, 2e-7))
    assert found is not None
    expected = 3.65e-3 * 1.12 / (1.12 - 3.65e-3)
    assert -np.angle(found[0, 1]) == pytest.approx(-np.pi * 9.795e-11 * expected / (64 * 2e-7) ** 2, rel=1e-3)


@pytest.mark.parametrize("parameters", [FAR, NEAR])
def test_a_simulation_is_made_with_the_same_pixels(parameters: dict[str, object]) -> None:
    of = simulated(parameters, views=30)
    geometry = make_geometry(of, cut_of(of).n)
    assert geometry.pixel == pytest.approx(of.object_pixel)
    # its places are whole pixels, and stay so
    np.testing.assert_allclose(geometry.places, np.rint(geometry.places), atol=1e-6)
    apart = of.positions / of.object_pixel
    np.testing.assert_allclose(np.diff(geometry.corners, axis=0), np.diff(apart, axis=0), atol=1e-6)


# Windows

PLACES = st.lists(st.tuples(st.floats(-3e-6, 3e-6), st.floats(-3e-6, 3e-6)), min_size=2, max_size=30)


@given(PLACES, st.integers(8, 65))
@settings(max_examples=80, deadline=None)
def test_every_window_is_within_the_object_and_around_its_view(places: list[tuple[float, float]], n: int) -> None:
    of = replace(scan(n), positions=np.array(places))
    geometry = make_geometry(of, n)
    assert geometry.corners.dtype == np.int32
    assert (geometry.corners >= 2).all()
    assert (geometry.corners + n <= np.array(geometry.shape) - 2).all()
    # index n // 2 of the window is the object's pixel under the view's centre
    assert (np.abs(geometry.corners + n // 2 - geometry.places) <= 0.5 + 1e-6).all()
    # only a constant is added to what was measured
    moved = geometry.positions - of.positions
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-13)
    # the object is no larger than it has to be
    span = np.ptp(of.positions, axis=0) / of.object_pixel
    assert (np.array(geometry.shape) <= span + n + 6).all()


# The order of the views


@given(st.integers(1, 200), st.integers(4, 64), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_order_holds_every_view_once(count: int, n: int, seed: int) -> None:
    corners = np.random.default_rng(seed).integers(0, 300, (count, 2)).astype(np.int32)
    order = by_place(corners, n)
    assert order.dtype == np.int32
    assert sorted(order) == list(range(count))


def test_neighbours_follow_each_other() -> None:
    corners = np.random.default_rng(0).integers(0, 400, (1000, 2)).astype(np.int32)
    steps = np.linalg.norm(np.diff(corners[by_place(corners, 64)], axis=0), axis=1)
    as_stored = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    assert steps.mean() < 0.1 * as_stored.mean()
    # back and forth: no jump from the end of a strip to the beginning of the next
    assert steps.max() < 64


def test_orientations_of_the_far_field_are_one_of_each_pair() -> None:
    names = far_field_orientations()
    values = np.array([[1.0, 2.0]])
    seen = {tuple(sign * oriented(values, name)[0]) for name in names for sign in (1, -1)}
    assert len(names) == 4
    assert seen == {tuple(oriented(values, name)[0]) for name in ORIENTATIONS}
    assert len(seen) == 8
