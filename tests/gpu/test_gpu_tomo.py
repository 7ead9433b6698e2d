"""The primitives of tomography on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from hpcdaas.backend.cpu import CpuBackend
from tomo_cases import AgainstReference, disc, error, scan


@pytest.fixture
def backend(gpu):
    return gpu


@pytest.fixture
def shapes():
    return (64, 1), (65, 5), (96, 17), (33, 4)


class TestAgainstReference(AgainstReference):
    """Every primitive."""


@pytest.mark.parametrize("pinned", [False, True])
def test_many_rows_stream_through(gpu, pinned):
    """Against C++: more blocks than buffers, from and to memory of both kinds."""
    data, plan = scan(512, 70, angles=300)
    expected, found = (np.zeros((70, 512, 512), np.float32) for _ in range(2))
    if pinned:
        data, before = gpu.device.pinned(data.shape, data.dtype), data
        data[...] = before
        found = gpu.device.pinned(found.shape, found.dtype)
    CpuBackend().fbp(data, None, plan, expected)
    gpu.fbp(data, None, plan, found)
    assert error(found[:, disc(512)], expected[:, disc(512)]) < 1e-3


def test_the_same_call_gives_the_same_bits(gpu):
    data, plan = scan(256, 9)
    one, two = (np.zeros((9, 256, 256), np.float32) for _ in range(2))
    gpu.fbp(data, None, plan, one)
    gpu.fbp(data, None, plan, two)
    np.testing.assert_array_equal(one, two)
