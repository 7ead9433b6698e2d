"""Bad input of ptychography, as a user meets it: one or two lines, code 2, nothing left behind, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from command_line import CommandLine, everything
from hpcdaas.io.cxi_writer import write_cxi
from ptycho_files import DETECTOR, SOURCE, TRANSLATION
from ptycho_scans import FAR, LSQML, recipe, write_simulated
from test_cli_bad_input import check, check_refused

VIEWS, N = 40, 64
LINK = "entry_1/data_1/translation"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good scan, with mask and first probe."""
    return write_simulated(tmp_path_factory.mktemp("scan") / "scan.cxi", FAR, views=VIEWS)


@pytest.fixture
def shell(tmp_path: Path) -> CommandLine:
    (tmp_path / "out").mkdir()
    return CommandLine(tmp_path / "home")


@pytest.fixture
def spoil(scan: Path, tmp_path: Path) -> Callable[..., Path]:
    """Give a copy of the good scan in which datasets are others, or None for those that are gone."""

    def spoiled(fields: dict[str, Any]) -> Path:
        path = tmp_path / "spoiled.cxi"
        path.write_bytes(scan.read_bytes())
        with h5py.File(path, "r+") as file:
            for place, value in fields.items():
                if place in file:
                    del file[place]
                if value is not None:
                    file[place] = value
        return path

    return spoiled


def stored(path: Path, place: str) -> NDArray[Any]:
    with h5py.File(path) as file:
        return np.asarray(file[place][()])


