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
from hpcdaas.scan import Scan, ScanTable

KEYS = [2, 1, 1, 0, 0, 0, 3, 0, 1, 0, 2]
PROJECTIONS = [3, 4, 5, 7, 9]
Counts = Callable[..., NDArray[Any]]
Writer = Callable[..., Path]


def everything(scan: Scan) -> tuple[NDArray[Any], list[tuple[float, NDArray[Any]]], NDArray[Any] | None]:
    whole = slice(None), slice(None)
    flats = [(group.when, group.frames.read(*whole)) for group in scan.flats]
    return scan.projections.read(*whole), flats, None if scan.darks is None else scan.darks.read(*whole)


def check(scan: Scan, frames: NDArray[Any]) -> None:
    projections, flats, darks = everything(scan)
    np.testing.assert_array_equal(projections, frames[PROJECTIONS])
    assert [when for when, _ in flats] == [0, 4]
    np.testing.assert_array_equal(flats[0][1], frames[1:3])
    np.testing.assert_array_equal(flats[1][1], frames[8:9])
    np.testing.assert_array_equal(darks, frames[[0, 10]])
    np.testing.assert_allclose(scan.angles, np.array(PROJECTIONS) * 10.0)


@pytest.mark.parametrize("entry", ["/entry", "/entry1/tomo_entry", "/a/b/c/d"])
@pytest.mark.parametrize("kind", ["i4", "u1", "f8", "f4"])
def test_any_depth_and_type_of_key(write_nxtomo: Writer, counts: Counts, entry: str, kind: str) -> None:
    frames = counts((11, 4, 6))
    path = write_nxtomo(frames, np.array(KEYS, kind), np.arange(11) * 10.0, entry=entry)
    scan = open_scan(path)
    check(scan, frames)
    assert (scan.name, scan.format, scan.files) == ("scan", "nxtomo", (path,))
    assert (scan.pixel_size, scan.energy, scan.distance, scan.center) == (None,) * 4


@pytest.mark.parametrize(
    "storage", [{"chunks": (1, 4, 6)}, {"chunks": (3, 2, 6), "compression": "gzip"}, {"chunks": (2, 4, 3)}]
)
def test_without_definition_and_chunked(write_nxtomo: Writer, counts: Counts, storage: dict[str, Any]) -> None:
    frames = counts((11, 4, 6), ">u2")
    check(open_scan(write_nxtomo(frames, KEYS, np.arange(11) * 10.0, definition=None, **storage)), frames)


def test_angles_of_projections_only_in_radians(write_nxtomo: Writer, counts: Counts) -> None:
    frames = counts((11, 4, 6))
    path = write_nxtomo(frames, KEYS, None, {"sample/rotation_angle": (np.radians(PROJECTIONS) * 10, "rad")})
    check(open_scan(path), frames)


def test_geometry_and_metadata(write_nxtomo: Writer, counts: Counts) -> None:
    fields = {
        "title": "a title",
        "start_time": "2026-01-02T03:04:05",
        "experiment_identifier": b"mg1-1",
        "sample/name": np.bytes_("tooth"),
        "instrument/name": "k11",
        "instrument/detector/x_pixel_size": ([0.65, np.nan], "um"),
        "instrument/detector/distance": (50.0, "mm"),
        "instrument/detector/x_rotation_axis_pixel_position": 2.25,
        "instrument/beam/incident_energy": (25.0, "keV"),
        "instrument/source/energy": (3.0, "GeV"),
        "instrument/detector/count_time": ([10.0] * 11, "ms"),
    }
    scan = open_scan(write_nxtomo(counts((11, 4, 6)), KEYS, np.arange(11), fields))
    assert scan.pixel_size == pytest.approx(0.65e-6)
    assert (scan.energy, scan.distance, scan.center) == (pytest.approx(25e3), pytest.approx(0.05), 2.25)
    assert dict(scan.metadata) == {
        "title": "a title",
        "sample": "tooth",
        "proposal": "mg1-1",
        "instrument": "k11",
        "start_time": "2026-01-02T03:04:05",
        "exposure_time": {"value": pytest.approx(0.01), "unit": "s"},
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"instrument/detector/x_pixel_size": (np.nan, "um")},
        {"instrument/detector/x_pixel_size": 0.65},
        {"instrument/detector/x_pixel_size": (0.65, "furlong per day")},
        {"instrument/detector/x_pixel_size": (0.0, "m")},
        {"instrument/detector/x_pixel_size": ([1.0, 2.0], "m")},
        {"instrument/detector/x_rotation_axis_pixel_position": np.nan},
        {"instrument/detector/x_rotation_axis_pixel_position": -2.0, "instrument/detector/field_of_view": "Full"},
        {"instrument/source/energy": (3.0, "GeV")},
    ],
)
def test_what_is_not_known_is_not_guessed(write_nxtomo: Writer, counts: Counts, fields: dict[str, Any]) -> None:
    scan = open_scan(write_nxtomo(counts((11, 4, 6)), KEYS, np.arange(11), fields))
    assert (scan.pixel_size, scan.energy, scan.center) == (None, None, None)


