"""Peers, each in a virtual environment and a process of its own, that do what they are asked for between our runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from common import ONE_THREAD, ROOT, Report
from hpcdaas.bench.tomo_job import Job
from peers.known import KNOWN, Known
from peers.serve import NO_GPU

NOT_INSTALLED = "not installed (--install-peers)"


def peer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the peers are."""
    folder = (ROOT / "build" / "peers").relative_to(ROOT)
    parser.add_argument(
        "--peers-python",
        type=Path,
        metavar="PATH",
        help=f"a Python that has all peers (default {folder}/NAME/bin/python of each)",
    )
    parser.add_argument("--install-peers", action="store_true", help=f"make the environments in {folder} first")


def has_gpu() -> bool:
    """Say whether there is a GPU of the kind that peers run on."""
    return Path("/dev/nvidia0").exists()


def install(peer: Known) -> str:
    """Make a peer's environment from the package index; say why it can't be, in pip's words, or nothing."""
    if not peer.python.exists():
        venv.create(peer.folder, with_pip=True, symlinks=True)
    for packages in peer.packages:
        command = [peer.python, "-m", "pip", "install", "-q", *packages]
        done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return first_error(done.stderr) or f"pip ended with code {done.returncode}"
    return ""


def first_error(said: str) -> str:
    """Give the first line in which pip says what is wrong."""
    found = re.search(r"^\s*(?:ERROR|error): (.+)$", said, re.MULTILINE)
    return f"pip: {found.group(1)}" if found else ""


def write_sinograms(path: Path, job: Job, rows: slice) -> None:
    """Write what tomographic peers start from: some rows of a job."""
    np.savez(path, data=job.data[:, rows], angles=job.plan.angles, center=job.plan.center)


class Peer:
    """The process of one peer on some threads.

    Parameters
    ----------
    known : Known
    python : Path
        The interpreter that has it.
    data : Path
        What it works on.
    threads : int

    Attributes
    ----------
    versions : dict
        Of what it runs.
    absent : dict
        Tasks that can't be done here, each with why.
    """

    def __init__(self, known: Known, python: Path, data: Path, threads: int) -> None:
        self.known, self.versions = known, {}
        command = [python, Path(__file__).parent / known.script, data, str(threads)]
        environment = os.environ | dict.fromkeys(ONE_THREAD, str(threads))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        there = self._answer()
        if "missing" in there:
            self.absent: dict[str, str] = dict.fromkeys(known.rows, there["missing"])
        else:
            self.versions, self.absent = there["versions"], there["absent"]

    def slices(self, task: str, out: Path | None = None) -> float:
        """Give the seconds of reconstructing all slices; write them, (row, y, x)."""
        return float(self._ask(task=task, out=out and str(out))[0])

    def run(self, task: str, modes: int, at: Sequence[int], out: Path | None = None) -> list[float]:
        """Give the seconds from the start to some counts of iterations; write their objects."""
        return self._ask(task=task, modes=modes, at=list(at), out=out and str(out))

    def iteration(self, task: str, modes: int, count: int) -> float:
        """Give the seconds of an iteration after the first, the mean of some."""
        first, last = self.run(task, modes, (1, 1 + count))
        return (last - first) / count

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, **request: Any) -> list[float]:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        seconds: list[float] = self._answer()["seconds"]
        return seconds

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The process of {self.known.name} has ended; what it said stands above.")
        found: dict[str, Any] = json.loads(line)
        return found


class Peers:
    """Some peers' processes.

    Parameters
    ----------
    options : Namespace
        With what `peer_options` has added.
    report : Report
        Is told the peers' versions, and what is missing.
    names : iterable of str
        Which of them.
    data : Path
    threads : int

    Attributes
    ----------
    absent : dict
        What isn't there, by the names in tables, each with why.
    """

    def __init__(
        self, options: argparse.Namespace, report: Report, names: Iterable[str], data: Path, threads: int = 1
    ) -> None:
        self._peers: list[Peer] = []
        self.absent: dict[str, str] = {}
        for known in (KNOWN[name] for name in names):
            why = NO_GPU if known.on_gpu and not has_gpu() else install(known) if options.install_peers else ""
            python = options.peers_python or known.python
            if why or not python.exists():
                self.absent |= dict.fromkeys(known.rows.values(), why or NOT_INSTALLED)
                continue
            peer = Peer(known, python, data, threads)
            self._peers.append(peer)
            self.absent |= {known.rows[task]: said for task, said in peer.absent.items()}
            report.versions |= peer.versions

    @property
    def tasks(self) -> dict[str, tuple[Peer, str]]:
        """What can be done, by the names in tables: a peer, and the task that it is asked for."""
        return {
            row: (peer, task)
            for peer in self._peers
            for task, row in peer.known.rows.items()
            if task not in peer.absent
        }

    def slices(self, rows: Iterable[str]) -> dict[str, Callable[[], float]]:
        """Give those of some rows that there are, as tasks that answer with their seconds; warm, since some compile."""
        found: dict[str, Callable[[], float]] = {}
        for row, (peer, task) in self.tasks.items():
            if row in rows:
                peer.slices(task)
                found[row] = partial(peer.slices, task)
        return found

    def note(self, report: Report, rows: Iterable[str]) -> None:
        """Say in a report which of some rows are missing, and why."""
        for row in rows:
            if row in self.absent:
                report.notes.append(f"{row}: {self.absent[row]}, so there is no ratio to it.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self._peers:
            peer.close()


@contextmanager
def on_threads(
    options: argparse.Namespace, report: Report, names: Iterable[str], data: Path, counts: Iterable[int]
) -> Iterator[dict[int, Peers]]:
    """Give some peers by numbers of threads: processes of their own; see `Peers`."""
    with ExitStack() as stack:
        found: dict[int, Peers] = {}
        for threads in counts:
            found[threads] = stack.enter_context(Peers(options, report, names, data, threads))
            options = argparse.Namespace(**(vars(options) | {"install_peers": False}))  # once is enough
        yield found
