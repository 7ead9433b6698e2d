"""Arguments, recipes and places that ptychography can't use: one or two lines, code 2, nothing left behind."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from command_line import CommandLine, Shape
from ptycho_scans import FAR, LSQML, recipe, write_simulated
from test_cli_bad_input import check

VIEWS = 40


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good scan, with mask and first probe."""
    return write_simulated(tmp_path_factory.mktemp("scan") / "scan.cxi", FAR, views=VIEWS)


@pytest.fixture
def shell(tmp_path: Path) -> CommandLine:
    (tmp_path / "out").mkdir()
    return CommandLine(tmp_path / "home")


@pytest.mark.parametrize("option", ["--center=33", "--rows=0:2"])
def test_what_is_of_tomography(shell: CommandLine, scan: Path, option: str) -> None:
    check(shell, "neither rotation centre nor rows", scan, option)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("start.modes=33", "modes = 33"),
        ("start.modes=0", "modes = 0"),
        ("start.modes=1.5", "modes = 1.5"),
        ("start.object_modes=9", "object_modes = 9"),
        ("start.mode_power=1", "less than 1"),
        ("start.probe=zoneplate", "zoneplate"),
        ("start.diameter=3 eV", "3 eV"),
        ("frames.size=65", "square of 64, not of 65"),
        ("frames.size=4", "greater than or equal to 8"),
        ("frames.size=10000", "less than or equal to 8192"),
        ("frames.row=64", "off the frames"),
        ("frames.row=-1", "greater than or equal to 0"),
        ("frames.bin=16", "too small"),
        ("frames.hot=nan", "not a number"),
        ("lsqml.iterations=0", "iterations = 0"),
        ("lsqml.iteration=5", "'iterations'"),
        ("lsqml.groop=5", "'group'"),
        ("lsqml.grouping=dense", "dense"),
        ("lsqlm.group=5", "'lsqml'"),
        ("ml.noise=white", "white"),
        ("ml.noise=nan", "noise"),
        ("halfs.light=0.1", "'halves'"),
        ("fbp.padding=3", "'fbp' is for tomography"),
        ("scan.position_orientation=+y+y", r"\+y\+y"),
        ("scan.positions=/nowhere.csv", "nowhere"),
        ("scan.frames=0:1", "1 view"),
        ("scan.frames=0:99", "0:99"),
        ("scan.energy=3 m", "3 m"),
        ("scan.distance=-1", "greater than 0"),
        ("scan.focus_distance=0", "never in the focus"),
        ("scan.focus_distance=-1", "never in the focus"),
        ("scan.focus_distance=near", "near"),
        ("scan.paths.probe=/nowhere", "nowhere"),
        ("scan.paths.image_key=/a", "isn't of use"),
        ("scan.darks=/nowhere.h5", "nowhere"),
    ],
)  # fmt: skip
def test_settings(shell: CommandLine, scan: Path, setting: str, says: str) -> None:
    check(shell, says, scan, "-s", setting)


@pytest.mark.parametrize(("kind", "needs"), [("pinhole", "diameter"), ("zone_plate", "outer_zone")])
def test_a_probe_that_is_described_by_half(shell: CommandLine, scan: Path, kind: str, needs: str) -> None:
    check(shell, f"-s start.{needs}=", scan, "-s", f"start.probe={kind}", work=True)


def test_more_modes_than_views(shell: CommandLine, scan: Path) -> None:
    settings = ("-s", "start.modes=32", "-s", "start.object_modes=2", "-s", "scan.frames=0:30")
    assert "start.modes" in check(shell, "32 × 2 modes are more than the 30 views", scan, *settings)


@pytest.mark.parametrize("use", ["dm", "raar"])
def test_stored_waves_that_do_not_fit(shell: CommandLine, scan: Path, tmp_path: Path, use: str) -> None:
    steps = recipe(tmp_path, f"use = '{use}'\niterations = 2", LSQML)
    text = check(shell, "needs .* GB of memory, .* stored exit waves", scan, "-r", steps, "--memory", "300MB")
    assert "lsqml" in text
    needed = re.search(r"--memory (\S+GB)", text)
    assert needed
    shell.reconstruct(scan, tmp_path / "result.h5", "-r", steps, "--memory", needed[1])


def test_too_little_memory_says_how_much_is_needed(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    steps = recipe(tmp_path, LSQML)
    text = check(shell, "needs .* GB of memory", scan, "-r", steps, "--memory", "100MB")
    needed = re.search(r"--memory (\S+GB)", text)
    assert needed
    shell.reconstruct(scan, tmp_path / "result.h5", "-r", steps, "--memory", needed[1])


# Recipes


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (["use = 'frames'"], "needs an algorithm.*\n.*lsqml"),
        (["use = 'start'", "use = 'frames'", LSQML], "The order is"),
        ([LSQML, "use = 'frames'"], "The order is"),
        (["use = 'halves'", LSQML], "The order is"),
        ([LSQML, "use = 'start'\nname = 'again'"], "The order is"),
        (["use = 'frames'", "use = 'frames'\nname = 'more'", LSQML], "The order is"),
        ([LSQML, "use = 'fbp'"], "'fbp' is for tomography"),
        (["use = 'lsqm'"], "no step 'lsqm'.*\n.*'lsqml'"),
        (["use = 'lsqml'\niteration = 3"], "no parameter 'iteration'.*\n.*'iterations'"),
        (["use = 'flatfield'", "use = 'fbp'"], "scan of ptychography, and the recipe 'recipe' is for tomography"),
    ],
)  # fmt: skip
def test_recipes(shell: CommandLine, scan: Path, tmp_path: Path, steps: list[str], says: str) -> None:
    check(shell, says, scan, "-r", recipe(tmp_path, *steps))


def test_a_recipe_of_ptychography_on_tomography(shell: CommandLine, tmp_path: Path) -> None:
    Shape().write(tmp_path / "scan.nxs")
    says = "scan of tomography, and the recipe 'recipe' is for ptychography"
    check(shell, says, tmp_path / "scan.nxs", "-r", recipe(tmp_path, LSQML))


def test_names_of_repeated_steps(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    """Without names of their own they can't be told apart; with them they can."""
    twice = recipe(tmp_path, LSQML, LSQML)
    check(shell, "2 steps 'lsqml'", scan, "-r", twice, "-s", "lsqml.group=4")
    named = recipe(tmp_path, LSQML, LSQML + "\nname = 'fine'")
    check(shell, "fine.iterations|iterations = 0", scan, "-r", named, "-s", "fine.iterations=0")


# Places


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that even root can't write to")
def test_unwritable_place(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    steps = recipe(tmp_path, LSQML)
    check(shell, "can't be written", scan, "-r", steps, "-o", "/proc/result.h5")
    check(shell, "no folder", scan, "-r", steps, "-o", tmp_path / "gone" / "result.h5")


def test_a_full_disk(shell: CommandLine, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a result needs is there before anything is computed."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    check(shell, "needs .* GB, .* free", scan, "-r", recipe(tmp_path, LSQML))


def test_other_run_is_kept(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    out, steps = tmp_path / "out" / "result.h5", recipe(tmp_path, LSQML)
    run = shell.reconstruct(scan, out, "-r", steps)["run"]
    content = out.read_bytes()
    text = check(shell, f"another run .{run[:8]}", scan, "-r", steps, "-s", "lsqml.seed=1")
    assert "--overwrite" in text
    assert out.read_bytes() == content
