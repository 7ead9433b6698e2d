"""Runs on many ranks as futures of a notebook: each is a job of its own, and none holds a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from private_slurm import Cluster, eventually

import hpcdaas
from desk import Desk
from hpcdaas import HpcdaasError, Site

POOL = '[[pool]]\nname = "mpi"\npartition = "day"\nnodes = 2\nranks = 1\ncores = 1\nmemory = "1 GB"\n'


@pytest.fixture
def site(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Site]:
    monkeypatch.chdir(desk.folder)
    for name in ("DATA", "CACHE", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(desk.folder / name.lower()))

    def load(more: str = POOL) -> Site:
        desk.site(more)
        return Site.load()

    return load


def test_a_run_on_two_nodes(desk: Desk, site: Callable[..., Site], slurm: Cluster, tmp_path: Path) -> None:
    scan = desk.scan(rows=6)
    with site().pool("mpi", folder="out") as pool:
        asked = pool.submit(scan, "r.toml")
        result = asked.result(120)
        assert asked.state == "ended"
        again = pool.reconstruct(scan, "r.toml")  # it is there already
    assert again.path == result.path
    jobs = slurm.command("squeue", "--noheader", "--states=all", "--Format=name:60,numnodes").splitlines()
    run = result.path.stem.rpartition("_")[2]
    ours = [line.split() for line in jobs if line.startswith(f"hpcdaas-{run}")]
    assert [nodes for _, nodes in ours] == ["2", "2"]  # the second one found the result of the first
    assert [dataset["pid"] for dataset in desk.datasets()] == [result.pid]
    alone = hpcdaas.reconstruct(scan, hpcdaas.load_recipe("r.toml"), tmp_path / "alone.h5", register_result=False)
    with h5py.File(result.path) as one, h5py.File(alone.path) as other:
        made, expected = one["entry/data/data"][()], other["entry/data/data"][()]
    assert np.abs(made - expected).max() < 1e-5 * np.ptp(expected)


def test_one_that_waits_is_cancelled_and_one_that_is_refused_says_why(
    desk: Desk, site: Callable[..., Site], slurm: Cluster
) -> None:
    slurm.command("sbatch", "--exclusive", "--nodes=2", "--wrap=sleep 100", "--output=/dev/null")
    eventually("it is full", lambda: "RUNNING" in slurm.command("squeue", "-h", "-o", "%T"))
    with site().pool("mpi", folder="out") as pool:
        asked = pool.submit(desk.scan(), "r.toml")
        time.sleep(1)
        assert (asked.state, "1 waiting" in repr(pool)) == ("queued", True)
        asked.cancel()
        with pytest.raises(HpcdaasError, match="cancelled"):
            asked.result(10)
        slurm.cancel_all()
        assert "0 waiting" in repr(pool)
    refused = site(POOL + 'reservation = "never"\n').pool("mpi", folder="out")
    with refused as pool, pytest.raises(HpcdaasError, match="reservation"):
        pool.submit(desk.scan("other.nxs", 2), "r.toml").result(10)
    assert not slurm.command("squeue", "-h")
