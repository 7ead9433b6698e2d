"""Algorithms of ptychography on many ranks, their kernels run on the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from rank_cases import ALGORITHMS, OnManyRanks


class TestThroughTheHost(OnManyRanks):
    """What ranks exchange goes through the host, and comes back."""

    module = "host_ranks"
    places = (*OnManyRanks.places, Path(__file__).parent)


class TestByMpi(TestThroughTheHost):
    """MPI takes the device's arrays by the interface that it takes those of a GPU by."""

    direct = "MPI"

    @pytest.fixture(scope="class")
    @classmethod
    def through(cls, tmp_path_factory):
        return TestThroughTheHost.results(tmp_path_factory)

    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_less_goes_to_the_host(self, found, through, name):
        assert 0 < found[f"{name} crossed"] < through[f"{name} crossed"]


class TestByLibrary(TestByMpi):
    """Devices are joined by a library of theirs, and MPI isn't given their arrays."""

    direct = "NCCL"
