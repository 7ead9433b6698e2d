from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcdaas.errors import InputError
from hpcdaas.io.cxi_writer import write_cxi
from ptycho_files import SHAPE, counts, frames, opened, places


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip", "shuffle": True}, {"chunks": (2, *SHAPE)}])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4"])
def test_comes_back(tmp_path: Path, dtype: str, filters: dict[str, Any]) -> None:
    good = np.ones(SHAPE, bool)
    good[2, 3] = False
    probe = np.exp(1j * np.arange(160).reshape(2, *SHAPE))
    metadata = {"title": "star", "sample": "gold", "start_time": "2026-01-02T03:04:05Z"}
    path = tmp_path / "scan.cxi"
    for pixel in (75e-6, (75e-6, 70e-6)):
        write_cxi(
            path,
            frames(dtype=dtype),
            places(),
            8800.0,
            1.5,
            pixel,
            probe=probe,
            good=good,
            metadata=metadata,
            **filters,
        )
        scan = opened(path)
        assert (scan.format, scan.frames.dtype, scan.distance) == ("cxi", np.dtype(dtype), 1.5)
        np.testing.assert_array_equal(counts(scan), frames(dtype=dtype))
        np.testing.assert_array_equal(scan.positions, places())
        assert scan.energy == pytest.approx(8800, rel=1e-12)
        assert scan.pixel_size == (pixel if isinstance(pixel, tuple) else (pixel, pixel))
        assert scan.good is not None
        np.testing.assert_array_equal(scan.good, good)
        assert scan.probe is not None
        np.testing.assert_array_equal(scan.probe, probe.astype("c8"))
        assert dict(scan.metadata) == metadata
        assert [entry.name for entry in tmp_path.iterdir()] == ["scan.cxi"]


def test_layout_for_other_programs(tmp_path: Path) -> None:
    write_cxi(tmp_path / "a.cxi", frames(), places(), 8800, 1.5, 75e-6)
    write_cxi(tmp_path / "b.cxi", frames(), places(), 8800, 1.5, 75e-6)
    assert (tmp_path / "a.cxi").read_bytes() == (tmp_path / "b.cxi").read_bytes()
    with h5py.File(tmp_path / "a.cxi") as file:
        assert file["cxi_version"][()] >= 140
        for place in ("entry_1/data_1", "entry_1/instrument_1/detector_1"):
            np.testing.assert_array_equal(file[f"{place}/data"], frames())
        for place in ("entry_1/data_1", "entry_1/sample_1/geometry_1"):
            np.testing.assert_array_equal(file[f"{place}/translation"][:, :2], places()[:, ::-1])
        source = file["entry_1/instrument_1/source_1"]
        assert source["energy"][()] == pytest.approx(8800 * 1.602176634e-19)
        assert source["wavelength"][()] == pytest.approx(1.40891e-10, rel=1e-5)
        assert "mask" not in file["entry_1/instrument_1/detector_1"]


def test_bad_arguments_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.cxi"
    for positions, more in (
        (places(5), {}),
        (places(), {"probe": np.ones((1, 9, 9), "c8")}),
        (places(), {"good": np.ones((9, 9), bool)}),
        (places(), {"metadata": {"colour": "red"}}),
    ):
        with pytest.raises(InputError):
            write_cxi(path, frames(), positions, 8800, 1.5, 75e-6, **more)
    with pytest.raises(InputError):
        write_cxi(path, frames()[0], places(), 8800, 1.5, 75e-6)
    with pytest.raises(InputError, match="can't be written"):
        write_cxi(tmp_path / "none" / "a.cxi", frames(), places(), 8800, 1.5, 75e-6)
    assert list(tmp_path.iterdir()) == []
    write_cxi(path, frames(), places(), 8800, 1.5, 75e-6)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_cxi(path, frames(), places(), 8800, 1.5, 75e-6, colour="red")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.cxi"]
