"""Limits of control groups, written as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpcdaas.backend.cgroup import core_limit, memory_limit
from hpcdaas.backend.cpu import available_threads

OWN = {
    "v2": "0::/slurm/job_7\n",
    "v1": "4:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n1:name=systemd:/\n0::/\n",
}


def tree(root: Path, version: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        path = root / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (root / "own").write_text(OWN[version])
    return root / "fs", root / "own"


@pytest.mark.parametrize(
    ("version", "files", "cores"),
    [
        ("v2", {}, None),
        ("v2", {"slurm/job_7/cpu.max": "max 100000"}, None),
        ("v2", {"slurm/job_7/cpu.max": "400000 100000"}, 4),
        ("v2", {"slurm/job_7/cpu.max": "250000 100000"}, 3),
        ("v2", {"slurm/job_7/cpu.max": "50000 100000"}, 1),
        ("v2", {"slurm/job_7/cpu.max": "max 100000", "slurm/cpu.max": "200000 100000"}, 2),
        ("v2", {"slurm/job_8/cpu.max": "100000 100000"}, None),
        ("v2", {"cpu.max": "600000 100000"}, 6),
        ("v1", {"cpu/slurm/cpu.cfs_quota_us": "-1", "cpu/slurm/cpu.cfs_period_us": "100000"}, None),
        ("v1", {"cpu/slurm/cpu.cfs_quota_us": "150000", "cpu/slurm/cpu.cfs_period_us": "100000"}, 2),
        ("v1", {"cpu/cpu.cfs_quota_us": "800000", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_core_limit(tmp_path: Path, version: str, files: dict[str, str], cores: int | None) -> None:
    assert core_limit(*tree(tmp_path, version, files)) == cores


@pytest.mark.parametrize(
    ("version", "files", "limit"),
    [
        ("v2", {"slurm/job_7/memory.max": "max"}, None),
        ("v2", {"slurm/job_7/memory.max": "4096", "slurm/memory.max": "8192"}, 4096),
        ("v2", {"slurm/job_7/memory.max": "max", "slurm/memory.max": "8192"}, 8192),
        ("v1", {"memory/slurm/memory.limit_in_bytes": "8192"}, 8192),
        ("v1", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_memory_limit(tmp_path: Path, version: str, files: dict[str, str], limit: int | None) -> None:
    assert memory_limit(*tree(tmp_path, version, files)) == limit


def test_nothing_there(tmp_path: Path) -> None:
    assert core_limit(tmp_path, tmp_path / "own") is None
    assert memory_limit(tmp_path, tmp_path / "own") is None


def test_threads_are_the_fewest_that_anyone_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    for quota, given, threads in ((None, "", 12), (5, "", 5), (None, "3", 3), (5, "8", 5), (32, "0", 12)):
        monkeypatch.setattr("hpcdaas.backend.cpu.core_limit", lambda quota=quota: quota)
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
        assert available_threads() == threads
