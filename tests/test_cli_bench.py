"""`bench`: its levels at tiny sizes, wrong results that fail, comparisons, the page. test_bench.py has its parts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bench_files import benchmark
from command_line import CommandLine, Ended
from hpcdaas.bench.compare import compare
from hpcdaas.bench.machine import commit
from ranks import Launcher

NUMBER = {"type": "number"}
FIGURE = {
    "type": "object",
    "required": ["name", "value", "unit", "group", "limit", "limit_value", "ratio", "goal", "verdict", "residual"],
    "properties": {
        "name": {"type": "string", "minLength": 1}, "group": {"type": "string", "minLength": 1}, "value": NUMBER,
        "unit": {"enum": ["s", "B", "B/s", "flop/s", "1/h", "h", ""]}, "ratio": {"type": ["number", "null"]},
        "limit": {"type": "string"}, "bytes": {"type": ["number", "null"]}, "flops": {"type": ["number", "null"]},
        "residual": {"type": "boolean"}, "verdict": {"enum": ["", "aim", "must", "SHORT"]},
    },
}  # fmt: skip
SCHEMA = {
    "type": "object",
    "required": ["benchmark", "date", "commit", "machine", "versions", "settings", "figures", "seconds", "wrong"],
    "properties": {
        "benchmark": {"const": "bench"}, "figures": {"type": "array", "items": FIGURE, "minItems": 10},
        "date": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "machine": {"type": "object", "required": ["cpu", "cores", "memory_bytes", "vector_level", "fft_library"]},
        "versions": {"type": "object", "required": ["python", "hpcdaas", "numpy"]},
        "seconds": {"type": "object", "additionalProperties": {"type": "array", "items": NUMBER}},
        "wrong": {"type": "array", "items": {"type": "string"}},
    },
}  # fmt: skip
#: Begins scripts that break something of the program, and then run it.
BREAK_FBP = """
from hpcdaas.backend.cpu import CpuBackend
whole = CpuBackend.fbp
def wrong(self, data, correction, plan, out):
    found = whole(self, data, correction, plan, out)
    out *= 1.01
    return found
CpuBackend.fbp = wrong
"""
BREAK_RESULT = """
import h5py
from hpcdaas.bench import level2
whole = level2.reconstruct
def wrong(scan, out, **more):
    child = whole(scan, out, **more)
    with h5py.File(out, "r+") as file:
        data = file["entry/data/data"] if "data/data" in file["entry"] else None
        if data is not None and data.ndim == 3:
            data[...] = 1.01 * data[...]
    return child
