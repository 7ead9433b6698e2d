from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcdaas.scan import PLANCK_LIGHT
from ptycho_files import SHAPE, VIEWS, counts, frames, opened, places, refused, write

MASK = np.zeros(SHAPE, "u4")
MASK[2, 2] = 1


def beamline() -> dict[str, Any]:
    return {
        "entry/data/data": frames(),
        "entry/collection/mask": MASK,
        "entry/instrument/monochromator/distance": 5230.0,
        "entry/instrument/monochromator/energy": 6.2,
        "entry/instrument/eiger_4/x_pixel_size": 75.0,
        "entry/instrument/eiger_4/y_pixel_size": 75.0,
    }


@pytest.fixture
def positions(tmp_path: Path) -> Path:
    path = tmp_path / "scan_00012.dat"
    rows = "\n".join(f"{x * 1e6:.9f} {y * 1e6:.9f}" for y, x in places())
    path.write_text(f"Average_x_st_fzp Average_y_st_fzp\n{rows}\n")
    return path


@pytest.mark.parametrize("place", ["entry/data/data", "entry/instrument/eiger_1/data", "entry/instrument/eiger_4/data"])
def test_beamline(tmp_path: Path, positions: Path, place: str) -> None:
    fields = beamline() | {"entry/data/data": None}
    path = write(tmp_path / "scan.h5", fields | {place: frames()}, chunks=(1, *SHAPE), compression="gzip")
    scan = opened(path, positions=f"{positions} um")
    assert (scan.format, scan.shape) == ("csaxs", (VIEWS, *SHAPE))
    np.testing.assert_array_equal(counts(scan), frames())
    np.testing.assert_allclose(scan.positions, places(), atol=1e-14)
    assert (scan.energy, scan.distance) == (pytest.approx(6200), pytest.approx(5.23))
    assert scan.pixel_size == pytest.approx((75e-6, 75e-6))
    assert scan.good is not None
    np.testing.assert_array_equal(scan.good, MASK == 0)
    assert [file.name for file in scan.files] == ["scan.h5", "scan_00012.dat"]
    assert "no scan positions" in refused(path).message
    assert "65536" in refused(path, positions=str(positions)).message


def test_units_of_the_file_win(tmp_path: Path, positions: Path) -> None:
    fields = beamline() | {
        "entry/instrument/monochromator/distance": (5.1, "m"),
        "entry/instrument/eiger_4/x_pixel_size": (80e-6, "m"),
    }
    scan = opened(write(tmp_path / "a.h5", fields), positions=f"{positions} um")
    assert scan.distance == pytest.approx(5.1)
    assert scan.pixel_size == pytest.approx((75e-6, 80e-6))


def test_master_of_the_detector(tmp_path: Path, positions: Path) -> None:
    for number, part in enumerate((slice(0, 4), slice(4, 6)), 1):
        write(tmp_path / f"s_data_{number:06d}.h5", {"entry/data/data": frames()[part]})
    fields = {
        **{
            f"entry/data/data_{number:06d}": h5py.ExternalLink(f"s_data_{number:06d}.h5", "/entry/data/data")
            for number in (1, 2)
        },
        "entry/instrument/detector/detector_distance": (2.0, "m"),
        "entry/instrument/detector/x_pixel_size": (75e-6, "m"),
        "entry/instrument/detector/y_pixel_size": (75e-6, "m"),
        "entry/instrument/detector/beam_center_x": (4.5, "pixel"),
        "entry/instrument/detector/beam_center_y": (3.5, "pixel"),
        "entry/instrument/detector/detectorSpecific/pixel_mask": MASK,
        "entry/instrument/detector/detectorSpecific/countrate_correction_count_cutoff": 200,
        "entry/instrument/beam/incident_wavelength": (1.5, "angstrom"),
    }
    path = write(tmp_path / "s_master.h5", fields)
    scan = opened(path, positions=f"{positions} um")
    assert (scan.name, scan.shape) == ("s", (VIEWS, *SHAPE))
    np.testing.assert_array_equal(counts(scan), frames())
    assert scan.energy == pytest.approx(PLANCK_LIGHT / 1.5e-10)
    assert (scan.beam_center, scan.saturation, scan.distance) == ((3.5, 4.5), 200, 2)
    assert scan.good is not None
    assert (~scan.good).sum() == 1
    assert len(scan.files) == 4
    (tmp_path / "s_data_000002.h5").unlink()
    assert "s_data_000002.h5" in refused(path, positions=f"{positions} um").message
