"""Simulated scans against quadrature, the statistics of counts, and the geometry of the contract."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.tomo.simulate import (
    DARK,
    FLAT,
    PROJECTION,
    Ellipsoid,
    Simulation,
    SimulationParameters,
    line_integrals,
    phantom,
)

SMALL: dict[str, Any] = {"angles": 12, "rows": 6, "columns": 64, "shift": 2.5, "flats": 4, "darks": 5}
CLEAN: dict[str, Any] = {"stripes": 0, "zingers": 0, "read_noise": 0, "drift": 0}


def simulation(**changed: Any) -> Simulation:
    return Simulation(SimulationParameters(**{**SMALL, **changed}))


def whole(made: Simulation, **how: int) -> Any:
    return np.concatenate(list(made.frames(**how)))


share = st.floats(-0.5, 0.5)
axis = st.floats(0.05, 0.5)


@settings(max_examples=30, deadline=None)
@given(e=st.builds(Ellipsoid, share, share, share, axis, axis, axis, st.floats(-4, 4), share), angle=st.floats(-7, 7))
def test_line_integrals_are_those_of_quadrature(e: Ellipsoid, angle: float) -> None:
    u, z = np.linspace(-1.2, 1.2, 9), np.linspace(-0.9, 0.9, 5)
    t, step = np.linspace(-1.5, 1.5, 20001, retstep=True)
    expected = np.zeros((5, 9))
    for i, j in np.ndindex(5, 9):
        # walk along the line, and ask at each point for the quadratic form of the ellipsoid
        x, y = u[j] * np.cos(angle) - t * np.sin(angle), u[j] * np.sin(angle) + t * np.cos(angle)
        turn = np.array([[np.cos(e.angle), np.sin(e.angle)], [-np.sin(e.angle), np.cos(e.angle)]])
        along, across = turn @ np.stack([x - e.x, y - e.y])
        expected[i, j] = (
            e.density * step * np.sum((along / e.a) ** 2 + (across / e.b) ** 2 + ((z[i] - e.z) / e.c) ** 2 <= 1)
        )
    # the quadrature is off by up to a step at either end
    np.testing.assert_allclose(line_integrals([e], angle, u, z), expected, atol=2.1 * step * abs(e.density))


def test_densities_add_up_and_a_cylinder_has_no_end() -> None:
    u, z = np.linspace(-1, 1, 7), np.array([-5.0, 0.0, 5.0])
    a = Ellipsoid(0, 0, 0, 0.5, 0.5, inf, 0, 2.0)
    b = Ellipsoid(0.1, 0, 0, 0.2, 0.3, 1, 0, -1.0)
    together = line_integrals([a, b], 0.3, u, z)
    np.testing.assert_allclose(together, line_integrals([a], 0.3, u, z) + line_integrals([b], 0.3, u, z))
    np.testing.assert_allclose(together[0], line_integrals([a], 0.3, u, z)[1])
    assert together[1, 3] < together[0, 3]


def test_truth_and_projections_share_their_geometry() -> None:
    """At 0° a column of the slice is projected onto its own column, at 90° a row onto the column of its number."""
    made = simulation(angles=2, rows=3, columns=128, shift=0)
    for row in (0, 2):
        slice_ = made.truth(row, 8).astype(float) * made.parameters.pixel_size
        for number, axis_ in ((0, 0), (1, 1)):
            measured = made.line_integrals(number)[row]
            error = np.linalg.norm(slice_.sum(axis=axis_) - measured) / np.linalg.norm(measured)
            assert error < 0.02
    assert made.line_integrals(0).max() == pytest.approx(made.parameters.absorption, rel=0.2)


def test_centre_of_mass_turns_about_the_centre() -> None:
    """The projections' centre of mass is centre + x cos θ + y sin θ of the slice's."""
    made = simulation(angles=8, rows=1, columns=256, turn=360)
    columns = np.arange(256)
    found = [np.sum(p * columns) / p.sum() for p in (made.line_integrals(i)[0] for i in range(8))]
    slice_ = made.truth(0)
    y, x = np.indices(slice_.shape) - 127.5
    mass = slice_.sum()
    theta = np.deg2rad(made.angles)
    expected = made.center + (x * slice_).sum() / mass * np.cos(theta) + (y * slice_).sum() / mass * np.sin(theta)
    np.testing.assert_allclose(found, expected, atol=0.02)
    np.testing.assert_allclose(made.angles, np.arange(8) * 45)


def test_things_lie_in_the_sample_apart_from_each_other_and_differ_by_row() -> None:
    things = phantom(0.5)
    small = [e for e in things if e.a == e.b]
    assert len(small) > 20
    for i, e in enumerate(small):
        assert np.hypot(e.x, e.y) + e.a < 0.7
        assert all(np.linalg.norm([e.x - o.x, e.y - o.y, e.z - o.z]) > e.a + o.a for o in small[:i])
    made = simulation(rows=40)
    assert made.truth(0).min() >= 0
    assert np.abs(made.truth(5) - made.truth(30)).max() > 0.5 * made.attenuation


def test_order_and_keys_of_frames() -> None:
    made = simulation()
    frames = whole(made)
    assert frames.shape == made.shape == (5 + 4 + 12 + 4, 6, 64)
    assert frames.dtype == np.uint16
    assert made.image_key.tolist() == [DARK] * 5 + [FLAT] * 4 + [PROJECTION] * 12 + [FLAT] * 4
    np.testing.assert_array_equal(made.rotation_angle[made.image_key == PROJECTION], made.angles)
    level = {key: frames[made.image_key == key].mean() for key in (DARK, FLAT, PROJECTION)}
    assert level[DARK] < 110 < level[PROJECTION] < level[FLAT]


def test_batches_and_threads_change_nothing_but_the_seed_does() -> None:
    frames = whole(simulation(), batch=16)
    np.testing.assert_array_equal(frames, whole(simulation(), batch=1))
    np.testing.assert_array_equal(frames, whole(simulation(), batch=7, threads=3))
    assert (frames != whole(simulation(seed=1))).any()


def test_corrected_counts_give_the_line_integrals() -> None:
    made = simulation(**CLEAN, flux=60000, flats=50, dark_level=50)
    frames, key = whole(made).astype(float), made.image_key
    dark, flat = (frames[key == k].mean(axis=0) for k in (DARK, FLAT))
    measured = -np.log((frames[key == PROJECTION] - dark) / (flat - dark))
    exact = np.stack([made.line_integrals(i) for i in range(12)])
    photons = np.exp(-exact) * (flat - dark)
    noise = np.sqrt(1 / photons + 1 / (100 * (flat - dark)))
    assert ((measured - exact) / noise).std() == pytest.approx(1, abs=0.05)
    assert ((measured - exact) / noise).mean() == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize("flux", [20, 2000])
def test_counts_have_poisson_noise_and_read_noise(flux: float) -> None:
    """Few photons are drawn from Poisson's distribution, many from the normal one."""
    made = simulation(**{**CLEAN, "read_noise": 5}, rows=8, flux=flux, flats=200, angles=1, darks=200, dark_level=1000)
    frames = whole(made).astype(float)
    dark, flats = frames[:200], frames[200:400]
    assert dark.mean() == pytest.approx(1000, abs=0.1)
    assert dark.var(axis=0).mean() == pytest.approx(25 + 1 / 12, rel=0.02)
    net = flats.mean(axis=0) - 1000
    assert net.max() < 1.05 * flux
    assert ((flats.var(axis=0) - 25) / net).mean() == pytest.approx(1, rel=0.15)


