"""Each benchmark runs at a tiny size and writes its figures; what they say is for a quiet machine."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))

from common import Goal, Rounds, interleave  # noqa: E402
from hpcdaas.backend.reference import ReferenceBackend  # noqa: E402
from hpcdaas.bench.ptycho_job import Found, Reference  # noqa: E402
from hpcdaas.bench.tomo_job import definition, make_job, random_pixels, relative_error  # noqa: E402
from scaling_model import (  # noqa: E402
    Machine,
    Ptychography,
    Sends,
    Tomography,
    busiest,
    geometry_of,
    inner_tile,
    raster,
    sends_of_groups,
    sends_of_tiles,
    sends_of_views,
    tiling_of,
)

FROM_FILES = {"file_to_file", "preview", "ptycho", "peers"}
AGAINST_PEERS = {"fbp", "backproject", "ptycho", "peers"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("bench_*.py")), ids=lambda path: path.stem)
def test_quick_run_writes_valid_json(path: Path, tmp_path: Path) -> None:
    name = path.stem.removeprefix("bench_")
    out = tmp_path / "figures.json"
    where = ["--scratch", tmp_path] if name in FROM_FILES else []
    where += ["--peers-python", tmp_path / "none"] if name in AGAINST_PEERS else []
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, path, "--quick", "--repeats", "1", "--json", out, *where]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    assert told["benchmark"] == name
    assert {"date", "commit", "machine", "versions", "settings", "seconds"} < told.keys()
    assert {"cpu", "cores", "memory_bytes"} < told["machine"].keys()
    if name.startswith("gpu_") and not told["figures"]:
        assert any(note.startswith("no GPU") for note in told["notes"])
        return
    assert any(figure["goal"] for figure in told["figures"])
    for figure in told["figures"]:
        assert math.isfinite(figure["value"])
        assert figure["ratio"] is None or figure["ratio"] > 0
        assert figure["name"] in done.stdout


def test_definition_at_pixels_is_that_of_the_reference_backend() -> None:
    job = make_job(48, 31, 4)
    slices = job.slices
    ReferenceBackend().fbp(job.data, None, job.plan, slices)
    y, x = random_pixels(48, 100)
    assert np.hypot(x - 23.5, y - 23.5).max() <= 23.5
    assert relative_error(slices[:, y, x], definition(job.data, job.plan, y, x)) < 1e-6


def test_raw_counts_give_the_line_integrals_back() -> None:
    job = make_job(32, 10, 2)
    counts, correction = job.raw()
    correction.net[:] = 20000  # an even beam
    lines, _ = ReferenceBackend().correct(counts, correction)
    np.testing.assert_allclose(lines[:, 0], np.clip(job.data[:, 0], 0, 8), atol=1e-3)


def test_objects_whose_first_pixels_differ_are_compared_at_the_same_place() -> None:
    rng = np.random.default_rng(0)
    whole, places = np.exp(1j * rng.random((80, 90))), rng.uniform(20, 60, (5, 2))
    reference = Reference("itself", Found(whole, places), (slice(20, 60), slice(25, 70)))
    other = Found(2j * whole[7:, 11:], places - (7, 11))
    assert reference.correlation(other).min() > 0.999
    assert reference.correlation(Found(whole[::-1, ::-1], places)).mean() < 0.5


def test_rounds_are_interleaved_and_compared_within_a_round() -> None:
    order: list[str] = []
    values = {"a": iter((1.0, 2.0, 9.0)), "b": iter((2.0, 4.0, 3.0))}

    def task(name: str) -> float:
        order.append(name)
        return next(values[name])

    rounds = interleave({"a": lambda: task("a"), "b": lambda: task("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert rounds.median("a") == 2.0
    assert rounds.ratio("a", "b") == 0.5
    both = rounds.sum("sum", {"a": 1, "b": 2}).largest("most", ("a", "b"))
    assert both.seconds["sum"] == [5.0, 10.0, 15.0]
    assert both.seconds["most"] == [2.0, 4.0, 9.0]
    assert "a" in Rounds({"a": [1.0]})


def test_goals() -> None:
    assert [Goal(45, 90, at_least=True).verdict(x) for x in (40, 50, 90)] == ["SHORT", "must", "aim"]
    assert [Goal(3, 1.8).verdict(x) for x in (3.1, 3, 1.7)] == ["SHORT", "must", "aim"]
    assert str(Goal(1)) == "≤ 1"


def test_formulas_of_inner_tiles_and_of_single_views_are_those_of_the_tiling() -> None:
    geometry = geometry_of(raster(16 * 36, 3), 12)
    tiling = tiling_of(geometry, 16)
    at_once, by_view = inner_tile(12, 3, 6)
    assert busiest(sends_of_tiles(tiling)) == Sends(at_once, 8, 8)
    singly = list(sends_of_views(tiling, geometry))
    assert busiest(iter(singly)).pixels == by_view
    order = np.random.default_rng(0).permutation(len(geometry.places)).astype(np.int32)
    assert list(sends_of_groups(tiling, geometry, order, 1)) == singly
    whole = busiest(sends_of_groups(tiling, geometry, order, len(order)))
    assert whole.pixels == at_once  # an inner tile is covered by its views


def test_time_of_ranks_follows_from_what_they_do() -> None:
    free = Machine(bandwidth=math.inf, latency=0.0, filesystem=math.inf, per_node=1)
    nothing = Sends(0, 0, 0)
    job = Ptychography(64, dm_view=1.0, lsq_view=1.0, listed=0.0)
    assert job.dm(free, 4, 16, nothing) == 16.0
    assert job.lsqml(free, 4, 64, 32, nothing) == 16.0
    assert job.lsqml(free, 64, 64, 32, nothing) == 2.0  # more ranks than views in a group don't help
    tomo = Tomography(angles=10, rows=64, columns=8, slice=1.0, alone=3.0)
    assert [tomo.run(free, ranks) for ranks in (1, 32, 64, 128)] == [67.0, 5.0, 4.0, 4.0]


def test_the_page_of_figures_is_up_to_date(tmp_path: Path) -> None:
    docs = FOLDER.parent / "docs"
    subprocess.run([sys.executable, docs / "make_performance.py", tmp_path], check=True)
    made = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert made == (docs / "performance.md").read_text(encoding="utf-8"), "run 'make docs' and commit docs/performance*"
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", made)
    assert pictures
    assert all((docs / name).read_text(encoding="utf-8").startswith("<?xml") for name in pictures)
