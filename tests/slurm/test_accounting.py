"""A site that keeps accounts: what SLURM has forgotten is still known, and wrong accounts are refused in its words."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_slurm import Cluster, eventually

from desk import Desk
from hpcdaas.cluster.slurm import Slurm, SlurmRefused
from hpcdaas.cluster.slurm.states import Meaning

SMALL = ["--partition=day", "--cpus-per-task=1", "--mem=100M", "--time=1"]


def test_a_job_that_slurmctld_has_forgotten(accounted: Cluster, tmp_path: Path) -> None:
    accounted.configure(MinJobAge="2")
    slurm = Slurm()
    job = slurm.submit("#!/bin/bash\nexit 7\n", SMALL, "a name", tmp_path)
    eventually("it ends", lambda: slurm.jobs([job])[job].state == "FAILED")
    eventually("it is forgotten", lambda: not accounted.command("squeue", "-h", "-t", "all", "-j", job, check=False))
    found = slurm.jobs([job])[job]
    assert (found.state, found.exit_code, found.name, found.meaning) == ("FAILED", 7, "a name", Meaning.FAILED)
    assert found.start
    assert found.end
    assert found.nodes in ("node1", "node2")


def test_an_account_that_is_none(accounted: Cluster, tmp_path: Path) -> None:
    with pytest.raises(SlurmRefused, match=r"[Ii]nvalid account"):
        Slurm().submit("#!/bin/bash\n", [*SMALL, "--account=nobody"], "x", tmp_path)


def test_a_run_on_an_account(accounted: Cluster, tmp_path: Path) -> None:
    desk = Desk(tmp_path, accounted)
    desk.site(
        '[[pool]]\nname = "cpu"\npartition = "day"\nmemory = "1 GB"\naccount = "beamline"\n[limits]\npool_seconds = 0'
    )
    desk.submit([desk.scan()], "--wait")
    run = desk.runs()[0]
    assert run["state"] == "registered"
    said = accounted.command(
        "sacct", "--noheader", "--parsable2", "--allocations", "--format=Account,State", "-j", run["job"]
    )
    assert said == "beamline|COMPLETED"
