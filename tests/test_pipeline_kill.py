"""Whatever ends a run, the same command goes on and gives the same voxels, once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hpcdaas
from command_line import MAIN, CommandLine, Ended, Running, Shape, everything, voxels
from hpcdaas.errors import DiskFull, NoRoom
from hpcdaas.lease import EXPIRED

SHAPE = Shape(rows=512, columns=96, angles=60, center=49.3)
#: Nothing else is in the folder of a result.
WHOLE = {"result.h5", "result.record.json", "result-ro-crate-metadata.json"}


@dataclass(frozen=True)
class Truth:
    """A scan, and what comes of it where nothing happens."""

    scan: Path
    shell: CommandLine
    voxels: NDArray[Any]
    seconds: float

    def command(self, out: Path) -> tuple[object, ...]:
        return ("reconstruct", self.scan, "-o", out / "result.h5", "--threads", "1")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("truth")
    shell = CommandLine(folder / "home")
    scan = SHAPE.write(folder / "scan.nxs")
    process = shell.start("reconstruct", scan, "-o", folder / "result.h5", "--threads", "1")
    until(lambda: (folder / "result.h5.partial").exists(), process)
    start = time.monotonic()
    ended = process.end()
    assert ended.code == 0, ended.err
    return Truth(scan, shell, voxels(folder / "result.h5"), time.monotonic() - start)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def shell(truth: Truth, tmp_path: Path) -> CommandLine:
    """A catalogue of this test's own; FFT plans are those of the truth, else the last bits could differ."""
    shell = CommandLine(tmp_path / "home")
    shell.environment["XDG_CACHE_HOME"] = truth.shell.environment["XDG_CACHE_HOME"]
    return shell


def until(true: Callable[[], bool], process: Running) -> None:
    """Wait for something while a process runs."""
    while not true() and not process.wait(0.002):
        pass


def journaled(out: Path, count: int = 1) -> bool:
    with contextlib.suppress(OSError):
        return (out / "result.h5.partial" / "journal").read_bytes().count(b"count") >= count
    return False


def at_work(out: Path, process: Running) -> bool:
    with contextlib.suppress(OSError):
        return f'"pid": {process.pid},' in (out / "result.h5.partial" / "lease").read_text()
    return False


def check_whole(truth: Truth, shell: CommandLine, out: Path, ended: Ended) -> None:
    assert ended.code == 0, ended.err
    assert np.array_equal(voxels(out / "result.h5"), truth.voxels)
    assert everything(out) == WHOLE
    assert len(shell.datasets()) == 1
    assert len(shell.datasets("raw")) == 1


# SIGKILL, at random moments


def campaign(truth: Truth, shell: CommandLine, out: Path, kills: int, seed: int) -> None:
    """Kill and go on, again and again; each time a run gets through, look at it and begin anew."""
    rng = random.Random(seed)
    while kills:
        process = shell.start(*truth.command(out))
        until(partial(at_work, out, process), process)
        process.wait(rng.uniform(0, 1.2 * truth.seconds))
        process.signal(signal.SIGKILL)
        ended = process.end()
        killed = ended.code == -signal.SIGKILL
        kills -= killed
        if not killed:
            check_whole(truth, shell, out, ended)
            (out / "result.h5").unlink()
            (out / "result.record.json").unlink()
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_killed_at_random_moments(truth: Truth, shell: CommandLine, out: Path) -> None:
    campaign(truth, shell, out, kills=6, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 14))
def test_killed_often(truth: Truth, shell: CommandLine, out: Path, seed: int) -> None:
    campaign(truth, shell, out, kills=15, seed=seed)


# SIGKILL, at the moments that matter

