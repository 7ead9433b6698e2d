"""What a real SLURM does to jobs, and what becomes of their runs: time, memory, nodes, preemption, operators."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from private_slurm import CannotStart, Cluster, eventually

from desk import Desk
from hpcdaas.cluster.entry import Entry
from hpcdaas.cluster.ledger import Ledger
from hpcdaas.errors import InputError

#: All runs are jobs of their own; scans are complete at once.
JOBS = """
[limits]
poll = 0.2
pool_seconds = 0
[[detector]]
files = ["*.nxs"]
quiet = "0.2 s"
"""
#: Stands in for the program on a node: waits before it begins, where and as long as a file says so.
SLOW = """#!/bin/bash
echo "$SLURM_JOB_ID $SLURM_RESTART_COUNT $$" >>"{folder}/begun"
trap "" USR1  # or SLURM's warning would end it before its time
[ "$1" != reconstruct ] || while [ -e "{folder}/wait" ]; do sleep 0.1; done
# uses up more memory than it has, where it has little, or always
[ ! -e "{folder}/greedy" ] || [ "$SLURM_MEM_PER_NODE" -gt 1000 -a ! -s "{folder}/greedy" ] || {{
    {python} -c 'held = [bytearray(b"x") * (1 << 28) for _ in range(12)]'
    exit
}}
trap - USR1
exec "{program}" "$@"
"""


class Attack:
    """A watcher whose jobs wait, until they are told to go on, and what happens to them."""

    def __init__(self, desk: Desk, more: str = "", partition: str = "day") -> None:
        self.desk, self.slurm = desk, desk.cluster
        bin_folder = desk.folder / "environment" / "bin"
        bin_folder.mkdir(parents=True)
        real = Path(sys.executable).with_name("hpcdaas")
        (bin_folder / "hpcdaas").write_text(SLOW.format(folder=desk.folder, program=real, python=sys.executable))
        (bin_folder / "hpcdaas").chmod(0o755)
        for name in ("mpiexec", "hydra_pmi_proxy"):
            (bin_folder / name).symlink_to(real.with_name(name))
        desk.site(f'{JOBS}[job]\nenvironment = "{bin_folder.parent}"\n{more}')
        if partition != "day":
            site = desk.folder / "site.toml"
            site.write_text(site.read_text().replace('name = "day"', f'name = "{partition}"'))
        self._wait = desk.folder / "wait"
        self._wait.touch()
        self._watcher: subprocess.Popen[str] | None = None

    def start(self) -> None:
        log = (self.desk.folder / "events.jsonl").open("ab")
        self._watcher = self.desk.start("watch", "scans", "-o", "out/", "-r", "r.toml", stderr=log)
        log.close()

    def close(self) -> None:
        if self._watcher and self._watcher.poll() is None:
            self._watcher.kill()
        if self._watcher:
            self._watcher.communicate()

    def stop(self) -> int:
        assert self._watcher
        self._watcher.send_signal(signal.SIGTERM)
        self._watcher.communicate(timeout=60)
        return self._watcher.returncode

    def go_on(self) -> None:
        self._wait.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        try:
            ledger = Ledger(self.desk.folder / "state" / "hpcdaas", write=False)
        except InputError:  # the watcher hasn't made it yet
            return []
        try:
            return ledger.entries()
        finally:
            ledger.close()

    def until(self, what: str, holds: Callable[[list[Entry]], object], seconds: float = 120.0) -> list[Entry]:
        found: list[Entry] = []

        def look() -> object:
            assert self._watcher is None or self._watcher.poll() is None, self.said()
            found[:] = self.entries()
            return found and holds(found)

        try:
            eventually(what, look, seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{found}\n{self.said()}") from error
        return found

    def said(self) -> str:
        return (self.desk.folder / "events.jsonl").read_text()[-3000:]

    def running(self, count: int = 1) -> list[str]:
        """Wait until jobs run; give their numbers."""
        found = self.until(
            "jobs run", lambda entries: sum(e.state == "running" and e.job is not None for e in entries) == count
        )
        return [entry.job or "" for entry in found]

    def registered(self, count: int = 1) -> list[Entry]:
        found = self.until(f"{count} registered", lambda es: [e.state for e in es] == ["registered"] * count)
        assert len(self.desk.datasets()) == count
        left = sorted(path.name for path in (self.desk.folder / "out").iterdir() if path.name.endswith(".partial"))
        assert not left
        return found

    def begun(self) -> list[str]:
        path = self.desk.folder / "begun"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def attack(desk: Desk) -> Iterator[Callable[..., Attack]]:
    made: list[Attack] = []

    def make(**options: Any) -> Attack:
        made.append(Attack(desk, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_timeout(attack: Callable[..., Attack]) -> None:
    here = attack()
    here.desk.scan()
    here.start()
    (job,) = here.running()
    here.slurm.command("scontrol", "update", f"jobid={job}", "EndTime=now")
    here.until("another job", lambda es: es[0].job not in (None, job), 180)
    assert here.entries()[0].seconds == 1200.0  # twice what it had
    limit = here.slurm.command("squeue", "-h", "-j", here.entries()[0].job or "", "-o", "%l")
    assert limit == "20:00"
    here.go_on()
    assert here.registered()[0].tries == 2


def test_a_node_that_fails_is_slurm_s_to_mend(attack: Callable[..., Attack]) -> None:
    """SLURM queues the job again by itself, under its number; we don't submit another one beside it."""
    here = attack()
    here.desk.scan()
    here.start()
    (job,) = here.running()
    here.slurm.fail(here.slurm.command("squeue", "-h", "-j", job, "-o", "%N"))
    eventually("its second start", lambda: len(here.begun()) == 2)
    here.go_on()
    (entry,) = here.registered()
    assert (entry.job, entry.tries) == (job, 1)
    assert [line.split()[0] for line in here.begun()] == [job, job]


