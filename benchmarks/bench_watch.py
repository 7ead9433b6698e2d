"""`hpcdaas watch`: many small scans dropped into a folder, until the last result is registered, on a real SLURM.

What is asked for is the time per scan beyond its computing: the wall time from the first scan to the last
registration, less what the same runs take by themselves on as many cores, over the number of scans. Starting
the watcher and its pool's jobs, the proof that each scan is complete (half a second without a change) and the
catalogue's commits are all in it. Runs as jobs of their own (job arrays) are measured with fewer scans.

The SLURM is one of two nodes on this machine, as the tests start it. What slurmctld counts of our requests
(`sdiag`), without those of its own daemons, is the second figure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, Goal, Report, Rounds, options

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "slurm")]

from private_slurm import Cluster, eventually, private_slurm  # noqa: E402

from desk import Desk  # noqa: E402
from hpcdaas.cluster.ledger import Ledger  # noqa: E402
from hpcdaas.errors import InputError  # noqa: E402
from hpcdaas.pipeline import reconstruct  # noqa: E402
from hpcdaas.recipe import load_recipe  # noqa: E402

POOL = """
[[pool]]
name = "cpu"
partition = "day"
cores = 1
memory = "1 GB"
most = {workers}
[limits]
poll = 0.2
pool_seconds = {pool_seconds}
queued = 1000
[[detector]]
files = ["*.nxs"]
quiet = "0.5 s"
"""
#: What slurmd and slurmctld say to each other, and what jobs say when they end: nobody asked for these.
DAEMONS = re.compile(r"^(MESSAGE_|REQUEST_COMPLETE_|REQUEST_STEP_COMPLETE|REQUEST_PING|REQUEST_STATS_INFO|RESPONSE_)")
SCANS, ALONE, BEYOND = (
    "from a folder to the catalogue, a scan",
    "computing alone, a scan",
    "beyond its computing, a scan",
)
JOBS, BEYOND_JOBS = "the same, each a task of an array, a scan", "beyond computing, each a task of an array, a scan"


@dataclass(frozen=True)
class Took:
    """Wall seconds, and requests to slurmctld meanwhile."""

    seconds: float
    requests: int


def requests(cluster: Cluster) -> int:
    """Count what slurmctld was asked for since its last reset."""
    lines = cluster.command("sdiag").partition("by message type")[2].partition("by user")[0]
    found = re.findall(r"^\s*(\w+)\s*\(\s*\d+\)\s*count:(\d+)", lines, re.MULTILINE)
    return sum(int(count) for name, count in found if not DAEMONS.match(name))


@contextmanager
def watching(desk: Desk) -> Iterator[subprocess.Popen[str]]:
    """Run the watcher."""
    with (desk.folder / "events").open("wb") as log:
        watcher = desk.start("watch", "scans", "-o", "out/", "-r", "r.toml", stderr=log)
        try:
            yield watcher
        finally:
            watcher.terminate()
            watcher.wait(60)


def watch(cluster: Cluster, scans: int, workers: int, pool_seconds: float) -> Took:
    """Drop scans into a watched folder, and wait for the last to be registered."""
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(Path(name), cluster)
        desk.site(POOL.format(workers=workers, pool_seconds=pool_seconds))
        ready = Path(name) / "ready"
        (Path(name) / "scans").rename(ready)
        (Path(name) / "scans").symlink_to(ready)
        make(desk, scans)
        (Path(name) / "scans").unlink()
        (Path(name) / "scans").mkdir()
        cluster.command("sdiag", "--reset")
        start = time.perf_counter()
        with watching(desk) as watcher:
            for scan in sorted(ready.iterdir()):
                scan.rename(Path(name) / "scans" / scan.name)
            ledger = Path(name) / "state" / "hpcdaas"

            def registered() -> bool:
                assert watcher.poll() is None, (Path(name) / "events").read_text()[-2000:]
                try:
                    looked = Ledger(ledger, write=False)
                except InputError:  # the watcher has not made it yet
                    return False
                try:
                    counts = looked.counts()
                finally:
                    looked.close()
                assert not counts["failed"], (Path(name) / "events").read_text()[-2000:]
                return counts["registered"] == scans

            eventually("all registered", registered, 60 + 5.0 * scans)
            seconds = time.perf_counter() - start
            asked = requests(cluster)
        assert len(desk.datasets()) == scans
        cluster.cancel_all()
    return Took(seconds, asked)


def make(desk: Desk, scans: int) -> None:
    """Make scans of different data."""
    for number in range(scans):
        desk.scan(f"scan_{number:04d}.nxs", number, rows=8)


def alone(cluster: Cluster, scans: int) -> float:
    """Reconstruct the same scans one after the other in a process that runs already; seconds per scan."""
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(Path(name), cluster)
        make(desk, scans)
        recipe = load_recipe(desk.folder / "r.toml")
        files = sorted((desk.folder / "scans").iterdir())
        taken = [0.0] * len(files)
        for i, file in enumerate(files):
            begin = time.perf_counter()
            reconstruct(file, recipe, desk.folder / "out" / f"{file.stem}.h5", register_result=False, threads=1)
            taken[i] = time.perf_counter() - begin
        return sum(taken[1:]) / len(taken[1:])


def main() -> None:
    parser = options(__doc__ or "", repeats=1)
    parser.add_argument("--scans", type=int, default=300, help="dropped at once")
    given = parser.parse_args()
    scans, few = (6, 5) if given.quick else (given.scans, 40)
    workers = min(4, len(os.sched_getaffinity(0)))
    seconds: dict[str, list[float]] = {SCANS: [], ALONE: [], BEYOND: [], JOBS: [], BEYOND_JOBS: []}
    asked: list[float] = []
    with private_slurm({"MaxArraySize": "1001"}) as cluster:
        for _ in range(given.repeats):
            seconds[ALONE].append(alone(cluster, 2 if given.quick else 20))
            computing = seconds[ALONE][-1] / workers
            for task, beyond, count, limit in ((SCANS, BEYOND, scans, 60), (JOBS, BEYOND_JOBS, few, 0)):
                took = watch(cluster, count, workers, limit)
                seconds[task].append(took.seconds / count)
                seconds[beyond].append(took.seconds / count - computing)
                if task == SCANS:
                    asked.append(took.requests / took.seconds)
                print(f"  {task}: {took}", file=sys.stderr, flush=True)
    rounds = Rounds(seconds)
    report = Report("watch", {"scans": scans, "workers": workers, "slices": "8 of 64 × 64", "rounds": given.repeats})
    report.compare(rounds, SCANS, ALONE)
    report.add(BEYOND, rounds.median(BEYOND), "s", goal=Goal(0.5, 0.15, on="value"))
    report.compare(rounds, JOBS, ALONE)
    report.add(BEYOND_JOBS, rounds.median(BEYOND_JOBS), "s")
    report.add("requests to slurmctld", Rounds({"asked": asked}).median("asked"), "1/s", goal=Goal(2, 0.2, on="value"))
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
