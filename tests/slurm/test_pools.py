"""Pools in jobs of a real SLURM."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from private_slurm import Cluster

from hpcdaas.cluster.pool import hiring as pool_hiring
from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pools import Pools
from hpcdaas.cluster.site import Site
from pool_orders import endless, small, until
from test_examples import check_pictures, check_the_end, execute, number, text

Make = Callable[..., Pools]
PARTITION = {"cores": 4, "memory": "4000MiB", "time": "1 day"}


def site(**over: Any) -> Site:
    """A site like the private cluster, with a pool for CPUs and one for GPUs."""
    pools = [
        {"name": "cpu", "partition": "day", "cores": 2, "memory": "1200MiB", "time": "10 min", "most": 1},
        {"name": "gpu", "partition": "gpu", "cores": 1, "memory": "900MiB", "gpus": 1, "time": "1 hour", "most": 1},
    ]
    partitions = [{"name": "day", **PARTITION}, {"name": "gpu", **PARTITION, "gpus": 2}]
    return Site.model_validate({"name": "x", "interface": "lo", "partition": partitions, "pool": pools, **over})


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make(slurm: Cluster, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make pools that end with the test."""
    monkeypatch.setattr(pool_hiring, "BETWEEN", 0.5)
    with ExitStack() as stack:
        yield lambda found, **options: stack.enter_context(Pools(found, tmp_path / "the state", said.append, **options))


def ended(future: Future) -> str:
    outcome = future.outcome(60)
    return outcome.fault.code if outcome.fault else "done"


def running(future: Future) -> bool:
    return future.state == "running" and future.progress[0] > 0


def show(slurm: Cluster, job: str) -> dict[str, str]:
    """Give what scontrol says of a job."""
    text = slurm.command("scontrol", "--oneliner", "show", "job", job)
    return dict(word.partition("=")[::2] for word in text.split() if "=" in word)


def test_jobs_are_asked_for_as_the_site_says(slurm: Cluster, make: Make, tmp_path: Path) -> None:
    pools = make(site(exclude=["node2"]))
    futures = [pools[name].submit(small(tmp_path, name)) for name in ("cpu", "gpu")]
    assert [ended(future) for future in futures] == ["done", "done"]
    cpu, gpu = (show(slurm, future.outcome().job) for future in futures)
    assert (cpu["Partition"], cpu["NumCPUs"], cpu["MinMemoryNode"], cpu["TimeLimit"]) == (
        "day", "2", "1200M", "00:10:00",
    )  # fmt: skip
    assert (gpu["Partition"], gpu["NumCPUs"], gpu["MinMemoryNode"]) == ("gpu", "1", "900M")
    assert "gpu" in gpu["TresPerNode"]
    assert "TresPerNode" not in cpu
    assert cpu["ExcNodeList"] == "node2"
    assert futures[0].outcome().node == "node1"
    assert re.fullmatch(r"hpcdaas-pool-cpu-[0-9a-f]{8}", cpu["JobName"])
    script = slurm.command("scontrol", "write", "batch_script", futures[0].outcome().job, "-")
    secret = (pools.folder / "key.pem").read_text().splitlines()[1]
    assert secret not in script
    assert "--memory-limit" not in script


def test_gpu_work_never_waits_for_a_cpu_worker(make: Make, tmp_path: Path) -> None:
    pools = make(site())
    busy = pools["cpu"].submit(endless(tmp_path))
    until("it runs", lambda: running(busy))
    assert ended(pools["gpu"].submit(small(tmp_path))) == "done"
    assert running(busy)
    busy.cancel()
    assert ended(busy) == "cancelled"


@pytest.mark.parametrize("how", ["scancel", "kill -9"])
def test_a_worker_that_dies_is_replaced(slurm: Cluster, make: Make, tmp_path: Path, said: list[str], how: str) -> None:
    pools = make(site())
    future = pools["cpu"].submit(endless(tmp_path))
    until("it runs", lambda: running(future))
    first = future.place
    job = first.split()[-1]
    if how == "scancel":
        slurm.command("scancel", job)
    else:
        os.kill(_worker(pools.folder), signal.SIGKILL)
    until("another one takes it", lambda: future.place not in ("", first) and running(future))
    # scancel asks first: the run stops with a checkpoint, which is no failure
    assert future.tries == (1 if how == "scancel" else 2)
    future.cancel()
    assert ended(future) == "cancelled"