def test_a_node_that_fails_and_slurm_may_not_requeue(attack: Callable[..., Attack]) -> None:
    here = attack()
    here.slurm.configure(JobRequeue="0")
    here.desk.scan()
    here.start()
    (job,) = here.running()
    here.slurm.command("scontrol", "update", f"jobid={job}", "Requeue=0")
    here.slurm.fail(here.slurm.command("squeue", "-h", "-j", job, "-o", "%N"))
    here.until("another job", lambda es: es[0].job not in (None, job))
    here.go_on()
    assert here.registered()[0].tries == 2


def test_preempted(attack: Callable[..., Attack]) -> None:
    here = attack(partition="low")
    here.desk.scan()
    here.start()
    (job,) = here.running()
    high = here.slurm.command(
        "sbatch", "--parsable", "--partition=day", "--nodes=2", "--exclusive", "--wrap=sleep 300", "--output=/dev/null"
    )
    here.until("another job", lambda es: es[0].job not in (None, job))
    here.slurm.command("scancel", high)
    here.go_on()
    assert here.registered()[0].tries == 2


def test_cancelled_by_an_operator(attack: Callable[..., Attack]) -> None:
    """Of an array, one task that runs; it ends visibly, is not done behind his back, and others go on."""
    here = attack()
    for number in range(4):
        here.desk.scan(f"s{number}.nxs", number)
    here.start()
    jobs = here.running(4)
    here.slurm.command("scancel", jobs[1])
    here.go_on()
    ended = here.until("all ended", lambda es: all(e.ended_for_good for e in es))
    assert [entry.state for entry in ended].count("registered") == 3
    (gone,) = [entry for entry in ended if entry.state == "cancelled"]
    assert gone.job == jobs[1]
    assert "CANCELLED" in (gone.reason or "")
    assert here.desk.run("retry", gone.scan)
    here.registered(4)