def test_links_to_other_files(tmp_path: Path, write_nxtomo: Writer, counts: Counts) -> None:
    frames = counts((11, 4, 6))
    raw = write_nxtomo(frames, KEYS, np.arange(11) * 10.0, name="raw/frames.h5")
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        detector = file.create_group("entry/instrument/detector")
        detector["image_key"] = KEYS
        detector["data"] = h5py.ExternalLink("raw/frames.h5", "/entry/soft")
        file["entry/sample/rotation_angle"] = h5py.SoftLink("/entry/positions/theta")
        file["entry/positions/theta"] = np.arange(11) * 10.0
        file["entry/other"] = h5py.ExternalLink("nowhere.h5", "/data")
    with h5py.File(raw, "a") as file:
        file["entry/soft"] = h5py.SoftLink("instrument/detector/data")
    scan = open_scan(tmp_path / "master.nxs")
    check(scan, frames)
    assert [path.name for path in scan.files] == ["master.nxs", "frames.h5"]


def test_an_entry_behind_an_external_link(tmp_path: Path, write_nxtomo: Writer, counts: Counts) -> None:
    frames = counts((11, 4, 6))
    write_nxtomo(frames, KEYS, np.arange(11) * 10.0, name="raw.nx")
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file["entry0000"] = h5py.ExternalLink("raw.nx", "/entry")
        file["entry0000_again"] = h5py.SoftLink("/")
    scan = open_scan(tmp_path / "master.nxs")
    check(scan, frames)
    assert [path.name for path in scan.files] == ["master.nxs", "raw.nx"]


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (h5py.ExternalLink("gone.h5", "/data"), r"leads to gone\.h5, and there is no such file"),
        (h5py.ExternalLink("here.h5", "/none"), r"leads to /none in here\.h5, and there is nothing"),
        (h5py.SoftLink("/entry/none"), "leads to /entry/none, and there is nothing"),
        (h5py.SoftLink("/entry/instrument/detector/data"), "circle"),
    ],
)
def test_dangling_links_are_named(tmp_path: Path, link: Any, words: str) -> None:
    with h5py.File(tmp_path / "here.h5", "w") as file:
        file["data"] = np.zeros((11, 4, 6))
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file["entry/instrument/detector/image_key"] = KEYS
        file["entry/instrument/detector/data"] = link
        file["entry/sample/rotation_angle"] = np.arange(11)
    with pytest.raises(InputError, match=words) as raised:
        open_scan(tmp_path / "scan.nxs")
    assert "/entry/instrument/detector/data" in raised.value.message


def test_dangling_angles(write_nxtomo: Writer, counts: Counts) -> None:
    path = write_nxtomo(counts((11, 4, 6)), KEYS, None)
    with h5py.File(path, "a") as file:
        file["entry/sample/rotation_angle"] = h5py.ExternalLink("gone.h5", "/theta")
    with pytest.raises(InputError, match=r"gone\.h5"):
        open_scan(path)
    assert len(open_scan(path, ScanTable(angle_range=(0, 180))).angles) == 5


def test_missing_key_is_all_projections(write_nxtomo: Writer, counts: Counts) -> None:
    frames = counts((5, 4, 6))
    scan = open_scan(write_nxtomo(frames, None, np.arange(5.0)))
    assert scan.shape == (5, 4, 6)
    assert (scan.flats, scan.darks) == ((), None)
    assert any("no image_key" in line for line in scan.understood)


def test_wrong_keys(write_nxtomo: Writer, counts: Counts) -> None:
    frames = counts((11, 4, 6))
    with pytest.raises(InputError, match="has 10 values, but there are 11 frames"):
        open_scan(write_nxtomo(frames, KEYS[:10], np.arange(11)))
    with pytest.raises(InputError, match="holds 7"):
        open_scan(write_nxtomo(frames, [7, *KEYS[1:]], np.arange(11)))
    with pytest.raises(InputError, match="no projections: 11 frames, of them 11 flats"):
        open_scan(write_nxtomo(frames, [1] * 11, np.arange(11)))


def test_a_stopped_scan_says_how_to_go_on(tmp_path: Path, write_nxtomo: Writer, counts: Counts) -> None:
    path = write_nxtomo(counts((11, 4, 6)), None, np.arange(11.0), chunks=(1, 4, 6))
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector/data"]
        data = file.create_dataset("entry/instrument/detector/data", (11, 4, 6), "u2", chunks=(1, 4, 6))
        data[:7] = 1
    with pytest.raises(InputError, match=r"4 of 11 projections .* number 7") as raised:
        open_scan(path)
    assert "scan.frames=0:7" in raised.value.hint
    assert open_scan(path, ScanTable(frames="0:7")).shape == (7, 4, 6)


def test_diad(real_data: Path) -> None:
    path = real_data / "tomo" / "k11_diad" / "k11-18014.nxs"
    scan = open_scan(path)
    assert scan.shape == (3001, 22, 26)
    assert [(group.when, group.frames.shape[0]) for group in scan.flats] == [(0, 50), (3001, 50)]
    assert scan.darks is not None
    assert scan.darks.shape[0] == 100
    assert scan.angles[0] == pytest.approx(90, abs=0.01)
    assert scan.angles[-1] == pytest.approx(270, abs=0.01)
    assert [file.name for file in scan.files] == ["k11-18014.nxs", "k11-18014-imaging.h5", "k11-18014-pcompPanda.h5"]
    assert scan.metadata["proposal"] == "mg32775-1"
    assert scan.metadata["instrument"] == "k11"
    with h5py.File(path) as file:
        frames, keys = file["entry/imaging/data"][()], file["entry/instrument/imaging/image_key"][()]
    projections, flats, darks = everything(scan)
    np.testing.assert_array_equal(projections, frames[keys == 0])
    np.testing.assert_array_equal(np.concatenate([stack for _, stack in flats]), frames[keys == 1])
    np.testing.assert_array_equal(darks, frames[keys == 2])