def _worker(folder: Path) -> int:
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "hpcdaas.cluster.pool.worker" in words and str(folder) in words:
            return int(place.name)
    raise AssertionError("no worker")


def test_a_job_that_never_connects_is_replaced_elsewhere(
    slurm: Cluster, make: Make, tmp_path: Path, said: list[str]
) -> None:
    environment = tmp_path / "env" / "bin"
    environment.mkdir(parents=True)
    python = environment / "python"
    python.write_text(
        f'#!/bin/bash\n[ "$SLURMD_NODENAME" = node1 ] && {{ echo stuck; exec sleep 1000; }}\nexec {sys.executable} "$@"\n'  # noqa: E501
    )
    python.chmod(0o755)
    pools = make(site(job={"environment": str(environment.parent)}), connect=15.0)  # a worker that comes takes a few
    future = pools["cpu"].submit(small(tmp_path))
    assert ended(future) == "done"
    assert future.outcome().node == "node2"
    assert pools["cpu"].excluded == ("node1",)
    assert any("node1 is avoided" in line and "stuck" in line for line in said)
    assert not pools["cpu"].trouble
    assert "node1" not in slurm.command("squeue", "--noheader", "--states=running", "--Format=nodelist")


def test_where_no_node_works_it_is_not_the_nodes(make: Make, tmp_path: Path, said: list[str]) -> None:
    pools = make(site(job={"variables": {"PYTHONHOME": "/nowhere"}}))
    future = pools["cpu"].submit(small(tmp_path))
    trouble = until("it is said", lambda: pools["cpu"].trouble, 90)
    assert "ended with code 1 before its worker was there" in trouble
    assert "Python" in trouble  # the last of what it has said
    assert pools["cpu"].excluded == ()
    assert any("node1, node2 used again" in line or "node2, node1 used again" in line for line in said)
    assert future.state == "queued"


def test_the_last_node_is_not_avoided(slurm: Cluster, make: Make, tmp_path: Path) -> None:
    slurm.fail("node2")
    pools = make(site(job={"variables": {"PYTHONHOME": "/nowhere"}}))
    future = pools["cpu"].submit(small(tmp_path))
    trouble = until("it is said", lambda: pools["cpu"].trouble, 90)
    assert "ended with code 1 before its worker was there" in trouble
    assert pools["cpu"].excluded == ()
    assert future.state == "queued"


def test_what_slurm_refuses_is_said(make: Make, tmp_path: Path) -> None:
    partition = {"name": "nowhere", **PARTITION}
    pool = {"name": "cpu", "partition": "nowhere", "memory": "1GB"}
    pools = make(site(partition=[partition], pool=[pool]))
    future = pools["cpu"].submit(small(tmp_path))
    trouble = until("it is said", lambda: pools["cpu"].trouble)
    assert "partition" in trouble.lower()
    future.cancel()
    assert ended(future) == "cancelled"


def ends(slurm: Cluster, job: str) -> float:
    """Say when SLURM ends a job, by the monotonic clock."""
    end = datetime.fromisoformat(show(slurm, job)["EndTime"]).timestamp()
    return time.monotonic() + end - time.time()


def test_workers_leave_before_their_time_is_over(slurm: Cluster, make: Make, tmp_path: Path) -> None:
    pool = {"name": "cpu", "partition": "day", "memory": "1200MiB", "time": "3 min", "most": 1}
    pools = make(site(pool=[pool]))
    future = pools["cpu"].submit(endless(tmp_path))
    until("it runs", lambda: running(future))
    first = future.place.split()[-1]
    crew = pools["cpu"]._crew
    member = next(iter(crew.members.values()))
    until("SLURM tells its end", lambda: member.name in crew._hiring.ends)
    until("it is known", lambda: abs(member.ends - ends(slurm, first)) < 1.1)  # SLURM's times are whole seconds
    waiting = pools["cpu"].submit(small(tmp_path, seconds=60.0))
    crew._hiring.ends[member.name] -= 170  # a test can't wait until minutes are over
    until("another job takes it", lambda: future.place.split()[-1:] not in ([], [first]) and running(future))
    assert future.tries == 1
    future.cancel()
    assert ended(future) == "cancelled"
    assert ended(waiting) == "done"
    until("it is gone", lambda: not slurm.command("squeue", "--noheader", f"--jobs={first}", check=False))


