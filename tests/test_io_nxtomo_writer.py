"""What is written as NXtomo is what the reader reads."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcdaas.errors import InputError
from hpcdaas.io import open_scan
from hpcdaas.io.nxtomo_writer import TomoFields, write_nxtomo, write_simulation
from hpcdaas.tomo.simulate import Simulation, SimulationParameters

PARAMETERS = SimulationParameters(angles=9, rows=4, columns=20, flats=3, darks=2)
KEYS, ANGLES = np.array([2, 1, 0, 0, 0]), np.array([0.0, 0, 0, 60, 120])
FRAMES = np.arange(5 * 2 * 3, dtype=np.uint16).reshape(5, 2, 3)


def test_a_simulated_scan_is_read_back(tmp_path: Path) -> None:
    made = Simulation(PARAMETERS)
    write_simulation(tmp_path / "scan.nxs", made)
    scan = open_scan(tmp_path / "scan.nxs")
    frames = np.concatenate(list(made.frames()))
    assert (scan.format, scan.shape) == ("nxtomo", (9, 4, 20))
    np.testing.assert_array_equal(scan.projections.read(slice(0, 9), slice(0, 4)), frames[5:14])
    np.testing.assert_allclose(scan.angles, made.angles)
    assert [(group.when, group.frames.shape[0]) for group in scan.flats] == [(0, 3), (9, 3)]
    assert scan.darks is not None
    assert scan.darks.shape == (2, 4, 20)
    found = (scan.pixel_size, scan.energy, scan.distance)
    assert found == pytest.approx((PARAMETERS.pixel_size, PARAMETERS.energy, PARAMETERS.distance))
    assert scan.center is None
    assert scan.metadata["sample"] == "phantom with pores and a crack"


def test_equal_scans_give_equal_bytes(tmp_path: Path) -> None:
    """So that the demo, made again, is the same scan with the same identity."""
    for name in ("a.nxs", "b.nxs"):
        write_simulation(tmp_path / name, Simulation(PARAMETERS), threads=2)
    assert (tmp_path / "a.nxs").read_bytes() == (tmp_path / "b.nxs").read_bytes()


@pytest.mark.parametrize(
    ("chunks", "filters", "stored"),
    [(None, {}, None), ((2, 2, 3), {}, (2, 2, 3)), (None, {"compression": "gzip"}, (1, 2, 3))],
)
def test_storage(tmp_path: Path, chunks: tuple[int, int, int], filters: dict[str, str], stored: object) -> None:
    path = tmp_path / "scan.nxs"
    write_nxtomo(path, [FRAMES[:2], FRAMES[2:]], TomoFields(KEYS, ANGLES), chunks, **filters)
    with h5py.File(path) as file:
        data = file["entry/instrument/detector/data"]
        assert data.chunks == stored
        np.testing.assert_array_equal(data, FRAMES)
        # a viewer finds its way from the root
        entry = file[file.attrs["default"]]
        assert entry["definition"].asstr()[()] == "NXtomo"
        shown = entry[entry.attrs["default"]]
        assert shown[shown.attrs["signal"]] == data
        assert entry["sample/rotation_angle"].attrs["units"] == "degrees"
        assert "x_pixel_size" not in entry["instrument/detector"]


@pytest.mark.parametrize(("blocks", "word"), [([FRAMES[:4]], "4 frames"), ([FRAMES, FRAMES[:1]], "more frames")])
def test_frames_and_keys_must_agree(tmp_path: Path, blocks: list[object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        write_nxtomo(tmp_path / "scan.nxs", blocks, TomoFields(KEYS, ANGLES))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 angles"):
        write_nxtomo(tmp_path / "scan.nxs", [FRAMES], TomoFields(KEYS, ANGLES[:3]))
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be written"):
        write_nxtomo(tmp_path / "no" / "scan.nxs", [FRAMES], TomoFields(KEYS, ANGLES))
