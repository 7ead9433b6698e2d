"""Runs `hpcdaas` as a user does, with a catalogue and caches of its own, and makes scans for it.

A process takes seconds to import what it needs. Tests that start many fork them from one that has
imported it already, and has done nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
from numpy.typing import NDArray

import tomo_phantom
from hpcdaas.cli.main import main
from hpcdaas.io.nxtomo_writer import TomoFields, write_nxtomo

#: What a batch job or a launcher leaves in the environment would change what a run does.
FOREIGN = ("SLURM_", "OMPI_", "PMI_", "MV2_", "HPCDAAS_")
#: The program, for processes that change something of it first.
MAIN = "from hpcdaas.cli.main import main; main()"
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    ["hpcdaas.cli.main", "hpcdaas.pipeline", "hpcdaas.backend.cpu", "hpcdaas.view.figures", "rich.progress"]
)


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)

    @property
    def message(self) -> list[str]:
        """The lines of the error message: all from ``hpcdaas:`` on."""
        lines = self.err.splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith("hpcdaas:")]
        assert len(starts) == 1, self.err
        return lines[starts[0] :]


class Running:
    """A process that runs, and the files that hold what it says."""

    def __init__(self, process: Any, log: Path) -> None:
        self._process, self._log = process, log
        self.pid: int = process.pid

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for it; says whether it has ended."""
        self._process.join(seconds)
        return self._process.exitcode is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> Ended:
        """Wait for it, and give what it left."""
        assert self.wait(200), "it hangs"
        out, err = (Path(f"{self._log}.{name}").read_text() for name in ("out", "err"))
        return Ended(self._process.exitcode, out, err)


def _child(script: str, arguments: list[str], environment: dict[str, str], log: str) -> None:
    """Become a process that was started from a shell."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{name}", os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w") for number in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["hpcdaas", *arguments]
    exec(script, {"__name__": "__main__"})


class CommandLine:
    """The command line; `folder` becomes the home of catalogue and caches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        self.environment |= {"XDG_DATA_HOME": str(folder / "data-home"), "XDG_CACHE_HOME": str(folder / "cache-home")}

    def start(self, *arguments: object, script: str = MAIN, env: Mapping[str, str] | None = None) -> Running:
        """Start a process that runs the program, or a script that runs it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / uuid.uuid4().hex
        for name in ("out", "err"):
            Path(f"{log}.{name}").touch()
        given = (script, list(map(str, arguments)), self.environment | dict(env or {}), str(log))
        process = FORKING.Process(target=_child, args=given, daemon=True)
        process.start()
        return Running(process, log)

    def run(self, *arguments: object, script: str = MAIN, env: Mapping[str, str] | None = None) -> Ended:
        """Run a process to its end."""
        return self.start(*arguments, script=script, env=env).end()

    def installed(self, *arguments: object) -> Ended:
        """Run the installed program itself."""
        program = Path(sysconfig.get_path("scripts")) / "hpcdaas"
        done = subprocess.run(
            [program, *map(str, arguments)],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=200,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def here(self, *arguments: object, env: Mapping[str, str] | None = None) -> Ended:
        """Run in this process: many times faster, for what doesn't depend on being a process."""
        out, err = io.StringIO(), io.StringIO()
        # the FFT planner of this process knows plans of other tests: what it keeps must not reach other processes
        environment = self.environment | {"XDG_CACHE_HOME": str(self.folder / "cache-here")} | dict(env or {})
        argv = ["hpcdaas", *map(str, arguments)]
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch.object(sys, "argv", argv),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as stop:
                return Ended(int(stop.code or 0), out.getvalue(), err.getvalue())
        raise AssertionError("main() returned")

    def reconstruct(self, file: Path, out: Path, *arguments: object) -> dict[str, Any]:
        """Reconstruct in this process, which must go well; gives what ``--json`` says."""
        ended = self.here("reconstruct", file, "-o", out, *arguments, "--json")
        assert ended.code == 0, ended.out + ended.err
        found: dict[str, Any] = ended.json
        return found

    def datasets(self, kind: str = "derived") -> list[dict[str, Any]]:
        """What the catalogue holds."""
        found: list[dict[str, Any]] = self.here("catalog", "list", "--type", kind, "--json").json
        return found


def everything(folder: Path) -> set[str]:
    """All names below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def voxels(path: Path) -> NDArray[Any]:
    """The volume of a result file."""
    with h5py.File(path, "r") as file:
        return np.asarray(file["entry/data/data"][()])


DARK, FLAT = 100.0, 20000.0


@dataclass(frozen=True)
class Shape:
    """Of a small scan; its sample changes from row to row, so that rows can't be mistaken."""

    angles: int = 60
    rows: int = 12
    columns: int = 64
    center: float = 33.2
    turn: float = 180.0

    @property
    def theta(self) -> NDArray[np.float64]:
        """Degrees."""
        return np.arange(self.angles) * (self.turn / self.angles)

    def line_integrals(self) -> NDArray[np.float64]:
        """Exact line integrals in pixels × attenuation per pixel, (angle, row, column)."""
        radius = self.columns / 2 - abs(self.center - (self.columns - 1) / 2) - 1
        one = tomo_phantom.sinogram(tomo_phantom.HEAD, np.deg2rad(self.theta), self.columns, self.center, radius)
        scale = 1 + 0.5 * np.arange(self.rows) / self.rows
        return one[:, None] * scale[:, None]

    def frames(self, dtype: str = "f8") -> NDArray[Any]:
        """2 darks, 3 flats, projections of counts."""
        frames = np.empty((5 + self.angles, self.rows, self.columns))
        frames[:2], frames[2:5] = DARK, FLAT
        frames[5:] = DARK + (FLAT - DARK) * np.exp(-self.line_integrals())
        return (np.rint(frames) if np.dtype(dtype).kind == "u" else frames).astype(dtype)

    @property
    def keys(self) -> NDArray[np.uint8]:
        """Image keys of `frames`."""
        return np.repeat(np.array([2, 1, 0], np.uint8), (2, 3, self.angles))

    @property
    def all_angles(self) -> NDArray[np.float64]:
        """Angles of `frames`, degrees."""
        return np.concatenate([np.zeros(5), self.theta])

    def write(self, path: Path, dtype: str = "u2", frames: NDArray[Any] | None = None, **storage: Any) -> Path:
        """Write it as NXtomo."""
        pixel_size = storage.pop("pixel_size", None)
        fields = TomoFields(self.keys, self.all_angles, pixel_size=pixel_size, energy=25e3, distance=0.05)
        write_nxtomo(path, [self.frames(dtype) if frames is None else frames], fields, **storage)
        return path