KILL = """
import os, signal
def kill(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)
"""
MOMENTS = {
    "before the checkpoint": "from hpcdaas.io.partial import Partial\nPartial.save_checkpoint = kill",
    "before a block is noted": """
from hpcdaas.io.partial import Partial
note, done = Partial.note, []
def third(self, *arguments):
    done.append(arguments)
    (kill if len(done) == 3 else note)(self, *arguments)
Partial.note = third
""",
    "while a block is noted": """
from hpcdaas.io.partial import Partial
note, done = Partial.note, []
def torn(self, *arguments):
    note(self, *arguments)
    done.append(arguments)
    if len(done) == 3:
        os.truncate(self._journal, self._journal.stat().st_size - 12)
        kill()
Partial.note = torn
""",
    "while the result is described": """
from hpcdaas.io import nexus_result
group, made = nexus_result._group, []
def third(parent, *arguments):
    made.append(group(parent, *arguments))
    if len(made) == 3:
        parent.file.flush()
        kill()
    return made[-1]
nexus_result._group = third
""",
    "while the described file is closed": """
from hpcdaas.pipeline import tomography
describe = tomography.describe_result
def cut(path, *arguments):
    size = path.stat().st_size
    describe(path, *arguments)
    os.truncate(path, (size + path.stat().st_size) // 2)
    kill()
tomography.describe_result = cut
""",
    "before the final name": "from hpcdaas.io.partial import Partial\nPartial.finish = kill",
    "after the final name": "from hpcdaas.io.partial import Partial\nPartial.discard = kill",
    "before the record": "from hpcdaas.pipeline import run\nrun.write_record = kill",
    "before the registration": "from hpcdaas.catalog.embedded import EmbeddedCatalog\nEmbeddedCatalog.register = kill",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at(truth: Truth, shell: CommandLine, out: Path, moment: str) -> None:
    ended = shell.run(*truth.command(out), script=KILL + MOMENTS[moment] + "\n" + MAIN)
    assert ended.code == -signal.SIGKILL, ended.err
    late = moment in ("after the final name", "before the record", "before the registration")
    assert (out / "result.h5").exists() == late
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_record_of_a_replaced_result_is_not_registered(truth: Truth, shell: CommandLine, out: Path) -> None:
    """Killed between the new result and its record: the record that lies there is the old one's."""
    first = shell.reconstruct(truth.scan, out / "result.h5", "--rows", "0:2")
    shell.run(*truth.command(out), "--overwrite", script=KILL + MOMENTS["before the record"] + "\n" + MAIN)
    ended = shell.here(*truth.command(out), "--json")
    assert ended.json["existed"]
    assert ended.json["pid"] != first["pid"]
    assert {dataset["pid"] for dataset in shell.datasets()} == {first["pid"], ended.json["pid"]}


# Signals that ask


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal_makes_a_checkpoint(truth: Truth, shell: CommandLine, out: Path, number: signal.Signals) -> None:
    process = shell.start(*truth.command(out))
    until(lambda: journaled(out), process)
    process.signal(number)
    ended = process.end()
    assert ended.code == 3, ended.err
    assert len(ended.message) <= 2
    assert number.name in ended.message[0]
    assert not (out / "result.h5").exists()
    before = (out / "result.h5.partial" / "journal").read_bytes().count(b"count")
    assert 0 < before < SHAPE.rows / 16
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_while_starting(truth: Truth, shell: CommandLine, out: Path, number: signal.Signals) -> None:
    script = f"""
import os
from hpcdaas.cli import reconstruct
resolve = reconstruct.resolve
def early(*arguments):
    os.kill(os.getpid(), {int(number)})
    return resolve(*arguments)
reconstruct.resolve = early
"""
    ended = shell.run(*truth.command(out), script=script + MAIN)
    assert ended.code == 3, ended.err
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_signal_with_json(truth: Truth, shell: CommandLine, out: Path) -> None:
    process = shell.start(*truth.command(out), "--json")
    until(lambda: journaled(out), process)
    process.signal(signal.SIGTERM)
    ended = process.end()
    assert (ended.code, ended.err) == (3, "")
    assert ended.json["error"]["code"] == "interrupted"


def interrupted(truth: Truth, shell: CommandLine, out: Path) -> bytes:
    """Leave a checkpoint; gives the journal."""
    process = shell.start(*truth.command(out))
    until(lambda: journaled(out, 4), process)
    process.signal(signal.SIGTERM)
    assert process.end().code == 3
    return (out / "result.h5.partial" / "journal").read_bytes()


def test_going_on_takes_its_fft_plans_along(truth: Truth, shell: CommandLine, out: Path) -> None:
    """Another process may measure other plans, and so get other last bits: the checkpoint knows the first ones."""
    interrupted(truth, shell, out)
    shell.environment["XDG_CACHE_HOME"] = str(out.parent / "empty")
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_what_is_done_is_not_done_again(truth: Truth, shell: CommandLine, out: Path) -> None:
    journal = interrupted(truth, shell, out)
    done = journal.count(b"count")
    spoiled = out / "result.h5.partial" / "result.h5"
    kept = spoiled.stat().st_ino
    check_whole(truth, shell, out, shell.run(*truth.command(out)))
    assert (out / "result.h5").stat().st_ino == kept
    assert done >= 4


@pytest.mark.parametrize("wrong", [("--memory", "1MB"), ("--backend", "quantum"), ("-s", "fbp.padding=1")])
def test_a_wrong_option_leaves_the_checkpoint(
    truth: Truth, shell: CommandLine, out: Path, wrong: tuple[str, ...]
) -> None:
    journal = interrupted(truth, shell, out)
    assert shell.here(*truth.command(out), *wrong).code == 2
    assert (out / "result.h5.partial" / "journal").read_bytes() == journal
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_less_memory_is_obeyed_by_the_attempt_that_goes_on(truth: Truth, shell: CommandLine, out: Path) -> None:
    interrupted(truth, shell, out)
    saved = json.loads((out / "result.h5.partial" / "checkpoint.json").read_text())
    ended = shell.run(*truth.command(out), "--memory", saved["plan"]["bytes"] - 1)
    assert "starting anew" in ended.err
    assert ended.code == 0, ended.err
    assert np.allclose(voxels(out / "result.h5"), truth.voxels, rtol=0, atol=1e-5 * np.abs(truth.voxels).max())


def test_checkpoint_of_another_run_counts_as_none(truth: Truth, shell: CommandLine, out: Path) -> None:
    interrupted(truth, shell, out)
    ended = shell.run(*truth.command(out), "--rows", "8:24")
    assert ended.code == 0, ended.err
    # the centre is found on other rows, and so differs a little
    assert np.allclose(voxels(out / "result.h5"), truth.voxels[8:24], rtol=0, atol=0.05 * truth.voxels.max())
    assert everything(out) == WHOLE


@pytest.mark.parametrize("name", ["checkpoint.json", "journal", "structure"])
def test_damaged_checkpoint(truth: Truth, shell: CommandLine, out: Path, name: str) -> None:
    interrupted(truth, shell, out)
    path = out / "result.h5.partial" / name
    path.unlink() if name == "structure" else path.write_bytes(path.read_bytes()[:-20])
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


# Two at once, and leases


def test_second_process_names_the_first(truth: Truth, shell: CommandLine, out: Path) -> None:
    first = shell.start(*truth.command(out))
    until(lambda: journaled(out), first)
    first.signal(signal.SIGSTOP)
    try:
        before = everything(out)
        second = shell.run(*truth.command(out))
        assert second.code == 2
        assert len(second.err.splitlines()) <= 2
        assert f"process {first.pid}" in second.err
        assert os.uname().nodename in second.err
        assert everything(out) == before
    finally:
        first.signal(signal.SIGCONT)
    check_whole(truth, shell, out, first.end())


def test_several_at_once(truth: Truth, shell: CommandLine, out: Path) -> None:
    processes = [shell.start(*truth.command(out)) for _ in range(3)]
    ended = [process.end() for process in processes]
    assert sorted({e.code for e in ended} | {0, 2}) == [0, 2]
    done = [e for e in ended if e.code == 0]
    assert done
    assert all("is being made by process" in e.err for e in ended if e.code == 2)
    check_whole(truth, shell, out, done[0])


def lease(out: Path, age: float, **holder: Any) -> Path:
    """Write a lease by hand, as one of another host looks."""
    path = out / "result.h5.partial" / "lease"
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 4711, "token": "x", "job": "", **holder}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_lease_of_another_host(truth: Truth, shell: CommandLine, out: Path) -> None:
    path = lease(out, age=EXPIRED / 2)
    content = path.read_bytes()
    ended = shell.here(*truth.command(out))
    assert ended.code == 2
    assert "process 4711 on elsewhere" in ended.err
    assert path.read_bytes() == content
    assert not (out / "result.h5").exists()