def test_the_beam_drifts_on_a_straight_line_and_what_is_wrong_is_where_it_should_be() -> None:
    made = simulation(**{**CLEAN, "drift": 0.1}, flats=100, flux=60000)
    frames = whole(made).astype(float)
    before, after = frames[5:105].mean(axis=0), frames[-100:].mean(axis=0)
    assert (after.sum() / before.sum()) == pytest.approx(0.9, rel=0.01)
    assert after[0, 0] / before[0, 0] < 0.85 < 0.95 < after[0, -1] / before[0, -1]
    striped, plain = whole(simulation(**{**CLEAN, "stripes": 0.2}, seed=4)), whole(simulation(**CLEAN, seed=4))
    moved = np.abs(striped[9:21].astype(float) / plain[9:21] - 1).mean(axis=(0, 1)) > 0.01
    assert 0 < moved.sum() < 20
    np.testing.assert_array_equal(striped[:9], plain[:9])
    hit = whole(simulation(**{**CLEAN, "zingers": 0.01})) - whole(simulation(**CLEAN)).astype(float) > 5000
    assert hit[5:].mean() == pytest.approx(0.01, rel=0.3)
    assert not hit[:5].any()


def test_counts_stay_in_range() -> None:
    frames = whole(simulation(flux=200_000, zingers=0.01))
    assert frames.max() == 65535
    assert whole(simulation(dark_level=0, read_noise=10)).min() == 0
