"""Projections at even angles, and pairs half a turn apart."""

import numpy as np
import pytest

from hpcdaas.tomo.turn import Turn, even_angles, seam
from tomo_phantom import HEAD, sinogram


def test_even_angles_stay_as_they_are() -> None:
    data = np.random.default_rng(0).normal(size=(360, 2, 5)).astype(np.float32)
    theta = np.linspace(0, np.pi, 360, endpoint=False)
    turn = even_angles(data, theta)
    assert turn is not None
    assert turn.half == 360
    np.testing.assert_allclose(turn.data, data.swapaxes(0, 1), atol=1e-5)
    turn = even_angles(data, theta * 2)
    assert turn is not None
    assert turn.half == 180
    assert turn.data.shape == (2, 360, 5)


@pytest.mark.parametrize("count", [361, 500, 1500])
def test_averaged_angles_follow_a_smooth_function(count: int) -> None:
    theta = np.linspace(0, np.pi, count)
    data = np.stack([np.cos(theta), np.sin(3 * theta)], axis=1)[:, None].astype(np.float32)
    turn = even_angles(data, theta, most=180)
    assert turn is not None
    assert turn.half == 180
    # cell j stands for an interval of the width π/180 that begins half a step before the first angle
    middle = (np.arange(turn.data.shape[1]) + 0.5) * np.pi / 180 - theta[1] / 2
    np.testing.assert_allclose(turn.data[0, 2:-2, 0], np.cos(middle)[2:-2], atol=2e-3)
    np.testing.assert_allclose(turn.data[0, 2:-2, 1], np.sin(3 * middle)[2:-2], atol=1e-2)


def test_seam_is_drawn_out_or_taken_as_measured() -> None:
    theta = np.linspace(0, np.pi, 181)
    exact = sinogram(HEAD, theta, 90, 44.5, 40.0).astype(np.float32)[None]
    measured = seam(Turn(exact, 180))
    np.testing.assert_allclose(measured[0], exact[:, :1])
    np.testing.assert_allclose(measured[1], exact[:, 180:])
    left, right = seam(Turn(exact[:, :180], 180))
    # both lie half a step before 0 and after 179: mirror images of each other
    assert np.abs(left - right[..., ::-1]).mean() < 0.02 * np.abs(left).max()
