"""The peers' side and ours speak with each other, and what is said of slices and objects is right."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / folder) for folder in ("benchmarks", "benchmarks/peers", "docs")]

import make_performance  # noqa: E402

from common import Report  # noqa: E402
from hpcdaas.backend.reference import ReferenceBackend  # noqa: E402
from hpcdaas.bench.ptycho_job import Found, make_algorithm, simulation_job  # noqa: E402
from hpcdaas.bench.tomo_job import definition, random_pixels  # noqa: E402
from peers import KNOWN, Known, Peer, on_threads  # noqa: E402
from peers.astra_peer import centered  # noqa: E402
from peers.objects import OwnRun, Quality, good_after, quality  # noqa: E402
from peers.process import NOT_INSTALLED, first_error  # noqa: E402
from peers.serve import NO_GPU  # noqa: E402
from peers.slices import Size, centered_job, error, linear_sum  # noqa: E402

SLICES = """
from serve import NO_GPU, serve_slices
serve_slices(lambda data, threads: {"twice": lambda: data["data"] * 2 * threads, "cuda": NO_GPU}, "numpy")
"""
RUNS = """
import numpy as np
from serve import serve_runs

class Run:
    def __init__(self, modes):
        self.object = np.full((2, 2), modes)

    def iterate(self, count):
        print("not an answer")
        self.object = self.object + count

    def found(self):
        return self.object, np.zeros((1, 2))

serve_runs(lambda data, threads: {"add": Run}, "numpy")
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    np.savez(path, data=np.arange(4.0))
    return path


@pytest.fixture(autouse=True)
def _beside_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "benchmarks" / "peers"))


def peer(tmp_path: Path, text: str, data: Path, *tasks: str, threads: int = 1) -> Peer:
    script = tmp_path / "some_peer.py"
    script.write_text(text)
    known = Known("some", str(script), (), {task: f"some {task}" for task in tasks})
    return Peer(known, Path(sys.executable), data, threads)


def test_slices_are_made_on_request_and_come_back(tmp_path: Path, data: Path) -> None:
    some = peer(tmp_path, SLICES, data, "twice", "cuda", threads=3)
    assert some.versions == {"numpy": np.__version__}
    assert some.absent == {"cuda": NO_GPU}
    assert some.slices("twice", tmp_path / "out.npy") >= 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), 6 * np.arange(4.0))
    some.close()


def test_each_run_starts_anew_and_is_looked_at_on_its_way(tmp_path: Path, data: Path) -> None:
    some = peer(tmp_path, RUNS, data, "add")
    for _ in range(2):
        first, last = some.run("add", 5, (1, 4), tmp_path / "out.npz")
        assert 0 <= first <= last
        with np.load(tmp_path / "out.npz") as found:
            assert found["object1"].max() == 6
            assert found["object4"].max() == 9
    assert some.iteration("add", 1, 3) >= 0
    some.close()


def test_a_peer_that_is_not_there_says_why(tmp_path: Path, data: Path) -> None:
    text = "import serve\ndef make(data, threads):\n    import nowhere\nserve.serve_runs(make)\n"
    some = peer(tmp_path, text, data, "a", "b")
    assert some.absent == dict.fromkeys("ab", "No module named 'nowhere'")
    some.close()
    report = Report("some", {})
    options = Namespace(install_peers=False, peers_python=tmp_path / "none")
    with on_threads(options, report, ("astra",), data, (1, 2)) as peers:
        assert not peers[2].tasks
        assert peers[1].absent == dict.fromkeys(KNOWN["astra"].rows.values(), NOT_INSTALLED)
        peers[1].note(report, ("ASTRA FBP",))
    assert report.notes == [f"ASTRA FBP: {NOT_INSTALLED}, so there is no ratio to it."]


def test_pips_first_error_is_the_reason() -> None:
    said = "WARNING: old\n  error: subprocess-exited-with-error\n  × no\nERROR: later\n"
    assert first_error(said) == "pip: subprocess-exited-with-error"
    assert first_error("WARNING: old\n") == ""


def test_the_linear_sum_is_that_of_the_reference_backend_and_not_the_exact_one() -> None:
    job = centered_job(Size(48, 31, 4, 2))
    assert job.plan.center == 24
    slices = job.slices
    ReferenceBackend().filtered_backprojection(job.data, None, job.plan, slices)
    y, x = random_pixels(48, 100)
    assert error(slices[:, y, x], linear_sum(job.data, job.plan, y, x)) < 1e-6
    assert error(3 * slices[:, y, x], linear_sum(job.data, job.plan, y, x)) < 1e-6  # whatever the scale
    assert error(slices[:, y, x], definition(job.data, job.plan, y, x)) > 0.01


def test_the_axis_of_centred_lines_is_in_the_middle() -> None:
    lines = np.zeros((1, 1, 8), np.float32)
    for center in (2, 3.5, 4, 6):
        lines[:] = 0
        lines[..., int(center)] = lines[..., int(center + 0.5)] = 1
        wide = centered(lines, center)[0, 0]
        np.testing.assert_array_equal(wide, wide[::-1])
        assert len(wide) >= 8


def test_quality_is_that_of_the_object_whatever_no_frame_can_tell() -> None:
    job = simulation_job(40, 64)
    reference = job.reference((0, 0))
    truth, places = reference.found.object, reference.found.places
    same = quality(reference, Found(2j * np.pad(truth, 5), places + 5), 7)
    assert same.iterations == 7
    assert same.error < 1e-3
    assert same.frc > 0.999
    noise = np.random.default_rng(0).standard_normal(truth.shape)
    worse = quality(reference, Found(truth + noise, places), 9)
    assert worse.error > 0.3
    assert good_after([worse, same, same]) == 7
    assert good_after([worse, Quality(2, 0.01, 0.5)]) == 0


def test_steps_of_a_recipe_follow_each_other_after_their_own_iterations() -> None:
    job = simulation_job(12, 64)
    run, model = OwnRun(job, ("lsqml", "ml"), 1), job.model(1)
    run.iterate(30)
    run.iterate(12)
    for step, count in (("lsqml", 40), ("ml", 2)):
        algorithm = make_algorithm(model, step)
        for i in range(count):
            algorithm.iterate(i)
    np.testing.assert_array_equal(run.model.object, model.object)


def test_what_is_missing_stands_in_the_table_with_its_reason() -> None:
    figures = [
        {"group": "slices", "name": "ours: a slice", "value": 0.5, "unit": "s", "ratio": None},
        {"group": "slices", "name": "theirs: a slice", "value": 1.0, "unit": "s", "ratio": 2.0},
        {"group": "slices", "name": "ours: error", "value": 0.1, "unit": "", "ratio": 1.0},
    ]
    file = {"figures": figures, "absent": {"slices": {"other": NO_GPU}}, "settings": {"good enough": "error ≤ 1"}}
    text = "\n".join(make_performance.of_peers(file))
    assert "error ≤ 1" in text
    assert "| program | a slice | error |" in text
    assert "| ours | 500 ms | 0.1 |" in text
    assert "| theirs | 1 s (2 ×) | – |" in text
    assert f"| other | {NO_GPU} | |" in text
