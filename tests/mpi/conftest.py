"""Tests that run as many ranks: `mpiexec -n 3 python -m pytest --with-mpi tests/mpi`; make test does it by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpcdaas.parallel import Comm, world

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def comm() -> Comm:
    """All ranks."""
    return world()