def test_the_good_scan_is_good(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    """What is refused below is refused for its one fault."""
    found = shell.reconstruct(scan, tmp_path / "good.h5", "-r", recipe(tmp_path, LSQML))
    assert found["technique"] == "ptychography"
    assert 0 < found["error"] < 1


# Positions


def test_no_positions(shell: CommandLine, spoil: Callable[..., Path]) -> None:
    assert "scan.positions" in check(shell, "no scan positions", spoil({LINK: None, TRANSLATION: None}))


@pytest.mark.parametrize("count", [1, VIEWS - 1, VIEWS + 1])
def test_another_number_of_positions(shell: CommandLine, scan: Path, spoil: Callable[..., Path], count: int) -> None:
    places = np.resize(stored(scan, TRANSLATION), (count, 3))
    check(shell, rf"{count} positions .* don't fit {VIEWS} frames", spoil({TRANSLATION: places}))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_not_finite(
    shell: CommandLine, scan: Path, spoil: Callable[..., Path], value: float
) -> None:
    places = stored(scan, TRANSLATION)
    places[17, 1] = value
    check(shell, f"1 of {VIEWS} positions .* not finite, .* frame 17", spoil({TRANSLATION: places}))


@pytest.mark.parametrize("times", [1e6, 1e9, 1e12, 1e300])
def test_positions_a_kilometre_apart(shell: CommandLine, scan: Path, spoil: Callable[..., Path], times: float) -> None:
    """Before anything is allocated."""
    text = check(shell, "span .* pixels", spoil({TRANSLATION: stored(scan, TRANSLATION) * times}))
    assert "unit" in text


def test_an_object_beyond_the_memory(shell: CommandLine, scan: Path, spoil: Callable[..., Path]) -> None:
    """40,000 pixels along each axis are 13 GB."""
    path = spoil({TRANSLATION: stored(scan, TRANSLATION) * 800})
    text = check(shell, r"object of \d+ × \d+ pixels, .* GB, and the budget is 2 GB", path, "--memory", "2GB")
    assert "--memory" in text


@pytest.mark.parametrize("times", [0, 1e-3])
def test_all_within_a_pixel(shell: CommandLine, scan: Path, spoil: Callable[..., Path], times: float) -> None:
    text = check(shell, "within one pixel", spoil({TRANSLATION: stored(scan, TRANSLATION) * times}))
    assert "scan.focus_distance" in text


def test_an_orientation_that_is_not_sure(shell: CommandLine, spoil: Callable[..., Path]) -> None:
    frames = np.random.default_rng(0).poisson(20, (VIEWS, N, N)).astype(np.uint16)
    path = spoil({f"{DETECTOR}/data": frames})
    text = check(shell, "isn't sure", path, "-s", "scan.position_orientation=auto", work=True)
    assert "scan.position_orientation=" in text


# Frames


def test_frames_without_counts(shell: CommandLine, spoil: Callable[..., Path]) -> None:
    check(shell, "frames .* empty", spoil({f"{DETECTOR}/data": np.zeros((VIEWS, N, N), np.uint16)}))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_frames_that_are_not_finite(
    shell: CommandLine, spoil: Callable[..., Path], tmp_path: Path, value: float
) -> None:
    """In a frame that isn't looked at before all are read."""
    frames = np.random.default_rng(0).poisson(20, (200, N, N)).astype(np.float32)
    places = np.random.default_rng(1).random((200, 3)) * 3e-6
    frames[118, 7, 9] = value
    path = spoil({f"{DETECTOR}/data": frames, TRANSLATION: places})
    check(shell, "Frame 118 .* not finite", path, "-r", recipe(tmp_path, LSQML), work=True)
    assert shell.datasets() == []


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated(shell: CommandLine, scan: Path, tmp_path: Path, share: float) -> None:
    content = scan.read_bytes()
    (tmp_path / "cut.cxi").write_bytes(content[: int(share * len(content))])
    check(shell, "cut.cxi", tmp_path / "cut.cxi")


def test_a_damaged_chunk_is_found_while_reading(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.cxi"
    frames = stored(scan, f"{DETECTOR}/data")
    write_cxi(path, np.resize(frames, (120, N, N)), np.random.default_rng(1).random((120, 2)) * 3e-6, 6200, 1, 75e-6,
              compression="gzip")  # fmt: skip
    with h5py.File(path) as file:
        chunk = file[f"{DETECTOR}/data"].id.get_chunk_info(62)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset + 20)
        stream.write(b"\xff" * 200)
    check(shell, "damaged.cxi", path, "-r", recipe(tmp_path, LSQML), work=True)


# Geometry


@pytest.mark.parametrize(
    ("gone", "says", "option"),
    [
        ([f"{DETECTOR}/distance"], "gives no distance", "scan.distance="),
        ([f"{SOURCE}/energy", f"{SOURCE}/wavelength"], "gives no energy", "scan.energy="),
        ([f"{DETECTOR}/x_pixel_size", f"{DETECTOR}/y_pixel_size"], "gives no pixel size", "scan.pixel_size="),
    ],
)
def test_no_geometry(shell: CommandLine, spoil: Callable[..., Path], gone: list[str], says: str, option: str) -> None:
    assert option in check(shell, says, spoil(dict.fromkeys(gone)))


@pytest.mark.parametrize("what", ["mask", "probe"])
@pytest.mark.parametrize("shape", [(N, N + 1), (N // 2, N // 2)])
def test_images_of_another_shape(
    shell: CommandLine, spoil: Callable[..., Path], what: str, shape: tuple[int, int]
) -> None:
    place = {"mask": f"{DETECTOR}/mask", "probe": f"{SOURCE}/illumination"}[what]
    image = np.zeros(shape, np.uint32) if what == "mask" else np.ones(shape, np.complex64)
    text = check(shell, f"The {what} has {shape[0]} x {shape[1]} pixels, the frames 64 x 64", spoil({place: image}))
    assert f"scan.paths.{what}" in text


def test_a_mask_that_leaves_nothing(shell: CommandLine, spoil: Callable[..., Path]) -> None:
    check(shell, "mask leaves no pixel", spoil({f"{DETECTOR}/mask": np.ones((N, N), np.uint32)}))


# The same as processes


def test_as_processes(shell: CommandLine, scan: Path, spoil: Callable[..., Path], tmp_path: Path) -> None:
    bad = spoil({f"{DETECTOR}/data": np.zeros((VIEWS, N, N), np.uint16)})
    for says, arguments in (("empty", [bad]), ("'group'", [scan, "-s", "lsqml.groop=2"])):
        for as_json in (False, True):
            out = ["-o", tmp_path / "out" / "r.h5", *(["--json"] if as_json else [])]
            check_refused(shell.run("reconstruct", *arguments, *out), as_json, says)
    assert everything(tmp_path / "out") == set()
