from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho_files import SHAPE, VIEWS, counts, frames, opened, refused, write

CORNERS = np.array([[0, 0], [0, 7], [5, 2], [9, 4], [3, 11], [8, 8]], "u4")
GIVEN = {"energy": "6.2 keV", "distance": "7 m", "pixel_size": "172 um"}


def fields() -> dict[str, Any]:
    return {
        "objects": np.array([[30, 30]], "u4"),
        "probes": np.array([SHAPE], "u4"),
        "detector/n0/rows": SHAPE[0],
        "detector/n0/columns": SHAPE[1],
        "detector/n0/bad_pixels": np.array([[1, 2], [7, 9]], "u4"),
        "measurement/n0/detector": 0,
        "measurement/n0/probe": 0,
        "measurement/n0/object": 0,
        "measurement/n0/positions": CORNERS,
        "measurement/n0/data": frames(),
    }


@pytest.mark.parametrize("transposed", [False, True])
def test_all_that_is_written(tmp_path: Path, transposed: bool) -> None:
    extra = {"measurement/n0/positions": CORNERS.T} if transposed else {}
    scan = opened(write(tmp_path / "scan.h5", fields() | extra, chunks=(1, *SHAPE)), **GIVEN)
    assert (scan.format, scan.shape, scan.frames.dtype) == ("ptychoshelves", (VIEWS, *SHAPE), np.uint16)
    np.testing.assert_array_equal(counts(scan), frames())
    np.testing.assert_allclose(scan.positions, CORNERS * np.array(scan.object_pixel))
    assert scan.good is not None
    assert sorted(zip(*np.nonzero(~scan.good), strict=True)) == [(1, 2), (7, 9)]
    assert (scan.energy, scan.distance) == (pytest.approx(6200), 7)
    swapped = opened(tmp_path / "scan.h5", **GIVEN, position_orientation="+x+y")
    np.testing.assert_allclose(swapped.positions, CORNERS[:, ::-1] * np.array(scan.object_pixel))


def test_bad_pixels_of_frames_and_by_number(tmp_path: Path) -> None:
    extra = {
        "detector/n0/bad_pixels": np.array([0, 79], "u4"),
        "measurement/n0/bad_pixels": np.array([[3, 3], [3, 4], [3, 3]], "u4"),
        "measurement/n0/bad_pixels_index": np.array([0, 1, 1, 2, 3, 3], "u4"),
    }
    scan = opened(write(tmp_path / "a.h5", fields() | extra), **GIVEN)
    assert scan.good is not None
    assert sorted(zip(*np.nonzero(~scan.good), strict=True)) == [(0, 0), (3, 3), (3, 4), (7, 9)]


def test_several_measurements(tmp_path: Path) -> None:
    more = {"measurement/n1/data": frames(4), "measurement/n1/positions": CORNERS[:4], "measurement/n1/detector": 0}
    path = write(tmp_path / "a.h5", fields() | more)
    assert "2 measurements" in " ".join(opened(path, **GIVEN).understood)
    other = opened(path, **GIVEN, paths={"data": "/measurement/n1/data"})
    np.testing.assert_array_equal(counts(other), frames(4))


def test_bad_input(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", fields())
    error = refused(path)
    assert "no energy, distance and pixel size" in error.message
    assert all(name in error.hint for name in ("scan.energy", "scan.distance", "scan.pixel_size"))
    extra = {"measurement/n0/positions": None}
    assert "no scan positions" in refused(write(path, fields() | extra), **GIVEN).message
    extra = {"detector/n0/bad_pixels": np.array([[1, 99]])}
    assert "lists pixels" in refused(write(path, fields() | extra), **GIVEN).message
    extra = {"measurement/n0/positions": np.zeros((6, 3))}
    assert "positions are (N, 2)" in refused(write(path, fields() | extra), **GIVEN).message
    extra = {"measurement/n0/positions": CORNERS * 100_000}
    assert "65536" in refused(write(path, fields() | extra), **GIVEN).message


def test_results_are_no_scans(tmp_path: Path) -> None:
    result = {"reconstruction/p/objects/object_0": np.ones((9, 9), "c8")}
    assert "holds a reconstruction" in refused(write(tmp_path / "a.h5", result)).message
