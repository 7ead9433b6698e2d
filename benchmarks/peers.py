"""The peers, in a virtual environment and a process of their own, timed between our runs."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Self

from common import ONE_THREAD, ROOT, Report

FOLDER = ROOT / "build" / "peers"
PACKAGES = ("algotom", "astra-toolbox")
NAMES = {"algotom": "algotom dfi", "astra": "ASTRA FBP"}


def peer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the peers are."""
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=FOLDER / "bin" / "python",
        metavar="PATH",
        help="a Python that has algotom and astra-toolbox (default build/peers/bin/python)",
    )
    parser.add_argument("--install-peers", action="store_true", help=f"make {FOLDER.relative_to(ROOT)} first")


def install(report: Report) -> None:
    """Make the peers' environment from the package index."""
    venv.create(FOLDER, with_pip=True)
    done = subprocess.run([FOLDER / "bin" / "pip", "install", "-q", *PACKAGES], stdout=sys.stderr, check=False)
    if done.returncode:
        report.notes.append(f"pip couldn't install {' and '.join(PACKAGES)}: no ratios to them.")


class Peers:
    """The process of the peers; `tasks` holds those that there are, under the names in the table.

    Parameters
    ----------
    options : Namespace
        With what `peer_options` has added.
    report : Report
        Is told the peers' versions, and what is missing.
    columns, angles : int
        Size of their sinogram.
    wanted : tuple of str
        Which: ``algotom``, ``astra``.
    """

    def __init__(
        self, options: argparse.Namespace, report: Report, columns: int, angles: int, wanted: tuple[str, ...]
    ) -> None:
        if options.install_peers:
            install(report)
        self.tasks: dict[str, Callable[[], float]] = {}
        self._process: subprocess.Popen[str] | None = None
        found: dict[str, str] = {}
        if options.peers_python.exists():
            script = Path(__file__).with_name("peers_tomo.py")
            command = [options.peers_python, script, str(columns), str(angles), *wanted]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
            )
            found = json.loads(self._answer())
        for name in wanted:
            if name in found:
                self.tasks[NAMES[name]] = lambda name=name: self._time(name)
                report.versions[name] = found[name]
            else:
                report.notes.append(f"{NAMES[name]}: not installed (--install-peers), so there is no ratio to it.")

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The peers' process has ended; what it said stands above.")
        return line

    def _time(self, name: str) -> float:
        assert self._process is not None
        assert self._process.stdin is not None
        print("time", name, file=self._process.stdin, flush=True)
        return float(json.loads(self._answer())["seconds"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()
