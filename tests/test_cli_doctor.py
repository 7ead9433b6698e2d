"""`doctor`: it finds what is there, and each of its checks can fail; tests/slurm has `doctor --site`."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from command_line import CommandLine
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.cli import doctor_machine, doctor_program
from hpcdaas.cluster import gpu_driver
from hpcdaas.cluster.site import Site
from hpcdaas.cluster.site.script import Shape
from hpcdaas.cluster.site.verdict import of_look, of_meeting
from hpcdaas.errors import HpcdaasError
from hpcdaas.io import cxi_writer


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Give the command line in an empty folder; what belongs to this Python comes first."""
    monkeypatch.chdir(tmp_path)
    found = CommandLine(tmp_path / "home")
    found.environment["PATH"] = f"{Path(sys.executable).parent}:{found.environment['PATH']}"
    return found


def test_this_machine_is_well(run: CommandLine) -> None:
    ended = run.run("doctor")
    assert ended.code == 0, ended.out
    lines = ended.out.splitlines()
    assert lines[-1] == "All is well."
    for name in ("C\\+\\+ core", "FFT", "HDF5", "tomography", "ptychography", "cores", "memory", "space", "catalogue"):
        assert any(re.match(rf"{name} +(ok|note) +\S", line) for line in lines), name
    assert list(Path().glob("*")) == [Path("home")]  # it leaves nothing in the working folder


def test_what_is_wrong_is_named_at_the_end(run: CommandLine) -> None:
    """A module of another version, an FFT library that isn't there, and a malformed site file."""
    Path("site.toml").write_text("name = ")
    wrong = {"HPCDAAS_VERSION": "9.9", "HPCDAAS_FFT_LIBRARY": "/nope.so"}
    ended = run.run("doctor", env=wrong)
    assert ended.code == 1
    last = ended.out.splitlines()[-1]
    assert last == "To be seen to: program, C++ core, FFT, tomography, ptychography, site."
    assert "while the module hpcdaas/9.9 is loaded" in ended.out
    assert "/nope.so, which isn't there" in ended.out
    found = run.run("doctor", "--json", env=wrong)
    assert (found.code, found.json["ok"]) == (1, False)
    states = {each["name"]: each["state"] for each in found.json["checks"]}
    assert (states["site"], states["HDF5"]) == ("wrong", "ok")


def test_jobs_need_a_site_file(run: CommandLine) -> None:
    ended = run.run("doctor", "--site")
    assert (ended.code, ended.out) == (2, "")
    assert "no site file with a partition" in ended.message[0]


def test_a_core_that_computes_another_scale_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor_program.tomography("x").state == "ok"
    whole = CpuBackend.fbp

    def broken(self: CpuBackend, data: Any, correction: Any, plan: Any, out: Any) -> int:
        count = whole(self, data, correction, plan, out)
        out *= np.float32(1.03)
        return count

    monkeypatch.setattr(CpuBackend, "fbp", broken)
    assert doctor_program.tomography("x").state == "wrong"


def test_an_object_that_is_not_the_true_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    write = cxi_writer.write_cxi

    def mirrored(path: Path, frames: Any, *args: Any, **options: Any) -> Any:
        return write(path, frames[:, ::-1], *args, **options)

    monkeypatch.setattr(cxi_writer, "write_cxi", mirrored)
    assert doctor_program.ptychography("x").state == "wrong"


def launcher(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, does: str) -> None:
    """Put an mpiexec of another kind first on the PATH."""
    file = folder / "mpiexec"
    file.write_text(f'#!/bin/sh\ncase "$1" in --version) echo "{version}"; exit;; esac\nshift 2\n{does}\n')
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


def test_ranks_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpi4py")
    if not Path(sys.executable).with_name("mpiexec").exists():
        pytest.skip("no mpiexec beside this Python")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/bin:/usr/bin")
    monkeypatch.setenv("PMI_RANK", "3")  # as if in a rank: nothing of that reaches the ranks of the check
    monkeypatch.setenv("PMI_SIZE", "7")
    found = doctor_machine.mpi("MPI")
    assert (found.state, "find each other" in found.found) == ("ok", True), found


def test_launchers_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpi4py")
    library = doctor_machine.answer([sys.executable, "-c", doctor_machine.ASK_MPI])
    mine = doctor_machine.family(library)
    other = "MPICH" if mine == "Open MPI" else "Open MPI"
    launcher(tmp_path, monkeypatch, f"mpiexec of {other} 4.1", 'exec "$@"')
    found = doctor_machine.mpi("MPI")
    assert (found.state, f"is of {other}" in found.found) == ("wrong", True), found
    launcher(tmp_path, monkeypatch, f"mpiexec of {mine}", '"$@"; "$@"')  # twice one rank, of which neither knows
    found = doctor_machine.mpi("MPI")
    assert (found.state, "don't find each other" in found.found) == ("wrong", True), found