@pytest.mark.parametrize("late", ["expired", "ended", "torn", "same host"])
def test_lease_that_holds_no_more(truth: Truth, shell: CommandLine, out: Path, late: str) -> None:
    if late == "expired":
        lease(out, age=2 * EXPIRED)
    elif late == "ended":
        lease(out, age=1, ended=True)
    elif late == "torn":
        lease(out, age=1).write_text('{"host": "else')
    else:  # its process is dead: the lock is gone with it
        lease(out, age=1, host=os.uname().nodename)
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_result_is_not_named_after_the_lease_is_lost(truth: Truth, shell: CommandLine, out: Path) -> None:
    """A process that was frozen too long finds its lease taken, and gives the final name to nothing."""
    first = shell.start(*truth.command(out))
    until(lambda: journaled(out), first)
    first.signal(signal.SIGSTOP)
    path = out / "result.h5.partial" / "lease"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "other"}))
    first.signal(signal.SIGCONT)
    ended = first.end()
    assert ended.code == 1
    assert "took over" in ended.err
    assert len(ended.message) <= 2
    assert not (out / "result.h5").exists()
    assert json.loads(path.read_text())["token"] == "other"


# Disks that are full


def check_full(out: Path, ended: Ended) -> None:
    """Nothing under the final name; one clear message."""
    assert ended.code in (1, 2), ended.out + ended.err
    assert len(ended.message) <= 2, ended.err
    assert "fault of hpcdaas" not in ended.err, ended.err
    assert "Traceback" not in ended.err
    assert not (out / "result.h5").exists()


