"""Zingers against a plain median filter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from hpcdaas.tomo.outliers import STEP, Outliers, outliers
from tomo_blocks import make_block


@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([3, 5]),
    st.sampled_from([0.1, 0.5, 3.0]),
    st.sampled_from([np.uint8, np.uint16, np.uint32, np.int32, np.float32]),
    st.integers(0, 2**32 - 1),
)
def test_same_as_conditional_median(
    frames: int, rows: int, columns: int, size: int, threshold: float, dtype: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    low = -20 if np.dtype(dtype).kind in "if" else 0
    data = rng.integers(low, 60, (frames, rows, columns)).astype(dtype)
    data[rng.random(data.shape) < 0.1] = 200
    middle = ndimage.median_filter(data, (1, size, size), mode="nearest")
    zinger = data.astype(float) - middle > np.float32(threshold) * np.abs(middle.astype(np.float32))
    block = make_block(data.copy())
    outliers(block, Outliers(size=size, threshold=threshold))
    assert block.data.dtype == dtype
    np.testing.assert_array_equal(block.data, np.where(zinger, middle, data))
    assert block.tally["zingers"] == zinger.sum()


def test_many_frames_and_the_halo() -> None:
    rng = np.random.default_rng(1)
    clean = rng.poisson(10000, (40, 12, 100)).astype(np.uint16)
    data = clean.copy()
    data[5, 0, 7] = data[6, 5, 50] = data[39, 11, 99] = 65000  # two of them in the halo
    block = make_block(data, halo=1)
    outliers(block, Outliers())
    assert block.tally["zingers"] == 1
    changed = np.argwhere(block.data != clean)
    assert len(changed) == 3
    assert (block.data < 12000).all()


def test_flats_are_cleaned_too() -> None:
    flats = np.full((2, 3, 5), 1000, np.uint16)
    flats[1, 1, 2] = 9000
    outliers(make_block(np.full((2, 3, 5), 500, np.uint16), flats=[(0.0, flats)]), Outliers())
    assert (flats == 1000).all()


def test_nan_stays_to_be_reported() -> None:
    data = np.ones((1, 5, 5), np.float32)
    data[0, 2, 2] = np.nan
    block = make_block(data)
    outliers(block, Outliers())
    assert np.isnan(block.data[0, 2, 2])


def test_halo_and_bounds() -> None:
    assert STEP.halo(Outliers(size=5), None) == 2
    with pytest.raises(ValidationError, match="odd"):
        Outliers(size=4)
