"""Algorithms of ptychography on many ranks with GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcdaas.parallel.on_device import takes_device_arrays
from rank_cases import OnManyRanks


@pytest.mark.usefixtures("gpu")
class TestThroughTheHost(OnManyRanks):
    """What ranks exchange goes through the host, and comes back."""

    module = "gpu_ranks"
    places = (*OnManyRanks.places, Path(__file__).parent)


class TestByMpi(TestThroughTheHost):
    """MPI takes the GPUs' arrays."""

    direct = "MPI"

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, tmp_path_factory):
        if not takes_device_arrays():
            pytest.skip("this MPI takes no arrays of a GPU")
        return cls.results(tmp_path_factory)


class TestByNccl(TestThroughTheHost):
    """NCCL joins GPUs, one for each rank."""

    direct = "NCCL"

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, gpu, tmp_path_factory):
        if not gpu.gpu.nccl or gpu.device.xp.cuda.runtime.getDeviceCount() < 2:
            pytest.skip("NCCL and two GPUs are not here")
        return cls.results(tmp_path_factory)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_nccl_with_oneself(gpu, dtype):
    """One rank: a sum is what it was, and what it sends to itself comes in."""
    if not gpu.gpu.nccl:
        pytest.skip("NCCL is not here")
    xp, alone = gpu.device.xp, gpu.gpu
    links = alone.join(1, 0, alone.ticket())
    sent = xp.arange(1000, dtype=dtype).reshape(10, 100)
    came = xp.zeros_like(sent)
    assert links.exchange({0: sent}, {0: came})
    assert links.add(came)
    assert (came == sent).all()
    assert not links.add(came.get())
    assert not links.exchange({0: sent.get()}, {0: came.get()})
