"""What `bench` is made of: floors, works, comparisons, quantities, residuals, figures of a GPU."""

from __future__ import annotations

import math
import os
import sys
import types
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_files import benchmark
from hpcdaas.bench import gpu, others, steps_job, work
from hpcdaas.bench.compare import compare
from hpcdaas.bench.cores import BYTE, MULTIPLY_ADD, line, line_flops
from hpcdaas.bench.figures import Figure, Goal, Report
from hpcdaas.bench.rounds import Rounds
from hpcdaas.bench.shown import quantity
from hpcdaas.bench.work import Work
from hpcdaas.tomo import steps
from hpcdaas.tomo.block import Block


def test_comparison_says_what_is_better_and_worse() -> None:
    one, other = benchmark(a=1.0, b=1.0, c=1.0, gone=1.0), benchmark(a=0.5, b=1.05, c=2.0, new=1.0)
    found = compare(one, other)
    assert {f["name"]: (f["ratio"], f["verdict"]) for f in found["figures"]} == {
        "a": (0.5, "better"), "b": (1.05, ""), "c": (2.0, "worse"),
    }  # fmt: skip
    assert sorted(found["missing"]) == ["gone", "new"]
    rates = [benchmark(unit="B/s", a=1.0), benchmark(unit="B/s", a=2.0)]
    assert compare(*rates)["figures"][0]["verdict"] == "better"


def test_a_floor_is_the_slower_of_memory_and_cores() -> None:
    on = ", 2 threads"
    rounds = Rounds({BYTE + on: [1.0, 2.0], MULTIPLY_ADD + on: [3.0, 3.0], line(8) + on: [10.0, 1.0]})
    piece = Work(bytes=20.0, multiply_adds=4.0, lines={8: 2.0}, why="")
    assert piece.floor(rounds, "floor", 2).seconds["floor"] == [4 * 3 + 2 * 10, 2 * 20]
    assert piece.bound(rounds, 2) == "memory"  # medians: 30 against 23
    assert piece.flops == 2 * 4 + 2 * 5 * 8 * 3
    assert line_flops(8) == 120


def test_works_are_those_of_the_formulas() -> None:
    """Counted by hand for 64² from 30 angles (P = 128; eps 1e-3: width 5, G = 80), and for views of 8²."""
    tomo = work.slices(64, 30)
    assert tomo["ray sum"].multiply_adds == 2 * 30 * 64**2
    assert tomo["ray sum"].bytes == 4 * (30 * 64 + 64**2)
    assert tomo["fbp"].lines == {128: 15, 80: (80 + 64) / 2}
    assert tomo["fbp"].multiply_adds == 30 * 64 * 25 * 2  # P/2 complex frequencies onto 5 × 5 points
    assert tomo["fbp of raw counts"].bytes == 2 * 30 * 64 + 4 * 64**2
    views = work.views(8, 2, object_pixels=10)
    assert views["gradient"].lines == {8: 4 * 8}  # two transforms of 8 × 8
    assert views["evaluate"].bytes == 2 * 64 / 2 + 8 * 10 / 2
    assert views["difference map"].bytes - views["gradient"].bytes == 16 * 64  # a wave, read and written


def test_works_of_steps_are_those_of_the_formulas() -> None:
    """Counted by hand for frames of 60 × 100 padded to 120 columns, and for 10 columns of 4 angles: 4! = 24 orders."""
    steps = work.projections(60, 100, margin=10)
    assert (steps["outliers"].bytes, steps["outliers"].multiply_adds) == (2 * 6000, 6 * 6000)
    assert steps["phase"].lines == {120: 60, 60: 120}
    assert (steps["phase"].bytes, steps["phase"].multiply_adds) == (8 * 6000, 60 * 120)
    assert work.projections(120, 100, margin=10)["phase"].lines == {120: 240}
    stripes = work.sinograms(10, 4, size=8, large_size=32)["stripes"]
    assert stripes.bytes == 8 * 40
    assert stripes.multiply_adds == pytest.approx(10 * math.log2(24) + 40 * (3 + 5 + 9))


def test_a_timed_step_does_its_work_and_leaves_the_block() -> None:
    """What is measured isn't a step that has nothing to do: zingers are there every time."""
    block = steps_job.make_block(16, 64, 5)
    block.data[2, 8, 30] = 60000
    before, counted = block.data.copy(), []
    whole = steps()["outliers"]

    def counting(fresh: Block, parameters: Any) -> None:
        whole.apply(fresh, parameters)
        counted.append(fresh.tally["zingers"])

    task = steps_job.step_task(block, 1, replace(whole, apply=counting))
    assert task() > 0
    assert task() > 0
    assert counted[0] == counted[1] > 0
    np.testing.assert_array_equal(block.data, before)


