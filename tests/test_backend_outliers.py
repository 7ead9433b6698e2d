"""Zingers: the processor's body against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas.backend.cpu import STORED_TYPES, CpuBackend
from hpcdaas.backend.reference import ReferenceBackend


@given(
    st.tuples(st.integers(0, 5), st.integers(1, 12), st.integers(1, 40)),
    st.sampled_from([3, 5, 9, 15]),
    st.sampled_from([0.05, 0.5, 1.0, 4.0]),
    st.sampled_from([*STORED_TYPES, np.dtype("f8"), np.dtype(">u2")]),
    st.sampled_from([1, 3]),
    st.integers(0, 2**32 - 1),
)
def test_same_as_the_reference(shape, size, threshold, dtype, threads, seed):
    rng = np.random.default_rng(seed)
    low = -30 if dtype.kind in "if" else 0
    wide = rng.integers(low, 90, (shape[0], shape[1] + 4, shape[2])).astype(dtype)
    wide[rng.random(wide.shape) < 0.05] = 120
    if dtype.kind == "f":
        wide[rng.random(wide.shape) < 0.01] = np.nan
    frames, expected = wide.copy()[:, 2:-2], wide.copy()[:, 2:-2]
    inner = slice(shape[1] // 3, shape[1])
    counted = ReferenceBackend().outliers(expected, size, threshold, inner)
    assert CpuBackend(threads).outliers(frames, size, threshold, inner) == counted
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(frames.base[:, :2], wide[:, :2])
    np.testing.assert_array_equal(frames.base[:, -2:], wide[:, -2:])


@pytest.mark.parametrize("dtype", STORED_TYPES)
def test_the_largest_values(dtype):
    most = np.iinfo(dtype).max if dtype.kind in "iu" else np.finfo(dtype).max / 4
    frames = np.full((2, 20, 300), most // 4, dtype)
    frames[1, 7, 150] = frames[0, 0, 0] = frames[0, 19, 299] = most
    assert CpuBackend(2).outliers(frames, 3, 0.5, slice(0, 20)) == 3
    assert (frames == frames[0, 5, 5]).all()


def test_columns_far_from_each_other():
    frames = np.full((1, 9, 18), 10, np.uint16)[:, :, ::2]
    frames[0, 4, 4] = 99
    assert CpuBackend(1).outliers(frames, 3, 0.5, slice(0, 9)) == 1
    assert (frames == 10).all()
