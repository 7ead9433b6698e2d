"""The kernels of tomography, run on the host, against the NumPy reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from host_device import HostDevice

from hpcdaas.backend import FbpPlan
from hpcdaas.backend.cuda_tomo import CudaTomo
from hpcdaas.errors import HpcdaasError
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.filters import response
from tomo_cases import AgainstReference, error, raw


@pytest.fixture
def backend(compiler):
    return CudaTomo(HostDevice(compiler))


@pytest.fixture
def shapes():
    return (24, 1), (33, 5), (40, 10)


class TestAgainstReference(AgainstReference):
    """Every primitive, with the threads of a block one after the other."""


class Small(HostDevice):
    """A device without the memory for more than some pairs of slices."""

    def __init__(self, compiler, pairs):
        super().__init__(compiler)
        self._pairs = pairs
        self.released = 0

    def empty(self, shape, dtype):
        if (
            np.ndim(shape)
            and len(shape) == 3
            and shape[1] == shape[2]
            and dtype == np.complex64
            and shape[0] > self._pairs
        ):
            raise MemoryError
        return super().empty(shape, dtype)

    def release(self):
        self.released += 1


def test_fewer_rows_come_at_once_where_there_is_less_memory(compiler):
    counts, correction = raw("i2")
    counts = np.concatenate([counts, counts[:, ::-1]], axis=1)
    correction = replace(
        correction, dark=np.concatenate([correction.dark] * 2), net=np.concatenate([correction.net] * 2, axis=1)
    )
    theta = np.linspace(0, 2.5, len(counts))
    plan = FbpPlan(theta, angular_weights(theta), response("ramp", 37, 2.0), 18.0)
    one, two = (np.zeros((10, 37, 37), np.float32) for _ in range(2))
    low = CudaTomo(HostDevice(compiler)).fbp(counts, correction, plan, one)
    device = Small(compiler, 1)
    assert CudaTomo(device).fbp(counts, correction, plan, two) == low > 0
    assert device.released == 2  # four pairs, two, one
    assert error(two, one) < 1e-6
    with pytest.raises(HpcdaasError, match="too little memory"):
        CudaTomo(Small(compiler, 0)).fbp(counts, correction, plan, two)


def test_projections_come_in_pieces(compiler, monkeypatch):
    counts, correction = raw("u2")
    whole = CudaTomo(HostDevice(compiler)).correct(counts, correction)
    monkeypatch.setattr("hpcdaas.backend.cuda_tomo.AT_ONCE", 2 * counts[0].nbytes)
    pieces = CudaTomo(HostDevice(compiler)).correct(counts, correction)
    np.testing.assert_array_equal(pieces[0], whole[0])
    assert pieces[1] == whole[1]
