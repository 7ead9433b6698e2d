"""Runs `hpcdaas` as a user does, with a catalogue and caches of its own, and makes scans for it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import tomo_phantom
from numpy.typing import NDArray

from hpcdaas.cli.main import main
from hpcdaas.io.nxtomo_writer import TomoFields, write_nxtomo

#: What a batch job or a launcher leaves in the environment would change what a run does.
FOREIGN = ("SLURM_", "OMPI_", "PMI_", "MV2_", "HPCDAAS_")


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


class CommandLine:
    """The command line; `folder` becomes the home of catalogue and caches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        self.environment |= {"XDG_DATA_HOME": str(folder / "data-home"), "XDG_CACHE_HOME": str(folder / "cache-home")}

    def start(self, *arguments: object, script: str | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a process: the installed program, or a Python script that calls its `main`."""
        installed = Path(sysconfig.get_path("scripts")) / "hpcdaas"
        program = [str(installed)] if script is None else [sys.executable, "-c", script]
        return subprocess.Popen(
            [*program, *map(str, arguments)], env=self.environment | options.pop("env", {}), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def run(self, *arguments: object, **options: Any) -> Ended:
        """Run a process to its end."""
        return self.end(self.start(*arguments, **options))

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for a process."""
        out, err = process.communicate(timeout=200)
        return Ended(process.returncode, out, err)

    def here(self, *arguments: object, env: Mapping[str, str] | None = None) -> Ended:
        """Run in this process: many times faster, for what doesn't depend on being a process."""
        out, err = io.StringIO(), io.StringIO()
        environment = self.environment | dict(env or {})
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
