"""`mpiexec -n N hpcdaas reconstruct`: the same result, the same errors, and no hang."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from command_line import Shape, everything, voxels
from ptycho_scans import FAR, recipe, write_simulated
from ranks import Launcher

SHAPE = Shape(rows=37, columns=96, angles=61, center=49.3)
#: What breaks, and in which call: reading, computing, exchanging, writing.
TOMOGRAPHY = {
    "reading": "hpcdaas.tomo.source:Source:read:2",
    "computing": "hpcdaas.backend.cpu:CpuBackend:fbp:1",
    "exchanging": "hpcdaas.parallel.reslice:Reslice:exchange:5",
    "writing": "hpcdaas.direct:DirectWriter:write:1",
}
PTYCHOGRAPHY = {
    "reading": "hpcdaas.ptycho.source:Source:_read_run:1",
    "computing": "hpcdaas.backend.cpu_views:CpuViews:lsq:2",
    "exchanging": "hpcdaas.ptycho.beside:GroupsBeside:complete:7",
    "writing": "hpcdaas.pipeline.ptycho_outcome:Outcome:part:1",
}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return Launcher(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SHAPE.write(tmp_path_factory.mktemp("scan") / "scan.nxs")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_simulated(tmp_path_factory.mktemp("scan") / "scan.cxi", FAR)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def command(scan: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("reconstruct", scan, "-o", out / "result.h5", "--threads", 1, *more)


def metrics(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        found = {name: item[()] for name, item in file["entry/metrics"].items()}
        return {name: value for name, value in found.items() if not name.startswith("seconds")}


def same(launcher: Launcher, ranks: int, scan: Path, out: Path, *more: object, near: float = 1e-5) -> dict[str, Any]:
    """Run with one rank and with many; both must say the same. Gives what the many say with --json."""
    one = launcher.run(1, *command(scan, out, "--json", *more))
    assert one.code == 0, one.err
    (out / "result.h5").rename(out / "one.h5")
    many = launcher.run(ranks, *command(scan, out, "--json", *more))
    assert many.code == 0, many.err
    a, b = voxels(out / "one.h5").astype(float), voxels(out / "result.h5").astype(float)
    assert np.linalg.norm(a - b) <= near * np.linalg.norm(a)
    assert np.abs(a - b).max() <= 10 * near * np.abs(a).max()
    assert metrics(out / "one.h5") == metrics(out / "result.h5")
    found: dict[str, Any] = many.json
    assert {k: v for k, v in found.items() if k not in ("seconds", "peak_memory_bytes")} == {
        k: v for k, v in one.json.items() if k not in ("seconds", "peak_memory_bytes")
    }
    assert not list(out.glob("*.partial"))
    return found


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_same_volume(launcher: Launcher, scan: Path, out: Path, ranks: int) -> None:
    found = same(launcher, ranks, scan, out)
    assert found["shape"] == [37, 96, 96]
    listed = launcher.run(1, "catalog", "list", "--type", "derived", "--json")
    assert [d["pid"] for d in json.loads(listed.out)] == [found["pid"]]


def test_a_halo_of_rows(launcher: Launcher, scan: Path, out: Path) -> None:
    steps = ("use = 'outliers'", "use = 'flatfield'", "use = 'phase'\ndelta_beta = 50.0", "use = 'minus_log'",
             "use = 'center'", "use = 'fbp'")  # fmt: skip
    same(launcher, 3, scan, out, "-r", recipe(out.parent, *steps), "-s", "scan.pixel_size=1 um")


def test_integers_and_rows_apart(launcher: Launcher, scan: Path, out: Path) -> None:
    same(launcher, 2, scan, out, "-s", "store.dtype=uint16", "--rows", "1:30:3", near=1e-4)


def test_fewer_rows_than_ranks(launcher: Launcher, scan: Path, out: Path) -> None:
    same(launcher, 4, scan, out, "--rows", "5:8")


@pytest.mark.parametrize(("memory", "plan"), [("8GB", "held in memory"), ("0.465GB", "the file is read 9 times")])
def test_whole_frames(launcher: Launcher, out: Path, memory: str, plan: str) -> None:
    """Compressed frames: held where they fit, else several passes."""
    tall = Shape(rows=256, columns=128, angles=200, center=64.2)
    scan = tall.write(out / "scan.nxs", chunks=(1, 256, 128), **hdf5plugin.LZ4())
    same(launcher, 2, scan, out, "--memory", memory)
    (out / "result.h5").unlink()
    assert plan in launcher.run(2, *command(scan, out, "--memory", memory)).err


def test_memory_is_shared(launcher: Launcher, scan: Path, out: Path) -> None:
    ended = launcher.run(2, "reconstruct", scan, "-o", out / "result.h5", "--memory", "1MB")
    assert ended.code == 2
    assert "not enough for one row of this scan on each of 2 ranks" in ended.message[0]
    assert everything(out) == set()


def test_preview(launcher: Launcher, scan: Path, out: Path) -> None:
    ended = launcher.run(2, "reconstruct", scan, "-o", out / "result.h5", "--preview", "--json")
    assert ended.code == 0, ended.err
    assert Path(ended.json["picture"]).is_file()


def test_twice_is_once(launcher: Launcher, scan: Path, out: Path) -> None:
    assert launcher.run(2, *command(scan, out)).code == 0
    before = (out / "result.h5").stat().st_mtime_ns
    again = launcher.run(3, *command(scan, out, "--json"))
    assert again.code == 0, again.err
    assert again.json["existed"]
    assert (out / "result.h5").stat().st_mtime_ns == before


def test_ptychography(launcher: Launcher, views: Path, out: Path) -> None:
    steps = recipe(
        out.parent, "use = 'lsqml'\niterations = 10\ngroup = 16", "use = 'ml'\niterations = 3", "use = 'halves'"
    )
    for ranks, name in ((1, "one.h5"), (3, "result.h5")):
        ended = launcher.run(ranks, *command(views, out, "-r", steps, "--json"))
        assert ended.code == 0, ended.err
        if ranks == 1:
            (out / "result.h5").rename(out / name)
    with h5py.File(out / "one.h5") as one, h5py.File(out / "result.h5") as many:
        for name in ("object/data", "probe/data", "positions", "object/light"):
            a, b = one["entry"][name][()], many["entry"][name][()]
            assert np.linalg.norm(a - b) < 1e-3 * np.linalg.norm(a), name
        phase = many["entry/data/data"][()]
        assert np.abs(phase - np.angle(many["entry/object/data"][0])).max() < 1e-6
        assert many["entry/quality/error"][()] == pytest.approx(one["entry/quality/error"][()], rel=1e-3)
    assert not list(out.glob("*.partial"))


TABLE = [(2, 0), (2, 1), (3, 1), *((4, rank) for rank in range(4))]
FAULTS = [(3, 0), (3, 2), *(pytest.param(*one, marks=pytest.mark.long) for one in TABLE)]


@pytest.mark.parametrize(("ranks", "rank"), FAULTS)
@pytest.mark.parametrize("what", TOMOGRAPHY)
def test_a_fault_on_one_rank(launcher: Launcher, scan: Path, out: Path, what: str, ranks: int, rank: int) -> None:
    ended = launcher.broken(ranks, f"{rank}:{TOMOGRAPHY[what]}", *command(scan, out))
    fault(ended, "No space left" if what == "writing" else "broken on purpose")
    assert not (out / "result.h5").exists()
    again = launcher.run(2, *command(scan, out))
    assert again.code == 0, again.err


@pytest.mark.parametrize(("ranks", "rank"), FAULTS)
@pytest.mark.parametrize("what", PTYCHOGRAPHY)
def test_a_fault_in_ptychography(
    launcher: Launcher, views: Path, out: Path, what: str, ranks: int, rank: int
) -> None:  # fmt: skip
    steps = recipe(out.parent, "use = 'lsqml'\niterations = 3\ngroup = 16")
    ended = launcher.broken(ranks, f"{rank}:{PTYCHOGRAPHY[what]}", *command(views, out, "-r", steps))
    fault(ended, "broken on purpose")
    assert not (out / "result.h5").exists()


def fault(ended: Any, said: str) -> None:
    """A fault ends with code 1, and is said once."""
    assert ended.code == 1, ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("hpcdaas:")]
    assert len(lines) == 1, ended.err
    assert "Rank" in lines[0]
    assert said in lines[0]


def test_bad_data_leave_nothing(launcher: Launcher, out: Path, tmp_path: Path) -> None:
    frames = SHAPE.frames("f4")
    frames[5 + 50, 30, 7] = np.nan
    scan = SHAPE.write(tmp_path / "nan.nxs", frames=frames)
    ended = launcher.run(3, *command(scan, out, "--center", "49.3"))
    assert ended.code == 2, ended.err
    assert "Projection 50" in ended.message[0]
    assert everything(out) == set()


SLOW = """
import os, time
from hpcdaas.parallel.launcher import announced
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.cpu_views import CpuViews
def slowly(kind, name):
    whole = getattr(kind, name)
    def run(*args, **options):
        time.sleep(0.2)
        return whole(*args, **options)
    setattr(kind, name, run)
