"""Algorithms of ptychography on many ranks with GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rank_cases import OnManyRanks


@pytest.mark.usefixtures("gpu")
class TestOnManyRanks(OnManyRanks):
    """What ranks exchange goes through the host, and comes back."""

    module = "gpu_ranks"
    places = (*OnManyRanks.places, Path(__file__).parent)
