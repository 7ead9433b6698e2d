"""Algorithms of ptychography on many ranks, their kernels run on the host."""

from __future__ import annotations

from pathlib import Path

from rank_cases import OnManyRanks


class TestThroughTheHost(OnManyRanks):
    """What ranks exchange goes through the host, and comes back."""

    module = "host_ranks"
    places = (*OnManyRanks.places, Path(__file__).parent)


class TestFromDeviceToDevice(TestThroughTheHost):
    """MPI takes the device's arrays by the interface that it takes those of a GPU by."""

    direct = True
