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


class TestFromGpuToGpu(TestThroughTheHost):
    """MPI takes the GPUs' arrays."""

    direct = True

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, tmp_path_factory):
        if not takes_device_arrays():
            pytest.skip("this MPI takes no arrays of a GPU")
        return cls.results(tmp_path_factory)
