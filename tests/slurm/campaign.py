"""A facility under attack: scans come all the time, and what does the work is killed again and again.

It has a watcher, a SLURM of two nodes, a catalogue that is served over HTTP and a small disk for results. A witness
that belongs to none of them sees each result appear, and whether one is ever replaced.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from keeper import descendants
from private_slurm import eventually, free_ports

from desk import Desk
from hpcdaas.cluster.ledger import Ledger
from hpcdaas.errors import InputError

SITE = """
[[pool]]
name = "cpu"
partition = "day"
cores = 1
memory = "1 GB"
most = 2
time = "1 h"
[limits]
poll = 0.3
pool_seconds = {pool_seconds}
tries = 50
[[detector]]
files = ["*.nxs"]
quiet = "0.5 s"
[catalog]
uri = "{catalog}"
prefix = "20.500.1/"
[[owner]]
pattern = "{scans}/*"
group = "p17"
owner = "A. Person"
contact_email = "beamline@example.org"
roots = ["{scans}"]
"""
HPCDAAS = Path(sys.executable).with_name("hpcdaas")


class Witness:
    """Sees results appear in a folder, and remembers each file that bore one's name."""

    def __init__(self, folder: Path) -> None:
        self.seen: dict[str, set[int]] = {}
        self._folder, self._ends = folder, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ends.wait(0.05):
            for entry in os.scandir(self._folder):
                if entry.name.endswith(".h5"):
                    self.seen.setdefault(entry.name, set()).add(entry.inode())

    def close(self) -> None:
        self._ends.set()
        self._thread.join()


class Catalogue:
    """`hpcdaas catalog serve` on a port that stays the same."""

    def __init__(self, folder: Path) -> None:
        self.path, self.port = folder / "catalogue.db", free_ports(1)[0]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._log = folder / "catalogue.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [HPCDAAS, "catalog", "serve", "--catalog", self.path, "--port", str(self.port)], stdout=log, stderr=log
            )
        eventually("the catalogue", self._listens)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Facility:
    """All of it.

    Parameters
    ----------
    desk : Desk
        Its folder ``out`` is where results go.
    pool_seconds : float
        Runs that are estimated longer are jobs of their own; 0: all are.
    """

    def __init__(self, desk: Desk, pool_seconds: float = 60.0) -> None:
        self.desk, self.folder, self.slurm = desk, desk.folder, desk.cluster
        self.catalogue = Catalogue(self.folder)
        self.catalogue.start()
        desk.site(
            SITE.format(pool_seconds=pool_seconds, catalog=self.catalogue.uri, scans=(self.folder / "scans").resolve())
        )
        self.witness = Witness(self.folder / "out")
        self.random = np.random.default_rng(17)
        self._watcher: subprocess.Popen[str] | None = None
        self._log = (self.folder / "events.jsonl").open("ab")
        self.killed: Counter[str] = Counter()

    def close(self) -> None:
        if self._watcher:
            self._watcher.kill()
            self._watcher.wait()
        self.catalogue.kill()
        self.witness.close()
        self._log.close()

    def start(self) -> None:
        """Start the watcher."""
        home = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("DATA", "CACHE", "STATE", "CONFIG")}
        self._watcher = subprocess.Popen(
            [HPCDAAS, "watch", "scans", "-o", "out/", "-r", "r.toml"], cwd=self.folder, text=True,
            env={**self.slurm.environment, **home}, stdout=subprocess.DEVNULL, stderr=self._log,
        )  # fmt: skip

    @property
    def watches(self) -> bool:
        return self._watcher is not None and self._watcher.poll() is None

    def kill_watcher(self) -> None:
        """End the watcher by -9 and start another one."""
        assert self._watcher
        assert self.watches, (self.folder / "events.jsonl").read_text()[-2000:]
        self._watcher.send_signal(signal.SIGKILL)
        self._watcher.wait()
        self.killed["watcher"] += 1
        self.start()

    def kill_worker(self) -> bool:
        """End one process of a job that does a run, by -9; False where none is there."""
        words = (b"hpcdaas.cluster.pool.worker", b"reconstruct")
        for pid in self._of_jobs():
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                if line.split(b"/")[-1] and any(word in line for word in words) and b"bash" not in line[:20]:
                    os.kill(pid, signal.SIGKILL)
                    self.killed["worker"] += 1
                    return True
        return False

    def _of_jobs(self) -> list[int]:
        return [pid for keeper in self.slurm.slurmds().values() for pid in descendants(keeper)]

    def fill_disk(self) -> None:
        """Leave no room for results."""
        free = shutil.disk_usage(self.folder / "out").free
        with (self.folder / "out" / "filler").open("wb") as file, suppress(OSError):
            for _ in range(0, free + (1 << 20), 1 << 16):
                file.write(bytes(1 << 16))
                file.flush()

    def free_disk(self) -> None:
        (self.folder / "out" / "filler").unlink()

    def drop(self, count: int, first: int = 0, pause: float = 0.0) -> None:
        """Let scans come, each with data of its own."""
        for number in range(first, first + count):
            self.desk.scan(f"scan_{number:04d}.nxs", number)
            time.sleep(pause)

    def counts(self) -> Counter[str]:
        """Give the ledger's states, read as any other process may."""
        try:
            ledger = Ledger(self.folder / "state" / "hpcdaas", write=False)
        except InputError:  # nobody has made it yet
            return Counter()
        try:
            return Counter(ledger.counts())
        finally:
            ledger.close()

    def await_registered(self, count: int, seconds: float) -> None:
        """Wait until so many are registered; where they are not, say what hinders them."""
        try:
            eventually("all registered", lambda: self.counts()["registered"] >= count, seconds)
        except TimeoutError as error:
            events = [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()[-15:]]
            said = [f"{event['event']}: {event.get('reason')}" for event in events]
            raise AssertionError("\n".join([str(error), str(self.counts()), *said])) from error

    def check(self, count: int) -> None:
        """Check that nothing was lost, done twice or registered twice."""
        runs = self.desk.runs()
        assert Counter(run["state"] for run in runs) == {"registered": count}
        results = {Path(run["result"]).name for run in runs}
        assert len(results) == len({run["run"] for run in runs}) == count
        assert set(self.witness.seen) == results
        replaced = {name: inodes for name, inodes in self.witness.seen.items() if len(inodes) > 1}
        assert not replaced
        left = [path.name for path in (self.folder / "out").iterdir() if path.name.endswith(".partial")]
        assert not left
        datasets = self.datasets()
        assert len(datasets) == count
        assert {dataset["pid"] for dataset in datasets} == {run["pid"] for run in runs}
        named = Counter(json.dumps(dataset["scientificMetadata"]["run"]) for dataset in datasets)
        assert set(named.values()) == {1}

    def datasets(self) -> list[dict[str, Any]]:
        said = self.desk.run("catalog", "list", "--json", "--type", "derived", "--catalog", str(self.catalogue.path))
        found: list[dict[str, Any]] = json.loads(said)
        return found


def during(seconds: float, act: Callable[[], Any], undo: Callable[[], Any]) -> None:
    """Do something, and undo it after a while."""
    act()
    try:
        time.sleep(seconds)
    finally:
        undo()
