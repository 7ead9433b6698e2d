"""The peers, in a virtual environment and a process of their own, timed between our runs."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from common import ONE_THREAD, ROOT, Report


@dataclass(frozen=True)
class Kind:
    """The peers of one technique.

    Attributes
    ----------
    folder : Path
        Their virtual environment.
    script : str
        What runs in it, of this folder.
    packages : tuple of tuple of str
        What pip is asked for, one call after the other.
    names : mapping
        What they are called in the table: of each task, which is a peer's name and what else the script is told.
    """

    folder: Path
    script: str
    packages: tuple[tuple[str, ...], ...]
    names: Mapping[str, str]

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"


TOMOGRAPHY = Kind(
    ROOT / "build" / "peers",
    "peers_tomo.py",
    (("algotom", "astra-toolbox"),),
    {"algotom": "algotom dfi", "astra": "ASTRA FBP"},
)
#: What pty-chi imports beside PyTorch; torchvision, of which LSQ-ML uses nothing, has to fit PyTorch's build.
NEEDED = (
    "numpy",
    "h5py",
    "scipy",
    "tqdm",
    "matplotlib",
    "pandas",
    "scikit-image",
    "tifffile",
    "pydantic",
    "scikit-learn",
)
PTYCHOGRAPHY = Kind(
    ROOT / "build" / "peers-ptycho",
    "peers_ptycho.py",
    (("torch==2.13.0", *NEEDED), ("--no-deps", "ptychi==2.2.0")),
    {"ptychi 1": "pty-chi LSQ-ML, one mode", "ptychi 2": "pty-chi LSQ-ML, two modes"},
)


def peer_options(parser: argparse.ArgumentParser, kind: Kind) -> None:
    """Add the options that say where the peers are."""
    peers = " and ".join(dict.fromkeys(task.split()[0] for task in kind.names))
    folder = kind.folder.relative_to(ROOT)
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=kind.python,
        metavar="PATH",
        help=f"a Python that has {peers} (default {folder}/bin/python)",
    )
    parser.add_argument("--install-peers", action="store_true", help=f"make {folder} first")


def install(kind: Kind, report: Report) -> None:
    """Make the peers' environment from the package index."""
    venv.create(kind.folder, with_pip=True)
    for packages in kind.packages:
        done = subprocess.run([kind.python, "-m", "pip", "install", "-q", *packages], stdout=sys.stderr, check=False)
        if done.returncode:
            report.notes.append(f"pip couldn't install {' '.join(packages)}.")


class Peers:
    """The process of the peers; `tasks` holds those that there are, under the names in the table.

    Parameters
    ----------
    options : Namespace
        With what `peer_options` has added.
    report : Report
        Is told the peers' versions, and what is missing.
    kind : Kind
    data : list of str
        What the script is told of their data.
    wanted : tuple of str
        Which tasks, of ``kind.names``.
    """

    def __init__(
        self, options: argparse.Namespace, report: Report, kind: Kind, data: list[str], wanted: tuple[str, ...]
    ) -> None:
        if options.install_peers:
            install(kind, report)
        self.tasks: dict[str, Callable[[], float]] = {}
        self._process: subprocess.Popen[str] | None = None
        found: dict[str, str] = {}
        peers = list(dict.fromkeys(task.split()[0] for task in wanted))
        if options.peers_python.exists():
            command = [options.peers_python, Path(__file__).with_name(kind.script), *data, *peers]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
            )
            found = json.loads(self._answer())
        report.versions |= found
        for task in wanted:
            if task.split()[0] in found:
                self.tasks[kind.names[task]] = lambda task=task: self.ask("time", task)
        for peer in (peer for peer in peers if peer not in found):
            report.notes.append(f"{peer}: not installed (--install-peers), so there is no ratio to it.")

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The peers' process has ended; what it said stands above.")
        return line

    def ask(self, *words: object) -> float:
        """Give the seconds that something took."""
        assert self._process is not None
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        return float(json.loads(self._answer())["seconds"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()
