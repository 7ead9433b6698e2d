"""Sinograms with sorted columns: the processor's body against the reference, and the reference against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from hpcdaas.backend.cpu_ranks import CpuRanks
from hpcdaas.backend.ranks import ReferenceRanks

SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 40))
LEVELS = st.sampled_from(["baseline", "avx2", "avx512"])


def sinogram(shape: tuple[int, int], seed: int, ties: bool) -> np.ndarray:
    """Make one row of a block: angles lie apart, and values are equal where `ties` says so."""
    rng = np.random.default_rng(seed)
    block = rng.normal(size=(shape[0], 3, shape[1])).astype(np.float32)
    if ties:
        block = np.round(block)  # zeros of both signs, too
    return block[:, 1]


@given(SHAPES, st.integers(0, 2**32 - 1), st.booleans())
def test_sorting(shape, seed, ties):
    data = sinogram(shape, seed, ties)
    order, ranked = CpuRanks().sort(data)
    for found, expected in zip((order, ranked), ReferenceRanks().sort(data), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert (np.diff(ranked, axis=1) >= 0).all()


@pytest.mark.parametrize("ranks", [CpuRanks(), ReferenceRanks()])
@given(SHAPES, st.integers(0, 2**32 - 1), st.booleans())
def test_back_where_they_came_from(ranks, shape, seed, ties):
    data = sinogram(shape, seed, ties)
    around = np.full((shape[0], 3, shape[1]), np.float32(7))
    ranks.unsort(*ranks.sort(data), around[:, 1])
    np.testing.assert_array_equal(around[:, 1], data)
    assert (around[:, ::2] == 7).all()


@given(SHAPES, st.integers(0, 2**32 - 1), st.integers(0, 60), LEVELS)
def test_median(shape, seed, half, level):
    ranked = np.ascontiguousarray(sinogram(shape, seed, ties=False))
    try:
        found = CpuRanks(level).median(ranked, 2 * half + 1)
    except ValueError as error:
        pytest.skip(str(error))  # this machine hasn't the level
    np.testing.assert_array_equal(found, ReferenceRanks().median(ranked, 2 * half + 1))


@pytest.mark.parametrize("size", [3, 7, 21])
def test_reference_median_mirrors_at_the_edges(size):
    ranked = sinogram((40, 6), 5, ties=False)
    expected = ndimage.median_filter(ranked, size=(size, 1), mode="mirror")
    np.testing.assert_array_equal(ReferenceRanks().median(ranked, size), expected)


def test_the_largest_and_the_smallest_numbers():
    info = np.finfo(np.float32)
    column = np.array([info.max, -np.inf, 0, -info.tiny, info.smallest_subnormal, np.inf, info.min], np.float32)
    order, ranked = CpuRanks().sort(np.ascontiguousarray(np.repeat(column[:, None], 20, axis=1)))
    np.testing.assert_array_equal(ranked, np.tile(np.sort(column), (20, 1)))
    np.testing.assert_array_equal(order, np.tile(np.argsort(column), (20, 1)))


def test_no_angles_and_no_columns():
    for shape in ((0, 5), (5, 0)):
        empty = np.zeros(shape, np.float32)
        order, ranked = CpuRanks().sort(empty)
        assert order.shape == ranked.shape == CpuRanks().median(ranked, 3).shape == shape[::-1]
        CpuRanks().unsort(order, ranked, empty)


def test_what_does_not_fit_is_refused():
    data = sinogram((6, 4), 0, ties=False)
    order, ranked = CpuRanks().sort(data)
    with pytest.raises(ValueError, match="the order holds"):
        CpuRanks().unsort(order + 1, ranked, data)
    with pytest.raises(ValueError, match="the order holds"):
        CpuRanks().unsort(order - 1, ranked, data)
    with pytest.raises(ValueError, match="of the sinogram"):
        CpuRanks().unsort(order, ranked, data[:, 1:])
    with pytest.raises(ValueError, match="odd"):
        CpuRanks().median(ranked, 4)
    with pytest.raises(ValueError, match="side by side"):
        CpuRanks().sort(data[:, ::2])
