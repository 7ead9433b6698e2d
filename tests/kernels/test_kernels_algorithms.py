"""Algorithms of ptychography with the kernels, run on the host, against the C++ backend."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from host_device import HostBackend, HostDevice

from algorithm_cases import AgainstCpu, OnDevice, small  # noqa: F401  (a fixture)
from hpcdaas import pipeline
from hpcdaas.errors import Interrupted
from hpcdaas.io.cxi_writer import write_cxi
from hpcdaas.pipeline import Watcher
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from hpcdaas.recipe import parse


@pytest.fixture
def backend(compiler):
    return HostBackend(HostDevice(compiler))


@pytest.fixture
def crossed(backend):
    return backend.device.crossed


class TestAgainstCpu(AgainstCpu):
    """Every algorithm."""


class TestOnDevice(OnDevice):
    """What is on the device stays there."""


RECIPE = parse({
    "name": "short",
    "step": [
        {"use": "frames"}, {"use": "start"}, {"use": "dm", "iterations": 3},
        {"use": "lsqml", "iterations": 4, "momentum": 0.2}, {"use": "ml", "iterations": 2}, {"use": "halves"},
    ],
})  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    s = Simulation(SimulationParameters(views=25, size=32, pixel_size="300 um", photons=1e5))
    path = tmp_path_factory.mktemp("scan") / "scan.cxi"
    write_cxi(path, s.frames(), s.positions, s.energy, s.distance, s.pixel_size[0], probe=s.probe, good=s.good)
    return path


def fields(path):
    with h5py.File(path) as f:
        return [f[f"entry/{name}"][()] for name in ("object/data", "probe/data", "object/light", "metrics/error")]


def test_a_run_with_halves_and_one_that_was_stopped(backend, file, tmp_path, monkeypatch):
    """Against C++ from the same start; going on from a checkpoint, of each stage, gives the same bits."""
    names = ("cpu", "whole", "parts")
    expected, whole, parts = outs = [tmp_path / f"{name}.h5" for name in names]
    pipeline.reconstruct(file, RECIPE, expected, register_result=False, threads=1)
    monkeypatch.setattr("hpcdaas.pipeline.run.get_backend", lambda name, threads: backend)
    there = {"register_result": False, "backend": "cuda"}
    result = pipeline.reconstruct(file, RECIPE, whole, **there)
    assert result.metrics["resolution"]["value"] > 0
    for left in (2, 4, 2, 9):  # in dm, in lsqml, in ml, in a half
        with pytest.raises(Interrupted, match="now"):
            pipeline.reconstruct(file, RECIPE, parts, watcher=Watcher(stop=stops(left)), **there)
    pipeline.reconstruct(file, RECIPE, parts, **there)
    cpu, one, other = (fields(path) for path in outs)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    # an empty object leaves phases to rounding: what the frames say of it is the same
    assert one[-1] == pytest.approx(cpu[-1], rel=0.05, nan_ok=True)


def stops(after):
    """Give what ends a run after some iterations."""
    asked = iter(range(after))

    def stop():
        if next(asked, None) is None:
            raise Interrupted("now")

    return stop
