"""A ptychographic scan goes the whole way, and goes on where it was stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcdaas import pipeline
from hpcdaas.errors import HpcdaasError, InputError, Interrupted
from hpcdaas.io import open_scan
from hpcdaas.io.cxi_writer import write_cxi
from hpcdaas.pipeline import Watcher, chain
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from hpcdaas.recipe import default_recipe, parse

COMMAND = (sys.executable, "-c", "from hpcdaas.cli.main import main; main()")


@pytest.fixture(scope="module")
def simulation():
    return Simulation(SimulationParameters(views=60, size=64, pixel_size="150 um", photons=1e5))


@pytest.fixture(scope="module")
def file(simulation, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.cxi"
    s = simulation
    write_cxi(path, s.frames(), s.positions, s.energy, s.distance, s.pixel_size[0], probe=s.probe, good=s.good)
    return path


def recipe(*steps, name="short"):
    return parse({"name": name, "step": [{"use": s} if isinstance(s, str) else s for s in steps]})


SHORT = recipe(
    "frames", "start", {"use": "dm", "iterations": 8}, {"use": "lsqml", "iterations": 8, "momentum": 0.2},
    {"use": "ml", "iterations": 8},
)  # fmt: skip


def arrays(path):
    with h5py.File(path) as f:
        names = ("object/data", "probe/data", "positions", "metrics/error", "metrics/distance")
        return {name: f[f"entry/{name}"][()] for name in names}


def same(a, b):
    first, second = arrays(a), arrays(b)
    return all(np.array_equal(first[n], second[n], equal_nan=True) for n in first)


def run(file, out, chosen=SHORT, **options):
    return pipeline.reconstruct(file, chosen, out, register_result=False, threads=2, **options)


def test_what_a_result_holds(file, simulation, tmp_path):
    out, catalog = tmp_path / "r.h5", tmp_path / "catalog.db"
    result = pipeline.reconstruct(file, None, out, catalog=str(catalog))
    assert result.pid
    assert result.raw.technique == "ptychography"
    assert 0 < result.metrics["error"] < 0.2
    pixel = simulation.object_pixel
    assert pixel <= result.metrics["resolution"]["value"] < 10 * pixel
    with h5py.File(out) as f:
        entry = f["entry"]
        assert f[f"{f.attrs['default']}/{entry.attrs['default']}"].attrs["signal"] == "data"
        object_, probe = entry["object/data"], entry["probe/data"]
        assert object_.dtype == probe.dtype == np.complex64
        assert object_.shape == result.shape
        assert list(entry["object"].attrs["axes"]) == ["mode", "y", "x"]
        assert entry["object/pixel_size"][()] == pytest.approx([pixel, pixel])
        assert np.diff(entry["object/x"][()]) == pytest.approx(np.full(object_.shape[2] - 1, pixel))
        assert np.allclose(entry["data/data"][()], np.angle(object_[0]))
        places = entry["positions"][()]
        assert places - places[0] == pytest.approx(simulation.positions - simulation.positions[0], abs=1e-12)
        n = simulation.parameters.size
        corners = np.rint(places / pixel).astype(int) - n // 2
        assert (corners >= 0).all()
        assert (corners + n <= object_.shape[1:]).all()
        iterations = sum(s.parameters.iterations for s in default_recipe("ptychography").steps[2:4])
        assert entry["metrics/error"].shape == (iterations,)
        assert list(entry["metrics"].attrs["parts"]) == ["lsqml", "ml"]
        process = {name: item[()] for name, item in entry["process"].items()}
        assert process["run"].decode() == result.run
        assert json.loads(process["recipe"])["step"][0]["use"] == "frames"
        for group in ("metrics", "quality", "frc", "diagnostics", "probe", "object"):
            for name, item in entry[group].items():
                assert item.dtype.kind in "OS" or "units" in item.attrs, f"{group}/{name}"
        # the error is that of what the file holds
        off = total = 0.0
        for frame, (y, x) in zip(simulation.frames().astype(float), corners, strict=True):
            waves = probe[()] * object_[0, y : y + n, x : x + n]
            there = np.fft.fftshift(np.fft.fft2(waves, norm="ortho"), axes=(1, 2))
            amplitude = np.sqrt((np.abs(there) ** 2).sum(axis=0))
            off += ((np.sqrt(frame) - amplitude) ** 2)[simulation.good].sum()
            total += frame[simulation.good].sum()
        assert entry["quality/error"][()] == pytest.approx(off / total, rel=1e-4)
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
    again = pipeline.reconstruct(file, None, out, catalog=str(catalog))
    assert again.existed
    assert again.metrics["error"] == pytest.approx(result.metrics["error"])


@pytest.mark.parametrize("boundary", [0, 3, 8, 13, 19])
def test_an_interrupted_run_goes_on_with_the_same_bits(file, tmp_path, boundary):
    run(file, tmp_path / "whole.h5")
    seen = 0

    def stop():
        nonlocal seen
        seen += 1
        if seen > boundary:
            raise Interrupted("now")

    out = tmp_path / "parts.h5"
    with pytest.raises(Interrupted, match="now"):
        run(file, out, watcher=Watcher(stop=stop))
    assert not out.exists()
    told = []
    run(file, out, watcher=Watcher(progress=lambda done, total: told.append(done)))
    assert told[0] == boundary + 1
    assert same(out, tmp_path / "whole.h5")
    assert not out.with_name(out.name + ".partial").exists()


def test_halves_go_on_too(file, tmp_path):
    steps = ("frames", "start", {"use": "lsqml", "iterations": 5}, "halves")
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    first = run(file, whole, recipe(*steps))
    for after in (7, 5):  # within the first half, then within the second
        seen = []

        def stop(after=after, seen=seen):
            seen.append(1)
            if len(seen) > after:
                raise Interrupted("now")

        with pytest.raises(Interrupted):
            run(file, parts, recipe(*steps), watcher=Watcher(stop=stop))
    second = run(file, parts, recipe(*steps))
    assert second.metrics["resolution"] == first.metrics["resolution"]


def test_a_killed_run_goes_on(file, tmp_path, monkeypatch):
    """Killed by -9 at random moments, the checkpoints as frequent as can be: the same bits in the end."""
    run(file, tmp_path / "whole.h5")
    out = tmp_path / "killed.h5"
    code = (
        "import sys; from hpcdaas import pipeline; from hpcdaas.pipeline import chain; chain.INTERVAL = 0.0;"
        "chain.SHARE = 1e9; sys.path.insert(0, sys.argv[3]); from test_pipeline_ptycho import SHORT;"
        "pipeline.reconstruct(sys.argv[1], SHORT, sys.argv[2], register_result=False, threads=2)"
    )
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code, file, out, Path(__file__).parent])
        time.sleep(1.0 + rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    run(file, out)
    assert same(out, tmp_path / "whole.h5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.h5", "whole.h5"]


def test_a_signal_makes_a_checkpoint(file, tmp_path):
    out = tmp_path / "r.h5"
    line = [*COMMAND, "reconstruct", str(file), "-o", str(out), "-s", "lsqml.iterations=3000", "-s", "halves.light=0.2"]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment)
    partial = out.with_name("r.h5.partial")
    for _ in range(300):
        if partial.exists():
            break
        time.sleep(0.05)
    time.sleep(0.7)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 3, said
    assert "same command" in said
    assert (partial / "checkpoint.npz").exists()


def test_streamed_frames_give_the_same_object(file, tmp_path, monkeypatch):
    from hpcdaas.ptycho import plan

    chosen = recipe("frames", "start", {"use": "lsqml", "iterations": 6, "group": 8})
    run(file, tmp_path / "held.h5", chosen)
    monkeypatch.setattr("hpcdaas.pipeline.ptychography.make_plan", lambda load, budget, sharing: plan.Plan(16, 1))
    told = []
    run(file, tmp_path / "streamed.h5", chosen, watcher=Watcher(say=told.append))
    assert "16 frames at a time" in told[0]
    with h5py.File(tmp_path / "held.h5") as a, h5py.File(tmp_path / "streamed.h5") as b:
        assert np.array_equal(a["entry/object/data"][()], b["entry/object/data"][()])


def test_another_orientation_is_found_and_said(simulation, tmp_path):
    s = simulation
    path = tmp_path / "turned.cxi"
    write_cxi(path, s.frames(), s.positions[:, ::-1], s.energy, s.distance, s.pixel_size[0], probe=s.probe, good=s.good)
    chosen = recipe("frames", "start", {"use": "lsqml", "iterations": 10}).override(["scan.position_orientation=auto"])
    result = run(path, tmp_path / "r.h5", chosen)
    assert result.metrics["orientation"] == "+x+y"
    assert result.metrics["orientation_decided_by"] == "the data"
    assert result.metrics["orientation_confidence"] > 0.5


def test_waves_that_do_not_fit_are_refused_before_anything_is_left(file, tmp_path):
    with pytest.raises(InputError, match="stored exit waves"):
        run(file, tmp_path / "r.h5", recipe("frames", "start", "dm"), memory="290MB")
    assert list(tmp_path.iterdir()) == []


def test_a_divergence_is_said_and_leaves_no_result(file, tmp_path, monkeypatch):
    monkeypatch.setattr(chain.math, "isfinite", lambda value: False)
    with pytest.raises(HpcdaasError, match="diverged in iteration 1"):
        run(file, tmp_path / "r.h5")
    assert not (tmp_path / "r.h5").exists()


def test_a_preview_is_quick_and_gives_a_picture(file, tmp_path):
    line = [*COMMAND, "reconstruct", str(file), "-o", str(tmp_path / "p.h5"), "--preview", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    assert told["technique"] == "ptychography"
    assert told["resolution"] is None
    assert told["error"] < 0.5
    assert Path(told["picture"]).stat().st_size > 1000


def test_the_raw_identity_and_run_follow_the_contract(file):
    scan = open_scan(file)
    assert scan.files == (file,)
    one, two = default_recipe("ptychography"), default_recipe("ptychography").override(["lsqml.seed=1"])
    assert one.resolved() != two.resolved()
    assert one.technique == "ptychography"


def test_a_scan_too_small_for_rings_has_no_resolution(tmp_path):
    s = Simulation(SimulationParameters(views=6, size=32, pixel_size="300 um", step="0.05 um", photons=1e5))
    path = tmp_path / "small.cxi"
    write_cxi(path, s.frames(), s.positions, s.energy, s.distance, s.pixel_size[0], probe=s.probe, good=s.good)
    told = []
    chosen = recipe("frames", "start", {"use": "lsqml", "iterations": 3}, "halves")
    result = run(path, tmp_path / "r.h5", chosen, watcher=Watcher(say=told.append))
    assert "resolution" not in result.metrics
    assert "no resolution" in told[-1]


def test_without_a_probe_the_focus_is_found_once(simulation, tmp_path):
    s = Simulation(SimulationParameters(views=120))
    path, out = tmp_path / "scan.cxi", tmp_path / "r.h5"
    write_cxi(path, s.frames(), s.positions, s.energy, s.distance, s.pixel_size[0], good=s.good)
    chosen = recipe("frames", "start", {"use": "lsqml", "iterations": 30})
    seen = []

    def stop():
        seen.append(1)
        if len(seen) > 30:
            raise Interrupted("now")

    with pytest.raises(Interrupted):
        run(path, out, chosen, watcher=Watcher(stop=stop))
    told = []
    result = run(path, out, chosen, watcher=Watcher(stop=lambda: told.append(1)))
    assert len(told) <= 30  # the search was not made again
    assert result.metrics["defocus"]["value"] == pytest.approx(300e-6, abs=60e-6)
    assert result.metrics["error"] < 0.02
