"""A user's folder with a site file, a recipe and scans, and the command line in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hpcdaas.io.nxtomo_writer import write_simulation
from hpcdaas.tomo.simulate import Simulation, SimulationParameters

if TYPE_CHECKING:
    from private_slurm import Cluster

SITE = """
name = "private"
[[partition]]
name = "day"
cores = 2
memory = "2 GB"
time = "1 day"
nodes = 2
{more}
"""
RECIPE = """
name = "fast"
[scan]
center = 31.5
[[step]]
use = "flatfield"
[[step]]
use = "minus_log"
[[step]]
use = "fbp"
"""


class Desk:
    """A user's folder with a site file, a recipe, and scans.

    Parameters
    ----------
    folder : Path
    cluster : Cluster, optional
        Where runs go. Default: this machine by itself, and no site file.
    """

    def __init__(self, folder: Path, cluster: Cluster | None = None) -> None:
        self.folder, self._cluster = folder, cluster
        for name in ("scans", "out"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "r.toml").write_text(RECIPE)
        if cluster:
            self.site()

    @property
    def cluster(self) -> Cluster:
        assert self._cluster
        return self._cluster

    def site(self, more: str = "") -> None:
        """Write the site file."""
        (self.folder / "site.toml").write_text(SITE.format(more=more) if self._cluster else more)

    def scan(self, name: str = "bone 1.nxs", seed: int = 0, **size: int) -> Path:
        path = self.folder / "scans" / name
        parameters = SimulationParameters(seed=seed, **{"rows": 4, "columns": 64, "angles": 48, **size})
        write_simulation(path, Simulation(parameters))
        return path

    def start(
        self, *arguments: object, stderr: int | IO[bytes] = subprocess.PIPE, stdin: int | None = None
    ) -> subprocess.Popen[str]:
        environment = self._cluster.environment if self._cluster else dict(os.environ)
        home = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("DATA", "CACHE", "STATE", "CONFIG")}
        return subprocess.Popen(
            [Path(sys.executable).with_name("hpcdaas"), *map(str, arguments)], cwd=self.folder, text=True,
            env={**environment, **home}, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip

    def run(self, *arguments: object, code: int = 0) -> str:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{out}\n{err}"
        return out if code == 0 else out + err

    def submit(self, scans: Sequence[Path], *more: str, code: int = 0) -> str:
        return self.run("submit", *scans, "-r", "r.toml", "-o", "out/", *more, code=code)

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("status", "--json"))["runs"]
        return found

    def states(self) -> list[str]:
        return [run["state"] for run in self.runs()]

    def datasets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("catalog", "list", "--json", "--type", "derived"))
        return found