def test_residuals_that_are_no_numbers_are_wrong() -> None:
    report = Report("bench", {})
    for value in (0.5, 2.0, math.nan):
        report.add(f"{value}", value, "", ratio=value, goal=Goal(1), residual=True)
    report.add("no residual", 2.0, "s", ratio=2.0, goal=Goal(1))
    assert report.wrong == ["2.0", "nan"]
    assert Figure("x", 1.0, "s").verdict == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(2.41e-5, "s", "24.1 µs"), (75.0, "s", "75 s"), (3600.0, "s", "3600 s"), (31.2e9, "B/s", "31.2 GB/s"),
     (4.2e9, "B", "4.2 GB"), (8e-11, "s", "0.08 ns"), (1234.5, "1/h", "1,234 1/h"), (0.25, "", "0.25"),
     (0.0, "s", "0 s")],
)  # fmt: skip
def test_quantities_as_people_write_them(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_figures_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in for CuPy whose device does everything in 2 ms: the arithmetic of the figures."""
    monkeypatch.setitem(sys.modules, "cupy", cupy_of_numpy(count=1))
    report = Report("bench", {})
    gpu.add_figures(report, quick=True)
    found = {figure.name: figure.value for figure in report.figures}
    assert found["memory of the GPU"] == pytest.approx(12 * 2**16 / 2e-3)
    assert found["multiply-adds on the GPU"] == pytest.approx(2 * 256**3 / 2e-3)
    assert found["a transform of 128² on the GPU"] == pytest.approx(2e-3)  # a batch of one
    assert report.versions["GPU"] == "Stand-in"


def test_without_a_gpu_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy_of_numpy(count=0))
    report = Report("bench", {})
    gpu.add_figures(report)
    assert report.notes == ["GPU: not measured, CuPy sees none."]


def cupy_of_numpy(count: int) -> types.ModuleType:
    """A module that looks like CuPy as far as the figures of a GPU need it."""

    class Event:
        def record(self) -> None: ...
        def synchronize(self) -> None: ...

    class Array(np.ndarray):
        class data:  # noqa: N801
            copy_from_host_async = staticmethod(lambda pointer, size, stream: None)

    def ones(shape: Any, dtype: Any) -> Any:
        return np.ones(shape, dtype).view(Array)

    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: count, getDeviceProperties=lambda number: {"name": b"Stand-in"}
    )
    cuda = types.SimpleNamespace(
        runtime=runtime, Event=Event, get_elapsed_time=lambda a, b: 2.0, get_current_stream=lambda: None,
        alloc_pinned_memory=lambda size: types.SimpleNamespace(ptr=0),
    )  # fmt: skip
    module = types.ModuleType("cupy")
    module.__spec__ = ModuleSpec("cupy", None)
    random = types.SimpleNamespace(random=lambda shape, dtype: np.ones(shape, dtype))
    named = {"cuda": cuda, "random": random, "ones": ones, "fft": np.fft}
    named |= {name: getattr(np, name) for name in ("add", "matmul", "float32", "complex64")}
    for name, value in named.items():
        setattr(module, name, value)
    return module


def test_others_are_those_who_use_our_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 100 ticks of each of two cores: 60 and 40 of work, 30 of ours; the third core isn't ours."""
    stat = tmp_path / "stat"
    stat.write_text("cpu 1 2 3\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0 0 0\n")
    monkeypatch.setattr(others, "STAT", stat)
    monkeypatch.setattr("os.times", lambda: (0.0, 0.0, 0.0, 0.0, 0.0))
    counted = others.Others({0, 1})
    assert counted.share() is None
    stat.write_text("cpu0 50 0 5 40 0 0 0 5 9 9\ncpu1 40 0 0 50 10 0 0 0 0 0\ncpu2 100 0 0 0 0 0 0 0 0 0\nintr 1\n")
    tick = 1 / os.sysconf("SC_CLK_TCK")
    monkeypatch.setattr("os.times", lambda: (20 * tick, 0.0, 10 * tick, 0.0, 0.0))
    assert counted.share() == pytest.approx((60 + 40 - 30) / 200)
