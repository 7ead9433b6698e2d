"""The GPU is what is chosen where there is one."""

from __future__ import annotations

import pytest

from hpcdaas.backend.auto import TRIALS, choose


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("technique", TRIALS)
def test_the_gpu_is_chosen(technique):
    backend, why = choose(technique)
    assert (backend.name, why) == ("cuda", "")
