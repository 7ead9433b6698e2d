"""Weights of the angles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas.tomo.angles import angular_weights


def test_even_half_turn_gives_equal_weights() -> None:
    weights = angular_weights(np.deg2rad(np.arange(0, 180, 1.5)))
    np.testing.assert_allclose(weights, np.pi / 120)


def test_both_ends_of_half_turn_share_one_direction() -> None:
    weights = angular_weights(np.deg2rad(np.linspace(0, 180, 181)))
    np.testing.assert_allclose(weights[[0, -1]], np.pi / 360)
    np.testing.assert_allclose(weights[1:-1], np.pi / 180)


@pytest.mark.parametrize("count", [20, 21, 458, 459])
def test_full_turn_is_half_as_much_per_angle(count: int) -> None:
    closed = count % 2 == 1
    weights = angular_weights(np.deg2rad(np.linspace(0, 360, count, endpoint=closed)))
    assert weights.sum() == pytest.approx(np.pi)
    # each direction is measured twice, the first one three times where both ends are included
    inner = weights[1 : count // 2]
    np.testing.assert_allclose(inner, np.pi / (count - closed), rtol=1e-9)


def test_missing_wedge_is_not_filled() -> None:
    weights = angular_weights(np.deg2rad(np.arange(-60, 61, 2.0)))
    np.testing.assert_allclose(weights, np.deg2rad(2.0))


def test_gap_of_less_than_five_degrees_is_no_wedge() -> None:
    angles = np.deg2rad(np.concatenate([np.arange(0, 90, 1.0), np.arange(93, 180, 1.0)]))
    weights = angular_weights(angles)
    assert weights.sum() == pytest.approx(np.pi)
    assert weights[89] == pytest.approx(np.deg2rad(2.5))


def test_few_angles_are_no_wedges() -> None:
    np.testing.assert_allclose(angular_weights(np.deg2rad([0.0, 60.0, 120.0])), np.pi / 3)
    np.testing.assert_allclose(angular_weights(np.array([1.0])), np.pi)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=60))
def test_weights_follow_their_angles(angles: list[float]) -> None:
    given = np.array(angles)
    order = np.random.default_rng(1).permutation(len(given))
    weights = angular_weights(given)
    assert (weights >= 0).all()
    assert 0 < weights.sum() <= np.pi * (1 + 1e-9)
    # equal angles may swap their shares, so compare their sums per direction
    np.testing.assert_allclose(np.sort(angular_weights(given[order])), np.sort(weights), atol=1e-9)


def test_golden_angle_sums_to_half_turn() -> None:
    angles = np.arange(500) * np.deg2rad(111.246)
    assert angular_weights(angles).sum() == pytest.approx(np.pi)
