"""Extended field of view: the slice must be that of a detector twice as wide."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hpcdaas.backend import FbpPlan
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.errors import InputError
from hpcdaas.scan import Scan
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.field_of_view import Extended, column_weights, extended, find_axis, output_columns, turn_weights
from hpcdaas.tomo.filters import response
from tomo_blocks import make_block
from tomo_phantom import HEAD, sinogram


def slice_of(block: Block) -> NDArray[np.float32]:
    n = block.data.shape[2]
    assert block.center is not None
    plan = FbpPlan(block.angles, angular_weights(block.angles), response("shepp", n, 2), block.center)
    out = np.empty((1, n, n), np.float32)
    ReferenceBackend().filtered_backprojection(block.data, None, plan, out)
    return out[0]


def scan(center: float, columns: int = 60, angles: int = 180, end: bool = False, radius: float = 48.0) -> Block:
    theta = np.linspace(0, 2 * np.pi, angles, endpoint=end)
    data = sinogram(HEAD, theta, columns, center, radius).astype(np.float32)[:, None]
    return make_block(data, theta, center=center)


@given(st.integers(2, 300), st.floats(0, 1))
def test_weights_of_both_sides_add_to_one(columns: int, place: float) -> None:
    # whole and half columns, so that mirror images are columns too
    center = round(place * 2 * (columns - 1)) / 2
    weights = column_weights(columns, center)
    u = np.arange(columns)
    other = (2 * center - u).round().astype(int)
    both = (other >= 0) & (other < columns)
    np.testing.assert_allclose(weights[both] + weights[other[both]], 1, atol=1e-6)
    np.testing.assert_allclose(weights[~both], 1)


@given(st.integers(2, 300), st.floats(0, 1))
def test_wide_enough_for_both_sides(columns: int, place: float) -> None:
    center = place * (columns - 1)
    block = make_block(np.ones((8, 1, columns), np.float32), np.arange(8) * np.pi / 4, center=center)
    extended(block, Extended())
    frames = make_frames(columns)
    assert block.data.shape[2] == output_columns(Extended(), replace(frames, center=center), center)
    assert block.center is not None
    reach = max(center, columns - 1 - center)
    assert block.center - reach > -1e-9
    assert block.center + reach < block.data.shape[2] - 1 + 1e-9
    assert block.data.shape[2] < 2 * reach + 3


def make_frames(columns: int) -> Scan:
    class Frames:
        shape = (8, 1, columns)
        dtype = np.dtype(np.float32)
        whole_frames = False

        def read(self, *_: object) -> NDArray[np.float32]:
            raise AssertionError("not needed")

    return Scan("s", "nxtomo", (Path("s"),), Frames(), np.zeros(8))


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("center", [51.0, 9.4])
@pytest.mark.parametrize("angles", [180, 181])
def test_same_slice_as_a_wide_detector(center: float, angles: int, end: bool) -> None:
    block = scan(center, angles=angles, end=end)
    extended(block, Extended())
    n = block.data.shape[2]
    assert block.center is not None
    theta = np.linspace(0, np.pi, 180, endpoint=False)
    wide = make_block(
        sinogram(HEAD, theta, n, block.center, 48.0).astype(np.float32)[:, None], theta, center=block.center
    )
    found, expected = slice_of(block), slice_of(wide)
    x = np.arange(n) - (n - 1) / 2
    inside = x[:, None] ** 2 + x**2 < 45**2
    error = np.linalg.norm((found - expected)[inside]) / np.linalg.norm(expected[inside])
    assert error < 0.03  # of sharp edges, sampled at other places on the two sides
    assert found[inside].mean() == pytest.approx(expected[inside].mean(), rel=2e-3)


def test_axis_is_found_near_both_edges() -> None:
    for center in (521.3, 80.6):
        block = scan(center, columns=600, angles=720, radius=480.0)
        found = find_axis(block)
        assert abs(found.center - center) < 0.2, found
        assert found.confidence > 0.5, found


def test_shares() -> None:
    keep, share = turn_weights(np.linspace(0, 2 * np.pi, 21))
    assert keep.tolist() == list(range(20))
    np.testing.assert_allclose(share, 2)
    golden = np.mod(np.arange(300) * np.deg2rad(111.246), 2 * np.pi)
    keep, share = turn_weights(golden)
    assert (share * angular_weights(golden[keep])).sum() == pytest.approx(2 * np.pi)


def test_refused() -> None:
    block = scan(51.0)
    half = make_block(block.data[:90], block.angles[:90], center=51.0)
    with pytest.raises(InputError, match="covers 180°"):
        extended(half, Extended())
    assert find_axis(half).confidence == 0
    for center in (None, -3.0, 70.0):
        with pytest.raises(InputError, match=r"scan\.center"):
            extended(replace(block, center=center), Extended())