class Confined(Cluster):
    """A cluster whose jobs have no more memory than they asked for: the kernel sees to that."""

    def _write_files(self) -> None:
        super()._write_files()
        plugin = "cgroup/v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "cgroup/v1"
        (self.folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\nConstrainRAMSpace=yes\nAllowedSwapSpace=0\n")


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    cluster = Confined(folder, {"ProctrackType": "proctrack/cgroup", "TaskPlugin": "task/cgroup"})
    try:
        cluster.start()
    except CannotStart as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no SLURM with control groups: {error}")
    yield Desk(tmp_path, cluster)
    cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("launcher", ["srun", "mpiexec"])
def test_out_of_memory(confined: Desk, launcher: str) -> None:
    """The first try has what the pool says, the second one what a node has; then it is over."""
    pool = '[[pool]]\nname = "mpi"\npartition = "day"\nranks = 2\ncores = 1\nmemory = "400 MB"\n'
    here = Attack(confined, more=f'[mpi]\nlauncher = "{launcher}"\n{pool}')
    (confined.folder / "greedy").touch()
    here.go_on()
    confined.scan("a.nxs", 1)
    here.start()
    try:
        (entry,) = here.until("more memory", lambda es: es[0].memory is not None)
        assert entry.memory == 2_000_000_000
        assert "OUT_OF_MEMORY" in (entry.reason or here.said())
        assert here.registered()[0].tries in (2, 3)  # SLURM doesn't notice each time why a rank was killed
        (confined.folder / "greedy").write_text("always")
        confined.scan("b.nxs", 2)
        ended = here.until("its end", lambda es: len(es) == 2 and es[1].ended_for_good)
        assert ended[1].state == "failed"
        assert ended[1].tries in (2, 3)
        assert "OUT_OF_MEMORY" in (ended[1].reason or "")
        assert ended[0].state == "registered"
    finally:
        here.close()


def test_a_watcher_that_is_stopped_leaves_jobs_running_and_the_next_one_takes_over(
    attack: Callable[..., Attack],
) -> None:
    here = attack()
    here.desk.scan()
    here.start()
    (job,) = here.running()
    assert here.stop() == 0
    assert here.slurm.command("squeue", "-h", "-j", job, "-o", "%T") == "RUNNING"
    here.go_on()
    eventually("its end", lambda: not here.slurm.command("squeue", "-h", "-j", job, "-t", "PD,R,CG"))
    here.start()
    (entry,) = here.registered()
    assert (entry.job, entry.tries) == (job, 1)


def test_cancelled_by_its_user_and_retried_at_once(attack: Callable[..., Attack]) -> None:
    here = attack()
    scan = here.desk.scan()
    here.start()
    (job,) = here.running()
    assert "1 cancelled" in here.desk.run("cancel", scan)
    assert "1 will be tried" in here.desk.run("retry", scan)
    here.go_on()
    (entry,) = here.registered()
    assert entry.job != job


def test_rewritten_while_its_job_waits_in_slurm(attack: Callable[..., Attack]) -> None:
    here = attack()
    here.desk.scan(seed=1)
    here.start()
    here.running()
    (before,) = here.entries()
    here.desk.scan(seed=2)
    here.until("it is known", lambda es: es[0].signature == "rewritten")
    here.go_on()
    (entry,) = here.until("done anew", lambda es: es[0].state == "registered" and es[0].run != before.run)
    datasets = here.desk.datasets()
    assert entry.pid in [dataset["pid"] for dataset in datasets]
    assert len(datasets) == 1  # nothing that was read from half of each


def test_vanished_while_its_job_waits_in_slurm(attack: Callable[..., Attack]) -> None:
    here = attack()
    scan = here.desk.scan()
    here.start()
    here.running()
    scan.unlink()
    here.go_on()
    (entry,) = here.until("its end", lambda es: es[0].ended_for_good)
    assert entry.state == "failed"
    assert scan.name in (entry.reason or "")
    assert here.desk.datasets() == []


def test_a_full_disk_of_the_state_folder(attack: Callable[..., Attack], desk: Desk) -> None:
    """The watcher ends with one line; started again, as systemd does, it goes on when there is room."""
    place = desk.folder / "state"
    with small_disk(place, "32m"):
        here = attack()
        desk.scan("a.nxs", 1)
        here.start()
        here.running()
        filler = place / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        desk.scan("b.nxs", 2)
        assert here._watcher
        assert here._watcher.wait(120) == 1
        last = here.said().strip().splitlines()
        assert "hpcdaas:" in last[-1] or "hpcdaas:" in last[-2]
        assert "Traceback" not in here.said()
        desk.start("watch", "scans", "-o", "out/", "-r", "r.toml").communicate(timeout=60)  # to no avail
        filler.unlink()
        here.go_on()
        here.start()
        here.registered(2)
        here.stop()


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_two_submits_for_one_scan_are_one_run(desk: Desk) -> None:
    scan = desk.scan()
    at_work = [desk.start("submit", scan, "-r", "r.toml", "-o", "out/") for _ in range(3)]
    for process in at_work:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, f"{out}{err}"
    eventually("registered", lambda: desk.states() == ["registered"], 60)
    assert len(json.loads(desk.run("status", "--json"))["runs"]) == 1
    assert len(desk.datasets()) == 1