SIZE = SHAPE.rows * SHAPE.columns**2 * 4


@pytest.mark.parametrize("limit", [SIZE // 2, SIZE + (1 << 20) + 4096], ids=["volume", "description"])
def test_file_size_limit(truth: Truth, shell: CommandLine, out: Path, limit: int) -> None:
    limited = f"import resource as r\nr.setrlimit(r.RLIMIT_FSIZE, ({limit}, r.RLIM_INFINITY))\n"
    check_full(out, shell.run(*truth.command(out), script=limited + MAIN))
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of some bytes; it can be mounted again with another size."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(size: int) -> Path:
        nonlocal mounted
        options = f"size={size},remount" if mounted else f"size={size}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
        mounted = True
        return place

    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("room", [-SIZE // 2, 1 << 19, 1 << 21], ids=["volume", "structure", "description"])
def test_full_disk(truth: Truth, shell: CommandLine, small_disk: Callable[[int], Path], room: int) -> None:
    out = small_disk(SIZE + room)
    ended = shell.run(*truth.command(out))
    check_full(out, ended)
    small_disk(3 * SIZE)
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_disk_that_fills_while_it_is_written(
    truth: Truth, shell: CommandLine, small_disk: Callable[[int], Path]
) -> None:
    """Others fill it; the volume's place is claimed, what is small isn't."""
    out = small_disk(SIZE + (8 << 20))
    process = shell.start(*truth.command(out))
    until(lambda: journaled(out), process)
    process.signal(signal.SIGSTOP)
    with contextlib.suppress(OSError), (out / "other").open("wb", buffering=0) as other:
        while other.write(bytes(4096)):
            pass
    process.signal(signal.SIGCONT)
    ended = process.end()
    if ended.code:  # it may have claimed all that it needed
        check_full(out, ended)
    (out / "other").unlink()
    check_whole(truth, shell, out, shell.run(*truth.command(out)))


def test_a_full_disk_is_said_to_be_full_wherever_it_is_met(
    truth: Truth, small_disk: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher tries such a run again when there is room; any other error would end it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = hpcdaas.default_recipe().override(['scan.rows="0:64"', f"scan.center={SHAPE.center}"])
    volume = 64 * SHAPE.columns**2 * 4 >> 12  # pages
    ends = []
    for pages in (1, 2, 3, 4, 6, 8, 16, 64, *range(volume, volume + 5000, 149)):
        out = small_disk(pages << 12)
        try:
            result = hpcdaas.reconstruct(truth.scan, recipe, out / "result.h5", deliver=False)
            ends.append(result.path.name)
        except (NoRoom, DiskFull):
            ends.append("room")
        for left in out.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    assert set(ends) == {"room", "result.h5"}
