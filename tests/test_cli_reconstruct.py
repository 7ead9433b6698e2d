"""`hpcdaas reconstruct` as scripts call it: what it prints, with which code, and what is there then."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from command_line import CommandLine, Shape, everything, voxels
from hpcdaas.run import pid

SHAPE = Shape(rows=24)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SHAPE.write(tmp_path_factory.mktemp("scan") / "scan.nxs")


@pytest.fixture
def shell(tmp_path: Path) -> CommandLine:
    (tmp_path / "out").mkdir()
    return CommandLine(tmp_path / "home")


def test_installed_program(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    """From end to end as a user runs it, twice."""
    command = ("reconstruct", scan, "-o", tmp_path / "out" / "result.h5")
    first = shell.installed(*command)
    assert first.code == 0, first.err
    assert f"{tmp_path / 'out' / 'result.h5'}: 24 × 64 × 64" in first.out
    assert "Registered as" in first.out
    assert "Plan: " in first.err
    assert "Centre: 33." in first.err
    second = shell.installed(*command, "--json")
    assert (second.code, second.err) == (0, "")
    assert second.json["existed"]
    assert second.json["pid"] in first.out
    assert shell.installed("--version").out.startswith("hpcdaas ")


def test_json(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    ended = shell.here("reconstruct", scan, "-o", tmp_path / "out" / "result.h5", "--json")
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert found["result"] == str(tmp_path / "out" / "result.h5")
    assert found["technique"] == "tomography"
    assert found["shape"] == [24, 64, 64]
    assert re.fullmatch("[0-9a-f]{64}", found["run"])
    assert found["pid"] == pid(found["run"])
    assert {"read", "compute", "write", "total"} <= set(found["seconds"])
    assert all(value >= 0 for value in found["seconds"].values())
    assert 10**7 < found["peak_memory_bytes"] < 10**11
    assert abs(found["center"] - SHAPE.center) < 0.1
    assert 0.5 < found["center_confidence"] <= 1
    assert found["metrics"]["center"] == found["center"]


def test_lines_on_standard_error_are_not_broken(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    """In a log file a line is a line, however long."""
    ended = shell.run("reconstruct", scan, "-o", tmp_path / "out" / "result.h5")
    assert all(re.match("(Plan|Centre): ", line) for line in ended.err.splitlines()), ended.err
    assert "\x1b" not in ended.err + ended.out


def test_relative_paths(shell: CommandLine, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "out")
    found = shell.reconstruct(Path(os.path.relpath(scan)), Path("result.h5"), "--rows", "0:2")
    assert found["result"] == str(tmp_path / "out" / "result.h5")
    with h5py.File("result.h5") as file:
        assert file["entry/process/raw_file"].asstr()[()] == str(scan)


def test_options_and_settings_say_the_same(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(
        'name = "default"\n[scan]\ncenter = 33.0\nrows = "2:8"\n'
        + "".join(f"[[step]]\nuse = '{use}'\n" for use in ("flatfield", "minus_log", "center", "fbp"))
    )
    ways = (
        ("--center", "33", "--rows", "2:8"),
        ("-s", "scan.center=33.0", "-s", "scan.rows=2:8"),
        ("-r", tmp_path / "recipe.toml"),
        ("-r", tmp_path / "recipe.toml", "-s", "fbp.filter=ramp", "--center", "33.0"),
    )
    runs = [shell.reconstruct(scan, tmp_path / "out" / f"{i}.h5", *way)["run"] for i, way in enumerate(ways)]
    assert len(set(runs)) == 1


def test_the_command_line_wins_over_the_recipe(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("[scan]\ncenter = 20\n[[step]]\nuse = 'flatfield'\n[[step]]\nuse = 'fbp'\n")
    found = shell.reconstruct(scan, tmp_path / "out" / "r.h5", "-r", tmp_path / "recipe.toml", "--center", "30.5")
    assert found["center"] == 30.5
    assert found["center_confidence"] == 1


def test_the_recipe_wins_over_the_file(shell: CommandLine, tmp_path: Path) -> None:
    path = SHAPE.write(tmp_path / "scan.nxs", pixel_size=1e-6)
    with h5py.File(path, "r+") as file:
        file["entry/instrument/detector/x_rotation_axis_pixel_position"] = 31.0
    assert shell.reconstruct(path, tmp_path / "out" / "a.h5", "--rows", "0:2")["center"] == 31.0
    found = shell.reconstruct(path, tmp_path / "out" / "b.h5", "--rows", "0:2", "-s", "scan.center=32.5")
    assert found["center"] == 32.5


def test_preview(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "look.h5"
    found = shell.reconstruct(scan, out, "--preview")
    assert found["shape"] == [3, 64, 64]
    assert found["pid"] is None
    assert found["picture"] == str(out.with_suffix(".png"))
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert everything(tmp_path / "out") == {"look.h5", "look.png"}
    assert shell.datasets() == []
    with h5py.File(out) as file:
        rows = file["entry/data/z"][:].astype(int).tolist()
    assert rows == [6, 12, 18]
    shell.reconstruct(scan, tmp_path / "out" / "whole.h5", "--center", found["center"])
    whole = voxels(tmp_path / "out" / "whole.h5")[rows]
    assert np.abs(voxels(out) - whole).max() < 1e-3 * np.abs(whole).max()


@pytest.mark.parametrize(
    ("rows", "expected"), [("0:1", [0]), ("0:2", [0, 1]), ("3:6", [3, 4, 5]), ("4:24:2", [9, 14, 19])]
)
def test_preview_of_chosen_rows(shell: CommandLine, scan: Path, tmp_path: Path, rows: str, expected: list[int]) -> None:
    out = tmp_path / "out" / "look.h5"
    shell.reconstruct(scan, out, "--preview", "--rows", rows, "--center", "33.2")
    with h5py.File(out) as file:
        assert file["entry/data/z"][:].astype(int).tolist() == expected


def test_overwrite(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "result.h5"
    first = shell.reconstruct(scan, out, "--rows", "0:4")
    # the same run isn't done again, with the option either
    assert shell.reconstruct(scan, out, "--rows", "0:4", "--overwrite")["existed"]
    second = shell.reconstruct(scan, out, "--rows", "0:6", "--overwrite")
    assert not second["existed"]
    assert (second["shape"], len(voxels(out))) == ([6, 64, 64], 6)
    assert {d["pid"] for d in shell.datasets()} == {first["pid"], second["pid"]}
    assert len(shell.datasets("raw")) == 1
    assert everything(tmp_path / "out") == {"result.h5", "result.record.json", "result-ro-crate-metadata.json"}


def test_catalog_of_ones_own(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "beamtime.db"
    found = shell.reconstruct(scan, tmp_path / "out" / "result.h5", "--rows", "0:2", "--catalog", catalog)
    listed = shell.here("catalog", "list", "--catalog", catalog, "--json").json
    assert {d["type"] for d in listed} == {"raw", "derived"}
    assert found["pid"] in {d["pid"] for d in listed}
    assert shell.datasets() == []
    shown = shell.here("catalog", "show", found["pid"], "--catalog", catalog, "--json").json
    assert shown["inputDatasets"] == [d["pid"] for d in listed if d["type"] == "raw"]


def test_an_unwritable_catalog_costs_no_result(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "result.h5"
    (tmp_path / "folder").mkdir()
    ended = shell.here("reconstruct", scan, "-o", out, "--rows", "0:2", "--catalog", tmp_path / "folder")
    assert ended.code in (1, 2)
    assert len(ended.message) <= 2
    assert shell.reconstruct(scan, out, "--rows", "0:2")["pid"]
    assert len(shell.datasets()) == 1


@pytest.mark.parametrize("variable", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_one_rank_is_fine(shell: CommandLine, scan: Path, tmp_path: Path, variable: str) -> None:
    ended = shell.here("reconstruct", scan, "-o", tmp_path / "r.h5", "--rows", "0:2", env={variable: "1"})
    assert ended.code == 0


def test_units_on_the_command_line(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    shell.reconstruct(scan, tmp_path / "r.h5", "--rows", "0:2", "-s", "scan.pixel_size=0.65 um")
    with h5py.File(tmp_path / "r.h5") as file:
        assert np.diff(file["entry/data/x"][:2])[0] == pytest.approx(0.65e-6)


def test_second_run_is_quick(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    """Nothing is read but what tells that it is the same."""
    first = shell.reconstruct(scan, tmp_path / "r.h5")
    with h5py.File(scan, "r") as file:
        raw = file["entry/instrument/detector/data"]
        offset, size = raw.id.get_offset(), raw.id.get_storage_size()
    assert size < 4 << 20  # it goes into the identity as a whole
    assert offset
    start = time.monotonic()
    again = shell.reconstruct(scan, tmp_path / "r.h5")
    assert again["existed"]
    assert again.keys() == first.keys()
    assert again["metrics"].keys() == first["metrics"].keys()
    assert {**again["seconds"], "register": 0} == {**first["seconds"], "register": 0}, "those of the run"
    assert time.monotonic() - start < 60


def test_help_names_every_option(shell: CommandLine) -> None:
    text = shell.here("reconstruct", "--help").out
    for option in ("--out", "--recipe", "-s", "--center", "--rows", "--preview", "--backend", "--catalog",
                   "--memory", "--threads", "--overwrite", "--json"):  # fmt: skip
        assert option in text
