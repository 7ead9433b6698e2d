from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io import open_scan
from hpcdaas.scan import ScanTable

Counts = Callable[..., NDArray[Any]]
Writer = Callable[..., Path]
KEYS = [2, 1, 0, 0, 0, 0, 1, 0, 0]


@pytest.fixture
def scan_file(write_nxtomo: Writer, counts: Counts) -> Path:
    fields = {
        "instrument/detector/x_pixel_size": (5.0, "um"),
        "elsewhere/size": (0.5, "um"),
        "elsewhere/energy": (30.0, "keV"),
        "elsewhere/nounit": 3.0,
        "elsewhere/angles": (np.radians(np.arange(6) * 7.0), "rad"),
        "elsewhere/flats": counts((3, 4, 6), seed=5),
    }
    return write_nxtomo(counts((9, 4, 6)), KEYS, np.arange(9) * 10.0, fields)


def table(**values: Any) -> ScanTable:
    return ScanTable.model_validate(values)


def test_angles_from_everywhere(tmp_path: Path, scan_file: Path) -> None:
    expected = np.arange(6) * 7.0
    np.save(tmp_path / "angles.npy", expected)
    (tmp_path / "angles.txt").write_text("".join(f"{angle}\n" for angle in expected))
    (tmp_path / "angles.csv").write_text("angle\n" + "".join(f"{angle},\n" for angle in expected))
    (tmp_path / "row.csv").write_text(";".join(str(angle) for angle in expected) + "  # degrees")
    with h5py.File(tmp_path / "angles.h5", "w") as file:
        file["a/b"] = expected
    given: list[Any] = [
        "/entry/elsewhere/angles",
        "entry/elsewhere/angles",
        "angles.npy",
        str(tmp_path / "angles.txt"),
        "angles.csv",
        "row.csv",
        "angles.h5:/a/b",
        f"{scan_file}:/entry/elsewhere/angles",
        list(expected),
        [f"{np.radians(angle)} rad" for angle in expected],
    ]
    for angles in given:
        np.testing.assert_allclose(open_scan(scan_file, table(angles=angles)).angles, expected, atol=1e-12)
    scan = open_scan(scan_file, table(paths={"angles": "angles.npy"}))
    assert [path.name for path in scan.files] == ["scan.nxs", "angles.npy"]
    scan = open_scan(scan_file, table(angle_range=(0, 180)))
    np.testing.assert_allclose(scan.angles, [0, 36, 72, 108, 144, 180])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 2\n3 4\n", "several columns"),
        ("nothing\n", "holds no numbers"),
        ("1\n2\nthree\n", "'three' in .* is no number"),
        ("1\n2\n", "2 angles from .* don't fit 6 projections among 9 frames"),
        ("1\n2\n3\n4\n5\nnan\n", "1 of 6 angles"),
    ],
)
def test_bad_angle_files(tmp_path: Path, scan_file: Path, content: str, words: str) -> None:
    (tmp_path / "angles.txt").write_text(content)
    with pytest.raises(InputError, match=words):
        open_scan(scan_file, table(angles="angles.txt"))


def test_places_that_are_not_there(scan_file: Path) -> None:
    for values in ({"angles": "gone.txt"}, {"flats": "gone.h5:/data"}, {"darks": "/entry/none"}):
        with pytest.raises(InputError, match=r"is neither a file nor a path in scan\.nxs"):
            open_scan(scan_file, table(**values))
    with pytest.raises(InputError, match="no key 'angels'") as raised:
        open_scan(scan_file, table(paths={"angels": "/entry"}))
    assert "'angles'" in raised.value.hint
    with pytest.raises(InputError, match="has no unit") as raised:
        open_scan(scan_file, table(paths={"energy": "/entry/elsewhere/nounit"}))
    assert "scan.energy" in raised.value.hint
    with pytest.raises(InputError, match=r"is no stack of images|is no dataset"):
        open_scan(scan_file, table(flats="/entry/elsewhere"))


