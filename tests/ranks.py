"""Starts the program, or a script, as many ranks under a real launcher, and never waits for it for ever."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from command_line import FOREIGN, MAIN, Ended

#: Seconds after which ranks that have not ended hang.
HANGS = 120
#: Runs the program with one thing broken on one rank: BREAK is "rank:module:class:method:call".
BROKEN = """
import importlib, os
from hpcdaas.parallel.launcher import announced
rank, module, kind, method, call = os.environ.pop("BREAK").split(":")
if announced().rank == int(rank):
    owner = getattr(importlib.import_module(module), kind)
    whole, calls = getattr(owner, method), []
    def broken(*args, **options):
        calls.append(None)
        if len(calls) == int(call):
            raise OSError(28, "No space left on device") if method == "write" else RuntimeError("broken on purpose")
        return whole(*args, **options)
    setattr(owner, method, broken)
from hpcdaas.cli.main import main
main()
"""


def mpiexec() -> str:
    """Give the launcher that belongs to mpi4py here."""
    beside = Path(sysconfig.get_path("scripts")) / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    missing = [name for name, there in (("mpiexec", found), ("mpi4py", _has_mpi4py())) if not there]
    if missing and os.environ.get("CI"):
        pytest.fail(f"There is no {' and no '.join(missing)}: pip install mpi4py mpich.")
    if missing or found is None:
        pytest.skip(f"There is no {' and no '.join(missing)}: pip install mpi4py mpich.")
    return found


def _has_mpi4py() -> bool:
    return (
        subprocess.run([sys.executable, "-c", "import mpi4py"], check=False, stderr=subprocess.DEVNULL).returncode == 0
    )


@dataclass
class Ranks:
    """Ranks that run."""

    process: subprocess.Popen[str]

    def signal(self, number: signal.Signals) -> None:
        """Send the launcher a signal."""
        self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for them, and give what they left."""
        try:
            out, err = self.process.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            out, err = self.process.communicate()
            pytest.fail(f"They hang.\n{out}\n{err}")
        return Ended(self.process.returncode, out, err)


@dataclass
class Launcher:
    """Starts ranks; `folder` becomes the home of catalogue and caches.

    Another MPI's launcher, with its options, and the Python whose mpi4py uses it, may be given.
    """

    folder: Path
    mpiexec: tuple[str, ...] = ()
    python: str = sys.executable

    def start(
        self, ranks: int, *arguments: object, script: str = MAIN, env: Mapping[str, str] | None = None
    ) -> Ranks:  # fmt: skip
        """Start the program, or a script that runs it; with one rank without a launcher."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        environment |= {"XDG_DATA_HOME": str(self.folder / "data-home"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        launcher = [*(self.mpiexec or (mpiexec(),)), "-n", str(ranks)] if ranks > 1 else []
        return Ranks(
            subprocess.Popen(
                [*launcher, self.python, "-c", script, *map(str, arguments)],
                env=environment | dict(env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )
        )  # fmt: skip

    def run(self, ranks: int, *arguments: object, script: str = MAIN, env: Mapping[str, str] | None = None) -> Ended:
        """Run them to their end."""
        return self.start(ranks, *arguments, script=script, env=env).end()

    def broken(self, ranks: int, what: str, *arguments: object) -> Ended:
        """Run the program with one thing broken: "rank:module:class:method:call"."""
        return self.run(ranks, *arguments, script=BROKEN, env={"BREAK": what})