def test_a_worker_refuses_what_takes_longer_than_it_has(slurm: Cluster, make: Make, tmp_path: Path) -> None:
    pool = {"name": "cpu", "partition": "day", "memory": "1200MiB", "time": "5 min", "most": 1}
    pools = make(site(pool=[pool]))
    first = pools["cpu"].submit(small(tmp_path, "first"))
    assert ended(first) == "done"
    crew = pools["cpu"]._crew
    member = next(iter(crew.members.values()))
    until("SLURM tells its end", lambda: member.name in crew._hiring.ends)
    crew._hiring.ends[member.name] -= 150
    until("it is known", lambda: not member.has(150.0, 0.0))
    futures = [pools["cpu"].submit(small(tmp_path, f"{seconds:.0f}", seconds=seconds)) for seconds in (1.0, 150.0)]
    assert [ended(future) for future in futures] == ["done", "done"]
    jobs = [future.outcome().job for future in (first, *futures)]
    assert jobs[0] == jobs[1] != jobs[2]


def test_an_order_longer_than_a_job_is_refused(make: Make, tmp_path: Path) -> None:
    pools = make(site())
    assert pools["cpu"].fits(10**9, 400)
    assert not pools["cpu"].fits(10**9, 590)


SITE = """
name = "private"
interface = "lo"
[[partition]]
name = "day"
cores = 4
memory = "4000 MiB"
[[pool]]
name = "cpu"
partition = "day"
cores = 2
memory = "1200 MiB"
time = "10 min"
most = 2
"""


def test_a_notebook_is_the_same_on_a_cluster(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    outputs = execute("tomography", tmp_path, monkeypatch)
    said = text(outputs)
    assert "no cluster here" not in said
    assert number(r"true: \S+ error of the slices: ([\d.]+) %", said) < 8
    assert "scan.nxs was cancelled." in said
    check_pictures(outputs, 4)
    check_the_end(outputs, tmp_path)
    jobs = slurm.command("squeue", "--noheader", "--states=all", "--Format=name:60,timelimit,numcpus").splitlines()
    ours = [line.split() for line in jobs if line.startswith("hpcdaas-pool-cpu-")]
    assert ["10:00", "2"] in [words[1:] for words in ours]
    until("no job is left", lambda: "hpcdaas-pool" not in slurm.command("squeue", "--noheader", "--Format=name:60"))


SCRIPT = """
import sys, threading
from pathlib import Path
sys.path[:0] = {paths!r}
from pool_orders import endless, until
from test_pools import site
from hpcdaas.cluster.pools import Pools
if __name__ == "__main__":
    pools = Pools(site(), Path({folder!r}) / "the state")
    busy = pools["cpu"].submit(endless(Path({folder!r})))
    until("it runs", lambda: busy.progress[0] > 0)
    print(pools.folder, flush=True)
    threading.Event().wait()
"""


def test_jobs_of_a_process_that_died_are_cancelled(slurm: Cluster, make: Make, tmp_path: Path, said: list[str]) -> None:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    script = SCRIPT.format(paths=paths, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        name = f"hpcdaas-pool-cpu-{folder.name}"
        # one that waits, as those in the queue do whose workers never get to know
        job = slurm.command("sbatch", "--parsable", "--hold", f"--job-name={name}", "--wrap=true", cwd=tmp_path).strip()
        process.kill()
    make(site())
    assert not folder.exists()
    assert any(name in line for line in said)
    until("it is gone", lambda: job not in slurm.command("squeue", "--noheader", "--Format=jobid").split())
    left = lambda: slurm.command("squeue", "--noheader", f"--name={name}")  # noqa: E731
    until("all are gone", lambda: not left())
