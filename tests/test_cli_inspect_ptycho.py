"""`hpcdaas inspect` on scans of ptychography."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from command_line import CommandLine, everything
from ptycho_files import DETECTOR, TRANSLATION, cxi_fields, places, write, xyz


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return CommandLine(tmp_path / "home")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write(tmp_path / "scan.cxi", cxi_fields())


def test_for_people(shell: CommandLine, scan: Path) -> None:
    ended = shell.here("inspect", scan)
    assert (ended.code, ended.err) == (0, "")
    for fact in (
        "ptychography, cxi",
        "6 of 8 × 10",
        "uint16",
        "+y+x, as stored",
        "8000 eV",
        "2 m",
        "7.5e-05 × 7e-05 m",
    ):
        assert fact in ended.out, fact
    assert everything(Path()) == set()


def test_for_programs(shell: CommandLine, scan: Path) -> None:
    found = shell.here("inspect", scan, "--json").json
    assert (found["technique"], found["format"], found["shape"]) == ("ptychography", "cxi", [6, 8, 10])
    assert (found["energy"], found["distance"]) == (pytest.approx(8000), 2)
    assert found["output"]["shape"][0] > 8
    assert "picture" not in found
    near = shell.here("inspect", scan, "--json", "-s", "scan.focus_distance=4 mm").json
    assert near["magnification"] == pytest.approx(501)


def test_the_scan_is_drawn(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    ended = shell.here("inspect", scan, "-o", picture, "-s", "scan.position_orientation=-x+y")
    assert ended.code == 0
    assert "map.png" in ended.out.replace("\n", "")
    with Image.open(picture) as drawn:
        assert min(drawn.size) > 300
    assert shell.here("inspect", scan, "-o", tmp_path / "map.txt").code == 2


def test_what_isnt_of_ptychography(shell: CommandLine, scan: Path) -> None:
    ended = shell.here("inspect", scan, "--center")
    assert ended.code == 2
    assert "no rotation centre" in "\n".join(ended.message)


def test_bad_input_is_one_line(shell: CommandLine, scan: Path) -> None:
    for fields, word in (
        ({f"{DETECTOR}/distance": None}, "scan.distance"),
        ({TRANSLATION: None}, "scan.positions"),
        ({TRANSLATION: xyz(places() * 1e9)}, "span"),
    ):
        ended = shell.here("inspect", write(scan, cxi_fields() | fields))
        assert ended.code == 2
        assert len(ended.message) <= 2
        assert word in "\n".join(ended.message)
    path = write(scan, cxi_fields() | {f"{DETECTOR}/distance": None})
    assert shell.here("inspect", path, "-s", "scan.distance=2 m").code == 0
    assert shell.here("inspect", path, "-s", "scan.position_orientation=+y+y").code == 2
