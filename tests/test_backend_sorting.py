"""Sinograms with sorted columns: the processor's body against the reference, and the reference against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from hpcdaas import _core
from hpcdaas.backend.cpu_sorting import CpuSorting
from hpcdaas.backend.sorting import ReferenceSorting, Sorting


def has(level: str) -> bool:
    """Say whether this machine has a vector level."""
    try:
        _core.vector_level(level)
    except ValueError:
        return False
    return True


SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 40))
LEVELS = [level for level in ("baseline", "avx2", "avx512") if has(level)]


def sinogram(shape: tuple[int, int], seed: int, ties: bool) -> np.ndarray:
    """Make one row of a block: angles lie apart, and values are equal where `ties` says so."""
    rng = np.random.default_rng(seed)
    block = rng.normal(size=(shape[0], 3, shape[1])).astype(np.float32)
    if ties:
        block = np.round(block)  # zeros of both signs, too
    return block[:, 1]


def ranked(sorting: Sorting, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give order and values of a sinogram's columns."""
    order, found = np.empty(data.shape[::-1], np.int32), np.empty(data.shape[::-1], np.float32)
    sorting.sort(data, order, found)
    return order, found


def median(sorting: Sorting, values: np.ndarray, size: int) -> np.ndarray:
    out = np.empty_like(values)
    sorting.median(values, size, out)
    return out


@given(SHAPES, st.integers(0, 2**32 - 1), st.booleans())
def test_sorting(shape, seed, ties):
    data = sinogram(shape, seed, ties)
    for found, expected in zip(ranked(CpuSorting(), data), ranked(ReferenceSorting(), data), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("sorting", [CpuSorting(), ReferenceSorting()])
@given(SHAPES, st.integers(0, 2**32 - 1), st.booleans())
def test_back_where_they_came_from(sorting, shape, seed, ties):
    data = sinogram(shape, seed, ties)
    around = np.full((shape[0], 3, shape[1]), np.float32(7))
    sorting.unsort(*ranked(sorting, data), around[:, 1])
    np.testing.assert_array_equal(around[:, 1], data)
    assert (around[:, ::2] == 7).all()


@pytest.mark.parametrize("level", LEVELS)
@given(SHAPES, st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_median(level, shape, seed, half):
    values = np.ascontiguousarray(sinogram(shape, seed, ties=False))
    found = median(CpuSorting(level), values, 2 * half + 1)
    np.testing.assert_array_equal(found, median(ReferenceSorting(), values, 2 * half + 1))


@pytest.mark.parametrize("size", [3, 7, 21])
def test_reference_median_mirrors_at_the_edges(size):
    values = sinogram((40, 6), 5, ties=False)
    expected = ndimage.median_filter(values, size=(size, 1), mode="mirror")
    np.testing.assert_array_equal(median(ReferenceSorting(), values, size), expected)


def test_the_largest_and_the_smallest_numbers():
    info = np.finfo(np.float32)
    column = np.array([info.max, -np.inf, 0, -info.tiny, info.smallest_subnormal, np.inf, info.min], np.float32)
    order, values = ranked(CpuSorting(), np.ascontiguousarray(np.repeat(column[:, None], 20, axis=1)))
    np.testing.assert_array_equal(values, np.tile(np.sort(column), (20, 1)))
    np.testing.assert_array_equal(order, np.tile(np.argsort(column), (20, 1)))


def test_no_angles_and_no_columns():
    for shape in ((0, 5), (5, 0)):
        empty = np.zeros(shape, np.float32)
        order, values = ranked(CpuSorting(), empty)
        median(CpuSorting(), values, 3)
        CpuSorting().unsort(order, values, empty)


def test_what_does_not_fit_is_refused():
    data, sorting = sinogram((6, 4), 0, ties=False), CpuSorting()
    order, values = ranked(sorting, data)
    for wrong in (order + 1, order - 1):
        with pytest.raises(ValueError, match="the order holds"):
            sorting.unsort(wrong, values, data)
    for use in (sorting.sort, lambda data, order, values: sorting.unsort(order, values, data)):
        with pytest.raises(ValueError, match="of the sinogram"):
            use(data[:, 1:], order, values)
        with pytest.raises(ValueError, match="side by side"):
            use(data[:, ::2], order[:2], values[:2])
    with pytest.raises(ValueError, match="odd"):
        sorting.median(values, 4, values.copy())
    with pytest.raises(ValueError, match="another array"):
        sorting.median(values, 3, values)
    with pytest.raises(ValueError, match="shape of the ranks"):
        sorting.median(values, 3, values[1:].copy())
    with pytest.raises(TypeError):
        sorting.median(values, 3, values.T)
