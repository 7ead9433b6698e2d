"""`site init`, `site check` and `doctor --site` against a real SLURM."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from private_slurm import eventually

from desk import Desk
from hpcdaas.cluster.site import load_site

#: One partition of two nodes whose jobs need no GPU.
DAY = '[[partition]]\nname = "day"\ncores = 2\nmemory = "2 GB"\ntime = "1 day"\nnodes = 2\n'


def site(desk: Desk, text: str) -> None:
    (desk.folder / "site.toml").write_text(text)


def found(said: str) -> dict[str, dict[str, Any]]:
    """Give the findings of ``--json`` by name."""
    return {each["name"]: each for each in json.loads(said)["checks"]}


def queue(desk: Desk) -> list[str]:
    return desk.cluster.command("squeue", "--noheader", "--format=%j %T").splitlines()


@contextmanager
def full(desk: Desk) -> Iterator[None]:
    """Let another job have both nodes."""
    desk.cluster.command(
        "sbatch", "--exclusive", "--nodes=2", "--job-name=another", "--wrap=exec sleep 100", "-o/dev/null"
    )
    eventually("it is full", lambda: queue(desk) == ["another RUNNING"])
    yield
    assert queue(desk) == ["another RUNNING"]  # what was cancelled was our own


def test_what_init_writes_passes_the_check(desk: Desk) -> None:
    desk.cluster.command("scontrol", "update", "partitionname=low", "state=drain")
    try:
        desk.run("site", "init", "-o", "mine.toml")
    finally:
        desk.cluster.command("scontrol", "update", "partitionname=low", "state=up")
    here = load_site(desk.folder / "mine.toml")
    assert {p.name: (p.time, p.nodes, p.cores, p.memory, p.gpus) for p in here.partition} == {
        "day": (86400, 2, 4, 4000 * 2**20, 2),
        "gpu": (28800, 2, 4, 4000 * 2**20, 2),
        "short": (300, 1, 4, 4000 * 2**20, 2),
    }
    text = (desk.folder / "mine.toml").read_text()
    assert "# Partition low takes no jobs of yours: Required partition not available" in text
    assert "MaxArraySize is 21" in text
    assert here.name == "private"
    said = desk.run("site", "check", "--site", "mine.toml")
    assert said.splitlines()[-1] == "All is well."
    for name in ("partition day", "partition gpu", "partition short", "pool cpu", "launcher", "program"):
        assert re.search(rf"^{name} +ok ", said, re.MULTILINE), said


def test_what_does_not_fit_the_cluster(desk: Desk) -> None:
    site(
        desk,
        DAY.replace('"day"', '"dya"')
        + DAY.replace('"1 day"', '"2 days"').replace('"day"', '"gpu"')
        + DAY.replace("nodes = 2", 'reservation = "nope"')
        + '[[pool]]\nname = "wide"\npartition = "day"\nnodes = 1\nranks = 2\nmemory = "1 GB"\nreservation = "nein"\n'
        + '[mpi]\noptions = ["--mpi=pmi7"]\n',
    )
    checks = found(desk.run("site", "check", "--json", code=1))
    assert {name: each["found"] for name, each in checks.items() if each["state"] == "wrong"} == {
        "partition dya": "SLURM has no such partition",
        "partition gpu": "time is 2 days, SLURM's limit 8 h",
        "partition day": "SLURM would refuse a job of 2 cores, 1907 MiB, 10 min in day, reservation nope: "
        "Requested reservation is invalid",
        "pool wide": "SLURM would refuse a job of 1 node with 2 ranks of 1 core and 953 MiB, 4 h in day, "
        "reservation nein: Requested reservation is invalid",
        "launcher": "srun knows no --mpi=pmi7",
    }  # fmt: skip
    assert checks["partition dya"]["next"] == "Did you mean 'day'?"
    site(desk, 'exclude = ["node2", "node7"]\n' + DAY)
    assert found(desk.run("site", "check", "--json", code=1))["exclude"]["found"] == "SLURM knows no node node7"


def test_jobs_do_what_the_site_file_says(desk: Desk) -> None:
    site(desk, DAY)
    checks = found(desk.run("doctor", "--site", "--state", "state", "--json"))
    assert set(checks) == {"day cores", "day memory", "day files", "day MPI"}
    assert {each["state"] for each in checks.values()} <= {"ok", "note"}  # this SLURM holds nobody to its memory
    assert "asked for 2, a run takes 2 threads" in checks["day cores"]["found"]
    assert "2 ranks on node1, node2 met" in checks["day MPI"]["found"]
    assert re.search(r"written on node\d, seen here, and back: [\d.e-]+ s", checks["day files"]["found"])
    assert queue(desk) == []
    assert list((desk.folder / "state").iterdir()) == []


def test_ranks_that_do_not_meet_and_gpus(desk: Desk) -> None:
    site(desk, DAY.replace('"day"', '"gpu"') + 'gpus = 1\n[mpi]\noptions = ["--mpi=none"]\n')
    said = desk.run("doctor", "--site", "--json", code=1)
    checks = found(said[: said.rindex("}") + 1])
    assert (checks["gpu MPI"]["state"], "sees one" in checks["gpu MPI"]["found"]) == ("wrong", True)
    # SLURM gives one of the two; whether a driver shows it depends on this machine
    assert re.match(r"asked for 1; CUDA_VISIBLE_DEVICES is [01]\b", checks["gpu GPU"]["found"])


def test_a_job_that_can_not_begin_says_why(desk: Desk) -> None:
    site(desk, DAY.replace("nodes = 2", "nodes = 1") + '[job]\nenvironment = "/nope"\n' + DAY.replace('"day"', '"dya"'))
    said = desk.run("doctor", "--site", code=1)
    assert re.search(r"day job +wrong +job \d+ on node\d ended \(FAILED\): .*/nope/bin/python", said)
    assert re.search(r"dya job +wrong +SLURM refuses: .*[Ii]nvalid partition", said)
    assert said.splitlines()[-1].startswith("To be seen to: dya job")


def test_no_room_within_the_time(desk: Desk) -> None:
    site(desk, DAY)
    with full(desk):
        said = desk.run("doctor", "--site", "--timeout", "1", code=1)
    assert re.search(r"day MPI +wrong +not tried: job \d+ hasn't started within 1 s \(\w+\)", said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_jobs_wait(desk: Desk, number: signal.Signals) -> None:
    site(desk, DAY)
    with full(desk):
        process = desk.start("doctor", "--site", "--state", "state")
        eventually("its jobs wait", lambda: len(queue(desk)) == 3)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "hpcdaas: Stopped." in err
        assert "Traceback" not in err
    assert list((desk.folder / "state").iterdir()) == []
