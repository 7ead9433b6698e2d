"""The C++ primitives against the NumPy reference, at every vector level that this machine has."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.errors import InputError
from tomo_cases import AgainstReference, disc, error, scan


def levels() -> list[str]:
    found = []
    for level in ("baseline", "avx2", "avx512"):
        try:
            CpuBackend(1, level)
        except InputError:
            continue
        found.append(level)
    return found


@pytest.fixture(params=levels())
def backend(request):
    return CpuBackend(2, request.param)


@pytest.fixture
def shapes():
    return (64, 1), (65, 5), (96, 17), (33, 4)


class TestAgainstReference(AgainstReference):
    """C++ on two threads."""


@given(n=st.integers(8, 40), rows=st.integers(1, 18), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_fbp_of_any_shape(n: int, rows: int, seed: int) -> None:
    data, plan = scan(n, rows, angles=20, seed=seed)
    expected, found = np.zeros((rows, n, n), np.float32), np.full((rows, n, n), np.nan, np.float32)
    ReferenceBackend().fbp(data, None, plan, expected)
    CpuBackend(1).fbp(data, None, replace(plan, eps=1e-4), found)
    assert error(found[:, disc(n)], expected[:, disc(n)]) < 2e-4


def test_fbp_is_the_same_with_any_number_of_threads() -> None:
    data, plan = scan(64, 16)
    one, two = np.zeros((16, 64, 64), np.float32), np.zeros((16, 64, 64), np.float32)
    CpuBackend(1).fbp(data, None, plan, one)
    CpuBackend(2).fbp(data, None, plan, two)
    np.testing.assert_array_equal(one, two)


def test_an_unknown_vector_level_is_refused() -> None:
    with pytest.raises(InputError, match="vector level"):
        CpuBackend(1, "mmx")