def driver(names: list[bytes], error: int = 0) -> SimpleNamespace:
    """Make a libcuda that has some devices, or an error."""

    def put(value: Any) -> Any:
        return lambda place, *_: setattr(place._obj, "value", value(*_) if callable(value) else value) or 0

    return SimpleNamespace(
        cuInit=lambda flags: error or (0 if names else gpu_driver.NO_DEVICE),
        cuDeviceGetCount=put(len(names)),
        cuDeviceGet=put(lambda index: index),
        cuDeviceGetName=lambda name, size, device: setattr(name, "value", names[device.value]) or 0,
        cuGetErrorString=lambda code, words: setattr(words._obj, "value", b"system not yet initialized") or 0,
    )


def test_what_the_driver_of_gpus_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver([b"NVIDIA H100", b"NVIDIA A2"]))
    assert gpu_driver.devices() == ["NVIDIA H100", "NVIDIA A2"]
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver([]))
    assert gpu_driver.devices() == []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver([], 802))
    with pytest.raises(HpcdaasError, match="system not yet initialized"):
        gpu_driver.devices()

    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(HpcdaasError, match="no driver"):
        gpu_driver.devices()


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That is a fault where the site file names partitions, and a note where nobody asks for a cluster."""
    monkeypatch.setenv("PATH", str(tmp_path))
    cluster = Site.model_validate({"partition": [{"name": "day", "cores": 1, "memory": 1}]})
    assert doctor_machine.slurm("SLURM", None).state == "note"
    assert doctor_machine.slurm("SLURM", Site()).state == "note"
    assert doctor_machine.slurm("SLURM", cluster).state == "wrong"


GIB = 2**30
#: What a job has where all is as it should be.
GOOD = {
    "node": "n1", "threads": 2, "bound": 2, "core_limit": None, "memory_limit": GIB, "budget": int(0.8 * GIB),
    "visible": "0", "gpus": ["NVIDIA H100"], "temporary": "/tmp", "free": 10**10, "missing": [],
    "there_and_back": 0.1,
}  # fmt: skip
SHAPE = Shape("day", 1, 1, 2, GIB, 1, 300.0)


def test_a_job_as_it_should_be() -> None:
    found = of_look("day", SHAPE, GOOD)
    assert [(each.name, each.state) for each in found] == [
        ("day cores", "ok"), ("day memory", "ok"), ("day files", "ok"), ("day GPU", "ok"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "name", "state", "words"),
    [
        ({"threads": 1, "bound": 1}, "cores", "wrong", "bound to 1 core"),
        ({"threads": 64, "bound": 64}, "cores", "wrong", "takes 64 threads"),
        ({"bound": 64}, "cores", "note", "binds nobody"),
        ({"bound": 64, "core_limit": 2}, "cores", "ok", "control group allows 2"),
        ({"memory_limit": GIB // 2}, "memory", "wrong", "allows 512 MiB"),
        ({"memory_limit": None, "budget": 100 * GIB}, "memory", "wrong", "takes up to 102400 MiB"),
        ({"memory_limit": None}, "memory", "note", "no limit"),
        ({"there_and_back": None}, "files", "wrong", "didn't see"),
        ({"there_and_back": 30.0}, "files", "note", "back: 30 s"),
        ({"missing": ["/data"]}, "files", "wrong", "n1 has no folder /data"),
        ({"gpus": [], "gpu_error": "no driver"}, "GPU", "wrong", "no driver"),
        ({"gpus": [], "visible": None}, "GPU", "wrong", "not set; no GPU"),
        ({"gpus": ["a", "b"]}, "GPU", "note", "more than it was given"),
    ],
)
def test_what_a_job_lacks(changes: dict[str, Any], name: str, state: str, words: str) -> None:
    found = {each.name: each for each in of_look("day", SHAPE, {**GOOD, **changes})}
    one = found.pop(f"day {name}")
    assert (one.state, words in one.found) == (state, True), one
    assert {each.state for each in found.values()} == {"ok"}


MET = {"ranks": 2, "nodes": ["n1", "n2"], "right": True, "seconds": 0.01, "bytes": 8 * 10**6}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, "ok", "2 ranks on n1, n2 met; 8 MB summed up at 0.8 GB/s"),
        ({"nodes": ["n1", "n1"]}, "wrong", "1 on each of 2 nodes were asked for"),
        ({"ranks": 1, "nodes": ["n1"]}, "wrong", "1 rank on n1"),
        ({"right": False}, "wrong", "the sum is wrong"),
    ],
)
def test_how_ranks_met(changes: dict[str, Any], state: str, words: str) -> None:
    found = of_meeting("day MPI", Shape("day", 2, 1, 1, GIB, 0, 300.0), {**MET, **changes})
    assert (found.state, words in found.found) == (state, True), found