def test_the_table_wins(scan_file: Path) -> None:
    assert open_scan(scan_file).pixel_size == pytest.approx(5e-6)
    scan = open_scan(scan_file, table(pixel_size="0.65 um", energy="20 keV", distance="5 cm", center=2.5))
    assert (scan.pixel_size, scan.energy, scan.distance, scan.center) == (
        pytest.approx(0.65e-6),
        pytest.approx(20e3),
        pytest.approx(0.05),
        2.5,
    )
    scan = open_scan(
        scan_file, table(paths={"pixel_size": "/entry/elsewhere/size", "energy": "entry/elsewhere/energy"})
    )
    assert (scan.pixel_size, scan.energy) == (pytest.approx(0.5e-6), pytest.approx(30e3))


def test_flats_and_darks(tmp_path: Path, scan_file: Path, write_nxtomo: Writer, counts: Counts) -> None:
    flats = counts((3, 4, 6), seed=5)
    other = write_nxtomo(counts((5, 4, 6), seed=6), [2, 1, 1, 0, 2], None, name="flats.nxs")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["anywhere"] = flats
    whole = slice(None), slice(None)
    for given in ("/entry/elsewhere/flats", "plain.h5", "plain.h5:anywhere", f"{scan_file}:/entry/elsewhere/flats"):
        scan = open_scan(scan_file, table(flats=given))
        assert [group.when for group in scan.flats] == [0]
        np.testing.assert_array_equal(scan.flats[0].frames.read(*whole), flats)
        scan = open_scan(scan_file, table(paths={"darks": given}))
        assert scan.darks is not None
        np.testing.assert_array_equal(scan.darks.read(*whole), flats)
    scan = open_scan(scan_file, table(flats="flats.nxs", darks=str(other)))
    np.testing.assert_array_equal(scan.flats[0].frames.read(*whole), counts((5, 4, 6), seed=6)[1:3])
    assert scan.darks is not None
    np.testing.assert_array_equal(scan.darks.read(*whole), counts((5, 4, 6), seed=6)[[0, 4]])
    assert [path.name for path in scan.files] == ["scan.nxs", "flats.nxs"]
    scan = open_scan(scan_file, table(flats=1000, darks=0))
    assert (scan.flats[0].frames.read(*whole) == 1000).all()
    for value in (0, -5):
        with pytest.raises(InputError, match=r"scan\.flats"):
            open_scan(scan_file, table(flats=value))
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["anywhere"] = flats[:, 1:]
    with pytest.raises(InputError, match="flats have 3 x 6 pixels, the projections 4 x 6"):
        open_scan(scan_file, table(flats="plain.h5"))


def test_some_frames(scan_file: Path, counts: Counts) -> None:
    frames = counts((9, 4, 6))
    scan = open_scan(scan_file, table(frames="1:5"))
    np.testing.assert_array_equal(scan.projections.read(slice(None), slice(None)), frames[[3, 4, 5, 7]])
    np.testing.assert_allclose(scan.angles, [30, 40, 50, 70])
    assert [group.when for group in scan.flats] == [-1, 3]
    scan = open_scan(scan_file, table(frames="2:4", angles=[1, 2]))
    np.testing.assert_allclose(scan.angles, [1, 2])
    scan = open_scan(scan_file, table(frames="2:4", angle_range=[0, 50]))
    np.testing.assert_allclose(scan.angles, [20, 30])
    for frames_wanted in ("3:3", "4:9"):
        with pytest.raises(InputError, match=r"scan\.frames: the range"):
            open_scan(scan_file, table(frames=frames_wanted))


@pytest.mark.parametrize("center", [-0.5, 5.5, 1e9])
def test_center_off_the_detector(scan_file: Path, center: float) -> None:
    with pytest.raises(InputError, match=r"scan\.center = .* is off the detector, whose columns are 0 to 5"):
        open_scan(scan_file, table(center=center))
    with h5py.File(scan_file, "a") as file:
        file["entry/instrument/detector/x_rotation_axis_pixel_position"] = center
    with pytest.raises(InputError, match="The file's rotation centre"):
        open_scan(scan_file)
    assert open_scan(scan_file, table(center=2)).center == 2