slowly(CpuBackend, "fbp"); slowly(CpuViews, "lsq")
open(os.path.join(os.environ.pop("PIDS"), str(announced().rank)), "w").write(str(os.getpid()))
from hpcdaas.cli.main import main
main()
"""


def pid_of(folder: Path, rank: int) -> int:
    return int((folder / str(rank)).read_text())


def begun(out: Path) -> bool:
    return any((out / "result.h5.partial").glob("journal*"))


def until(true: Any, seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it doesn't come"
        time.sleep(0.02)


def test_killed_rank_ends_all(launcher: Launcher, scan: Path, out: Path, tmp_path: Path) -> None:
    killed_rank_ends_all(launcher, scan, out, tmp_path)


def killed_rank_ends_all(launcher: Launcher, scan: Path, out: Path, tmp_path: Path) -> None:
    ranks = launcher.start(3, *command(scan, out), script=SLOW, env={"PIDS": str(tmp_path)})
    until((out / "result.h5.partial").exists)
    os.kill(pid_of(tmp_path, 1), signal.SIGKILL)
    start = time.monotonic()
    assert ranks.end().code != 0
    assert time.monotonic() - start < 20
    again = launcher.run(2, *command(scan, out))
    assert again.code == 0, again.err


@pytest.mark.parametrize("to", ["launcher", "rank"])
def test_interrupted_tomography_goes_on(launcher: Launcher, tmp_path: Path, out: Path, to: str) -> None:
    interrupted_goes_on(launcher, tmp_path, out, to)


def interrupted_goes_on(launcher: Launcher, tmp_path: Path, out: Path, to: str) -> None:
    tall = Shape(rows=400, columns=96, angles=60, center=49.3)
    scan = tall.write(tmp_path / "tall.nxs")
    whole = launcher.run(1, *command(scan, out))
    assert whole.code == 0, whole.err
    expected, counted = voxels(out / "result.h5"), metrics(out / "result.h5")
    (out / "result.h5").unlink()
    ranks = launcher.start(3, *command(scan, out), script=SLOW, env={"PIDS": str(tmp_path)})
    until(lambda: begun(out))
    if to == "launcher":
        ranks.signal(signal.SIGUSR1)
    else:
        os.kill(pid_of(tmp_path, 2), signal.SIGUSR1)
    ended = ranks.end()
    assert ended.code == 3, ended.err
    assert (out / "result.h5.partial").exists()
    done = sum(1 for path in (out / "result.h5.partial").glob("journal*") for line in path.open() if line.strip())
    assert 0 < done < 25
    again = launcher.run(2, *command(scan, out))
    assert again.code == 0, again.err
    assert np.linalg.norm(voxels(out / "result.h5") - expected) <= 1e-5 * np.linalg.norm(expected)
    assert metrics(out / "result.h5") == counted


@pytest.mark.parametrize("then", [1, 2])
def test_interrupted_ptychography_goes_on(launcher: Launcher, views: Path, out: Path, then: int) -> None:
    steps = recipe(
        out.parent, "use = 'lsqml'\niterations = 12\ngroup = 16\nmomentum = 0.3", "use = 'dm'\niterations = 3"
    )
    arguments = command(views, out, "-r", steps, "--json")
    whole = launcher.run(1, *arguments)
    assert whole.code == 0, whole.err
    with h5py.File(out / "result.h5") as file:
        expected = file["entry/object/data"][()]
    (out / "result.h5").unlink()
    ranks = launcher.start(3, *arguments, script=SLOW, env={"PIDS": str(out.parent)})
    until((out / "result.h5.partial").exists)
    time.sleep(1.0)
    ranks.signal(signal.SIGUSR1)
    ended = ranks.end()
    assert ended.code == 3, ended.err
    assert len(list((out / "result.h5.partial").glob("checkpoint*.npz"))) == 3
    again = launcher.run(then, *arguments)
    assert again.code == 0, again.err
    with h5py.File(out / "result.h5") as file:
        assert np.linalg.norm(file["entry/object/data"][()] - expected) < 1e-3 * np.linalg.norm(expected)
        assert len(file["entry/metrics/part"]) == 15


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_algorithms_on_many_ranks(launcher: Launcher, ranks: int) -> None:
    """The tests in `tests/mpi`, as many ranks."""
    arguments = ("--with-mpi", "-p", "no:cacheprovider", Path(__file__).with_name("mpi"))
    script = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    ended = launcher.run(ranks, *arguments, script=script)
    assert ended.code == 0, ended.out + ended.err
    assert " passed" in ended.out
