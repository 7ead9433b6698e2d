from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ptycho_files import SHAPE, counts, frames, opened, places, refused, write

VIEWS = 23  # eleven chunks of two and one of one: "10" comes after "9"


def fields() -> dict[str, Any]:
    whole: dict[str, Any] = {
        "meta/energy": 7.2,
        "meta/distance": 2.19,
        "meta/psize": np.array([172e-6, 170e-6]),
        "meta/center": np.array([4.0, 5.5]),
        "meta/shape": np.array(SHAPE),
        "meta/label": b"star",
        "common/weight2d": np.ones(SHAPE, "u1"),
        "info/num_frames": VIEWS,
    }
    whole["common/weight2d"][2, 3] = 0
    for number, first in enumerate(range(0, VIEWS, 2)):
        part = slice(first, first + 2)
        whole |= {
            f"chunks/{number}/data": frames(VIEWS)[part],
            f"chunks/{number}/positions": places(VIEWS)[part],
            f"chunks/{number}/indices": np.arange(VIEWS)[part],
        }
    return whole


@pytest.mark.parametrize("storage", [{}, {"compression": "lzf"}])
def test_all_that_is_written(tmp_path: Path, storage: dict[str, Any]) -> None:
    scan = opened(write(tmp_path / "scan.ptyd", fields(), **storage))
    assert (scan.name, scan.format, scan.shape, scan.frames.dtype) == ("scan", "ptyd", (VIEWS, *SHAPE), np.uint16)
    np.testing.assert_array_equal(counts(scan), frames(VIEWS))
    np.testing.assert_array_equal(scan.frames.read(slice(3, 21), slice(2, 5)), frames(VIEWS)[3:21, 2:5])
    np.testing.assert_allclose(scan.positions, places(VIEWS))
    assert (scan.energy, scan.distance) == (pytest.approx(7200), 2.19)
    assert (scan.pixel_size, scan.beam_center) == ((172e-6, 170e-6), (4.0, 5.5))
    assert scan.good is not None
    assert list(zip(*np.nonzero(~scan.good), strict=True)) == [(2, 3)]
    assert scan.metadata["title"] == "star"
    assert scan.oriented == ""


def test_weights_of_chunks_and_one_pixel_size(tmp_path: Path) -> None:
    weights = np.ones((2, *SHAPE), "f4")
    weights[1, 7, 7] = 0
    extra = {"chunks/3/weights": weights, "meta/psize": 172e-6, "meta/center": b"fftshift"}
    scan = opened(write(tmp_path / "a.ptyd", fields() | extra))
    assert scan.good is not None
    assert sorted(zip(*np.nonzero(~scan.good), strict=True)) == [(2, 3), (7, 7)]
    assert (scan.pixel_size, scan.beam_center) == ((172e-6, 172e-6), None)


def test_chunks_in_files_of_their_own(tmp_path: Path) -> None:
    whole = fields()
    for number in range(12):
        names = [name for name in whole if name.startswith(f"chunks/{number}/")]
        write(tmp_path / f"a.part{number:03d}.ptyd", {name: whole.pop(name) for name in names})
        whole[f"chunks/{number}"] = h5py.ExternalLink(f"a.part{number:03d}.ptyd", f"/chunks/{number}")
    scan = opened(write(tmp_path / "a.ptyd", whole))
    np.testing.assert_array_equal(counts(scan), frames(VIEWS))
    assert len(scan.files) == 13
    (tmp_path / "a.part004.ptyd").unlink()
    assert "a.part004.ptyd" in refused(tmp_path / "a.ptyd").message


def test_a_gap_is_said(tmp_path: Path) -> None:
    whole = {name: value for name, value in fields().items() if not name.startswith("chunks/5/")}
    scan = opened(write(tmp_path / "a.ptyd", whole))
    assert scan.shape[0] == VIEWS - 2
    assert "the scan has gaps" in " ".join(scan.understood)
    np.testing.assert_allclose(scan.positions[10], places(VIEWS)[12])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({f"chunks/{n}/positions": None for n in range(12)}, "no scan positions"),
        ({"chunks/3/positions": None}, "21 positions from the chunks"),
        ({"chunks/3/data": None}, "Chunk 3 of"),
        ({"chunks/3/data": np.zeros((2, 8, 8), "u2")}, "another size"),
        ({f"chunks/{n}/data": np.zeros((0, *SHAPE), "u2") for n in range(12)}, "no frames"),
        ({"chunks/3/positions": np.zeros(2)}, "positions are (N, 2)"),
        ({"meta/energy": None}, "no energy"),
        ({"meta/energy": b"None", "meta/psize": b"None"}, "no energy and pixel size"),
        ({"common/weight2d": np.ones((9, 9), "u1")}, "weight2d"),
        ({"common/weight2d": np.zeros(SHAPE, "u1")}, "no pixel of the detector"),
    ],
)
def test_bad_input(tmp_path: Path, extra: dict[str, Any], message: str) -> None:
    assert message in refused(write(tmp_path / "a.ptyd", fields() | extra)).message


def test_results_are_no_scans(tmp_path: Path) -> None:
    result = {"content/obj/S00/data": np.ones((1, 9, 9), "c8"), "header/description": b"x"}
    assert "holds a reconstruction" in refused(write(tmp_path / "a.ptyr", result)).message