level2.reconstruct = wrong
"""
RUN = "from hpcdaas.cli.main import main; main()"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def whole(run: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    """All levels at tiny sizes, and the file that was written; the scratch folder is left empty."""
    scratch, out = tmp_path_factory.mktemp("scratch"), tmp_path_factory.mktemp("out") / "a.json"
    ended = run.run("bench", "--level", "2", "--quick", "--json", "--scratch", scratch, "-o", out)
    assert ended.code == 0, ended.out + ended.err
    assert list(scratch.iterdir()) == []
    return ended, out


def test_json_of_all_levels(whole: tuple[Ended, Path]) -> None:
    ended, out = whole
    found = ended.json
    jsonschema.validate(found, SCHEMA)
    assert json.loads(out.read_text()) == found
    assert found["wrong"] == []
    assert all(math.isfinite(figure["value"]) for figure in found["figures"])
    assert found["settings"]["level"] == 2
    assert found["commit"] == commit()


def test_level_0_has_cores_and_files_and_says_what_it_has_not(whole: tuple[Ended, Path]) -> None:
    found = whole[0].json
    groups = {figure["group"] for figure in found["figures"]}
    assert {"cores", "files"} <= groups
    assert "two ranks" in groups or any(note.startswith("Ranks: not measured") for note in found["notes"])
    assert "GPU" in groups or any(note.startswith("GPU: not measured") for note in found["notes"])
    assert values(found)["memory, c = a + b, 1 thread"] > 1e8


def test_level_1_holds_each_primitive_against_its_floor(whole: tuple[Ended, Path]) -> None:
    found = whole[0].json
    floored = {f["name"]: f for f in found["figures"] if f["flops"]}
    for name in ("correct", "fbp", "backproject", "projector", "outliers", "phase", "stripes", "gradient, gaussian",
                 "difference map", "dm", "lsqml", "rpie", "ml", "raar"):  # fmt: skip
        figure = floored[f"{name}, 1 thread"]
        assert figure["limit"] in ("floor: memory", "floor: cores")
        assert figure["ratio"] == pytest.approx(figure["value"] / figure["limit_value"], rel=1e-6)  # one round
    residual = next(f for f in found["figures"] if f["name"] == "residual of fbp")
    assert residual["residual"]
    assert 0 < residual["value"] < residual["limit_value"] == 1e-3


def test_level_2_holds_results_against_the_truth(whole: tuple[Ended, Path]) -> None:
    for technique in ("tomography", "ptychography"):
        figures = {f["name"]: f for f in whole[0].json["figures"] if f["group"].startswith(f"{technique}, ")}
        seconds = figures["a scan, from its file to the catalogue"]["value"]
        assert figures["scans per hour, one after the other"]["value"] == pytest.approx(3600 / seconds)
        assert 0 < figures["of it overhead"]["value"] < seconds
        assert 0 < figures["core hours of a scan"]["value"] < 1
        residual = next(f for name, f in figures.items() if name.startswith("residual, "))
        assert 0 < residual["value"] < residual["limit_value"]


def test_a_fast_wrong_primitive_fails(run: CommandLine, tmp_path: Path) -> None:
    ended = run.run("bench", "--quick", "--json", "--scratch", tmp_path, script=BREAK_FBP + RUN)
    assert ended.code == 1
    assert ended.json["wrong"] == ["residual of fbp"]


def test_a_fast_wrong_result_fails(run: CommandLine, tmp_path: Path) -> None:
    """Slices that are 1% too bright, which nobody sees in a picture."""
    ended = run.run("bench", "--level", "2", "--quick", "--scratch", tmp_path, script=BREAK_RESULT + RUN)
    assert ended.code == 1
    assert "Wrong results: residual, tomography, 16 slices" in ended.out
    assert "WRONG" in ended.out


def test_a_table_for_people(run: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcdaas.bench.ranks.launcher", no_launcher)
    ended = run.here("bench", "--level", "0", "--quick", "--scratch", tmp_path)
    assert ended.code == 0, ended.err
    assert "memory, c = a + b, 1 thread" in ended.out
    assert "B/s" in ended.out
    assert "Ranks: not measured. There is no mpiexec here." in ended.out
    assert "measuring cores\n" in ended.err


@pytest.mark.parametrize("ranks", [2, 3])
def test_under_a_launcher_its_ranks_are_measured(tmp_path: Path, ranks: int) -> None:
    ended = Launcher(tmp_path).run(ranks, "bench", "--quick", "--json")
    assert ended.code == 0, ended.err
    figures = {figure["name"]: figure for figure in ended.json["figures"]}  # one of them prints
    assert {figure["group"] for figure in figures.values()} == {f"{ranks} ranks", f"{ranks} ranks, verbs of hpcdaas"}
    assert 0 < figures["a message of 8 bytes, one way"]["value"] < 1
    assert figures["a byte dealt out"]["limit"] == "a byte of an alltoall"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scratch", "nowhere"], "nowhere can't be used"),
        (["-o", "nowhere/a.json"], "There is no folder"),
        (["compare", "a.json", "a.json"], "a.json can't be read"),
        (["page", "broken.json"], "broken.json is no JSON"),
        (["page", "other.json"], "other.json holds no figures"),
        (["compare", "one.json", "two.json"], "have no figure in common"),
        (["page", "one.json", "-o", "one.json/x"], "can't be written"),
    ],
)
def test_what_is_wrong_is_said(
    run: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    Path("other.json").write_text('{"figures": 3}')
    Path("one.json").write_text(json.dumps(benchmark(a=1.0)))
    Path("two.json").write_text(json.dumps(benchmark(b=1.0)))
    ended = run.here("bench", *arguments)
    assert ended.code == 2
    assert said in " ".join(ended.message)


def test_comparison_of_a_benchmark_with_itself(run: CommandLine, whole: tuple[Ended, Path]) -> None:
    found = run.here("bench", "compare", whole[1], whole[1], "--json").json
    assert found["same_machine"]
    assert found["differences"] == {}
    assert {figure["ratio"] for figure in found["figures"]} == {1.0}
    assert not any(figure["verdict"] for figure in found["figures"])


def test_on_another_machine_ratios_to_floors_count(run: CommandLine, tmp_path: Path) -> None:
    """It is half as fast, and its program twice as near to what it allows."""
    one, other = benchmark(a=1.0), benchmark(a=2.0)
    other["machine"] = {"cpu": "Another", "cores": 64, "memory_bytes": 1}
    one["figures"][0]["ratio"], other["figures"][0]["ratio"] = 4.0, 2.0
    found = compare(one, other)
    assert not found["same_machine"]
    assert found["figures"][0]["verdict"] == "better"
    assert found["figures"][0]["ratio_of_ratios"] == 0.5
    for name, content in (("one", one), ("other", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    said = run.here("bench", "compare", tmp_path / "one.json", tmp_path / "other.json").out
    assert "The machines differ" in said
    assert "cpu: One | Another" in said


def test_the_page_needs_nothing_but_itself(run: CommandLine, whole: tuple[Ended, Path], tmp_path: Path) -> None:
    odd = tmp_path / "<b>odd.json"
    odd.write_bytes(whole[1].read_bytes())
    scripts = Path(__file__).parents[1] / "benchmarks" / "results" / "views-amd-epyc-m17-2c.json"
    ended = run.here("bench", "page", whole[1], odd, scripts, "-o", tmp_path / "page")
    assert ended.code == 0, ended.err
    page = Path(ended.out.strip()).read_text()
    assert page.count("data:image/svg+xml;base64,") == 3  # two rooflines, one picture of bars
    assert "http" not in page.replace("http-equiv", "")
    assert "&lt;b&gt;odd.json" in page
    assert "<b>" not in page
    for text in ("residual of fbp", "difference map, 2 threads", "LSQ-ML, sparse groups of 64, 256²", "files"):
        assert text in page, text


def test_a_page_of_level_0_has_tables_only(run: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(benchmark(a=1.0)))
    assert run.here("bench", "page", tmp_path / "a.json", "-o", tmp_path).code == 0
    assert "<img" not in (tmp_path / "bench.html").read_text()


def values(found: dict[str, Any]) -> dict[str, float]:
    return {figure["name"]: figure["value"] for figure in found["figures"]}


def no_launcher(ranks: int) -> list[str]:
    from hpcdaas.errors import HpcdaasError

    raise HpcdaasError("There is no mpiexec here.")
