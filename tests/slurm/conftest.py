"""A private SLURM cluster, one for all tests of this folder: skipped where it can't run, an error where CI=true."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from private_slurm import CannotStart, Cluster, private_slurm  # noqa: E402

from desk import Desk  # noqa: E402


def started(stack: ExitStack, **options: bool) -> Cluster:
    """Start a cluster that lives as long as the stack does, or skip."""
    try:
        return stack.enter_context(private_slurm(**options))
    except CannotStart as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no private SLURM: {error}")


@pytest.fixture(scope="session")
def _slurm() -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield started(stack)


@pytest.fixture
def slurm(_slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give the cluster; this process and its children see it, and the queue is empty after the test."""
    for name, value in _slurm.environment.items():
        if name in ("SLURM_CONF", "PATH"):
            monkeypatch.setenv(name, value)
    yield _slurm
    _slurm.repair()


@pytest.fixture(scope="session")
def _accounted() -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield started(stack, accounting=True)


@pytest.fixture
def accounted(_accounted: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give a cluster with accounting; this process and its children see it."""
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, _accounted.environment[name])
    yield _accounted
    _accounted.repair()


@pytest.fixture
def desk(tmp_path: Path, slurm: Cluster) -> Desk:
    """Give a user's folder on the cluster."""
    return Desk(tmp_path, slurm)
