"""`hpcdaas inspect`: what was understood, what is missing, the recipe, trial slices."""

from __future__ import annotations

import tomllib
from pathlib import Path

import h5py
import pytest

from command_line import CommandLine, Shape, everything
from hpcdaas.recipe import parse

SHAPE = Shape()


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SHAPE.write(tmp_path_factory.mktemp("scan") / "scan.nxs", pixel_size=0.65e-6)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return CommandLine(tmp_path / "home")


def test_for_people(shell: CommandLine, scan: Path) -> None:
    ended = shell.here("inspect", scan)
    assert (ended.code, ended.err) == (0, "")
    for fact in ("60 of 12 × 64", "uint16", "0° to 177°", "6.5e-07 m", "25000 eV", "12 × 64 × 64", "nxtomo"):
        assert fact in ended.out, fact
    assert everything(Path()) == set()


def test_for_programs(shell: CommandLine, scan: Path) -> None:
    found = shell.here("inspect", scan, "--json").json
    assert found["shape"] == [60, 12, 64]
    assert found["output"]["shape"] == [12, 64, 64]
    assert found["output"]["bytes"] == 12 * 64 * 64 * 4
    assert found["darks"] == 2
    assert [group["frames"] for group in found["flats"]] == [3]
    assert (found["pixel_size"], found["energy"], found["distance"]) == (0.65e-6, 25e3, 0.05)
    assert found["center"] is None
    assert found["missing"] == []


def test_what_is_missing_comes_with_the_option_that_gives_it(shell: CommandLine, tmp_path: Path) -> None:
    path = SHAPE.write(tmp_path / "scan.nxs")
    with h5py.File(path, "r+") as file:
        del file["entry/instrument/beam"]
    found = shell.here("inspect", path, "--json").json
    assert {m["what"] for m in found["missing"]} == {"pixel_size", "energy"}
    for missing in found["missing"]:
        assert f"scan.{missing['what']}" in missing["option"]
    text = shell.here("inspect", path).out
    assert "scan.pixel_size" in text
    settings = ("-s", "scan.pixel_size=1 um", "-s", "scan.energy=20 keV")
    again = shell.here("inspect", path, "--json", *settings).json
    assert (again["missing"], again["energy"]) == ([], 20e3)


def test_recipe(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    """What it prints, written into a file, is the same run."""
    settings = ("-s", "fbp.eps=1e-4", "-s", "stripes.method=large", "-s", "scan.center=33")
    ended = shell.here("inspect", scan, "--recipe", *settings)
    assert (ended.code, ended.err) == (0, "")
    recipe = parse(tomllib.loads(ended.out))
    assert [step.name for step in recipe.steps] == ["flatfield", "minus_log", "stripes", "center", "fbp"]
    as_json = shell.here("inspect", scan, "--recipe", "--json", *settings).json
    assert as_json == recipe.resolved()
    (tmp_path / "default.toml").write_text(ended.out)
    one = shell.reconstruct(scan, tmp_path / "a.h5", *settings)
    assert shell.reconstruct(scan, tmp_path / "b.h5", "-r", tmp_path / "default.toml")["run"] == one["run"]


def test_trial_slices(shell: CommandLine, scan: Path) -> None:
    found = shell.here("inspect", scan, "--center", "--json").json["trials"]
    assert abs(found["center"] - SHAPE.center) < 0.1
    assert found["confidence"] > 0.5
    assert found["center"] in found["tried"]
    assert len(found["tried"]) >= 5
    assert found["picture"] == "scan_center.png"
    assert Path("scan_center.png").read_bytes().startswith(b"\x89PNG")
    assert everything(Path()) == {"scan_center.png"}


def test_trial_slices_where_the_centre_is_given(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    picture = tmp_path / "strip.png"
    ended = shell.here("inspect", scan, "--center", "-s", "scan.center=30", "-o", picture)
    assert ended.code == 0
    assert "30.00" in ended.out
    assert str(picture) in ended.out
    assert picture.exists()


@pytest.mark.parametrize("center", [0, 63])
def test_trial_slices_stay_on_the_detector(shell: CommandLine, scan: Path, center: int) -> None:
    found = shell.here("inspect", scan, "--center", "--json", "-s", f"scan.center={center}").json["trials"]
    assert all(0 <= value <= 63 for value in found["tried"])


def test_pictures_that_can_not_be_written(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "gone" / "strip.png", tmp_path / "here"):
        ended = shell.here("inspect", scan, "--center", "-o", place)
        assert ended.code == 2, ended.err
        assert len(ended.message) <= 2
        assert "fault of hpcdaas" not in ended.err


def test_the_scan_is_never_overwritten(shell: CommandLine, tmp_path: Path) -> None:
    path = SHAPE.write(tmp_path / "scan.nxs")
    content = path.read_bytes()
    ended = shell.here("inspect", path, "--center", "-o", path)
    assert ended.code == 2
    assert path.read_bytes() == content


def test_no_frame_is_read(shell: CommandLine, tmp_path: Path) -> None:
    """A scan with bad frames is looked at like any other."""
    frames = SHAPE.frames("f4")
    frames[20:] = float("nan")
    ended = shell.here("inspect", SHAPE.write(tmp_path / "scan.nxs", frames=frames))
    assert ended.code == 0
