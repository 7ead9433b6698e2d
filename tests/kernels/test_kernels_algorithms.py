"""Algorithms of ptychography with the kernels, run on the host, against the C++ backend."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from host_device import HostDevice

from algorithm_cases import AgainstCpu, small  # noqa: F401  (a fixture)
from hpcdaas.backend.cuda_views import CudaViews


@pytest.fixture
def backend(compiler):
    return SimpleNamespace(views=lambda setup: CudaViews(HostDevice(compiler), setup))


class TestAgainstCpu(AgainstCpu):
    """Every algorithm."""
