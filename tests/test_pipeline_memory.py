"""The budget of a run that isn't given one."""

from __future__ import annotations

import os

import pytest

from hpcdaas.pipeline import memory

GIB = 2**30


@pytest.mark.parametrize(
    ("slurm", "cgroup", "base"),
    [
        ({}, None, 3 * GIB),
        ({}, 5 * GIB, 5 * GIB),
        ({}, 99 * GIB, 3 * GIB),  # more than there is: no limit
        ({"MEM_PER_NODE": "2048"}, None, 2 * GIB),
        ({"MEM_PER_NODE": "2048"}, GIB, GIB),
        ({"MEM_PER_NODE": "4096"}, None, 4 * GIB),  # a limit holds, whatever is available now
        ({"MEM_PER_NODE": "0"}, None, 3 * GIB),  # all of the node
        ({"MEM_PER_CPU": "512", "CPUS_ON_NODE": "4"}, 5 * GIB, 2 * GIB),
        ({"MEM_PER_CPU": "512"}, None, 3 * GIB),
    ],
)
def test_default_budget(monkeypatch: pytest.MonkeyPatch, slurm: dict[str, str], cgroup: int | None, base: int) -> None:
    for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(memory, "memory_limit", lambda: cgroup)
    monkeypatch.setattr(memory, "_available", lambda: 3 * GIB)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 16 * GIB // 4096}.__getitem__)
    assert memory.default_budget() == int(0.8 * base)
