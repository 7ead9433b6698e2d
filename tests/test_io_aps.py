from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcdaas.scan import PLANCK_LIGHT
from ptycho_files import SHAPE, VIEWS, counts, frames, opened, places, refused, write


def product() -> dict[str, Any]:
    y, x = places().T
    return {
        "probe_position_x_m": x,
        "probe_position_y_m": y,
        "probe": np.full((1, 2, *SHAPE), 1 + 2j, "c8"),
        "object": np.ones((1, 30, 30), "c8"),
    }


def describe(path: Path, pixel: tuple[float, float]) -> Path:
    """Add the attributes of a product."""
    with h5py.File(path, "r+") as file:
        file.attrs["probe_energy_eV"] = 10_000.0
        file.attrs["detector_object_distance_m"] = 2.0
        file["object"].attrs["pixel_height_m"], file["object"].attrs["pixel_width_m"] = pixel
    return path


@pytest.mark.parametrize("apart", ["", "given", "beside"])
def test_ptychodus(tmp_path: Path, apart: str) -> None:
    names = {"": ("scan.h5", "scan.h5"), "given": ("scan.h5", "pos.h5"), "beside": ("s_dp.h5", "s_para.h5")}[apart]
    path, other = (tmp_path / name for name in names)
    pixel = (5e-9, 4e-9)
    if apart:
        write(path, {"dp": frames()})
        describe(write(other, product()), pixel)
    else:
        describe(write(path, {"dp": frames()} | product()), pixel)
    scan = opened(path, **({"positions": "pos.h5"} if apart == "given" else {}))
    assert (scan.format, scan.shape) == ("aps", (VIEWS, *SHAPE))
    np.testing.assert_array_equal(counts(scan), frames())
    np.testing.assert_allclose(scan.positions, places())
    assert (scan.energy, scan.distance) == (10_000, 2)
    assert scan.object_pixel == pytest.approx(pixel)
    assert scan.pixel_size == pytest.approx(
        (PLANCK_LIGHT / 1e4 * 2 / (8 * pixel[0]), PLANCK_LIGHT / 1e4 * 2 / (10 * pixel[1]))
    )
    assert scan.probe is not None
    assert scan.probe.shape == (2, *SHAPE)
    assert {file.name for file in scan.files} == set(names)


def test_parameters_by_name(tmp_path: Path) -> None:
    y, x = places().T
    fields = {"dp": frames(), "ppX": x, "ppY": y, "lambda": 1.24e-10, "dx": 6e-9, "bad_pixels": np.eye(*SHAPE)}
    path = write(tmp_path / "a.h5", fields)
    assert "no distance and pixel size" in refused(path).message
    scan = opened(path, distance="2 m")
    assert scan.energy == pytest.approx(PLANCK_LIGHT / 1.24e-10)
    assert scan.object_pixel == pytest.approx((6e-9, 6e-9))
    assert scan.good is not None
    assert (~scan.good).sum() == 8
    write(path, fields | {"dp": frames(6, (8, 8)), "bad_pixels": None})
    other = opened(path, pixel_size="75 um")
    assert other.object_pixel == pytest.approx((6e-9, 6e-9))


def test_written_by_matlab(tmp_path: Path) -> None:
    y, x = places().T
    path = write(tmp_path / "a.mat", {"dp": frames(), "ppX": x, "ppY": y, "lambda": 1.24e-10, "z": 2.0})
    with h5py.File(path, "r+") as file:
        file["dp"].attrs["MATLAB_class"] = np.bytes_("uint16")
    scan = opened(path, pixel_size="75 um")
    assert (scan.orientation, scan.oriented) == ("+x+y", "file")
    np.testing.assert_allclose(scan.positions, places()[:, ::-1])


def test_raster(tmp_path: Path) -> None:
    data = frames(6).reshape(2, 3, *SHAPE)
    y, x = np.meshgrid([0, 1e-6], [0, 2e-6, 4e-6], indexing="ij")
    fields = {"dp": data, "probe_position_x_m": x, "probe_position_y_m": y, "lambda": 1e-10, "z": 1.0}
    scan = opened(write(tmp_path / "a.h5", fields), pixel_size="75 um")
    np.testing.assert_array_equal(counts(scan), frames(6))
    np.testing.assert_allclose(scan.positions, np.column_stack([y.ravel(), x.ravel()]))


def test_bad_input(tmp_path: Path) -> None:
    given = {"energy": "10 keV", "distance": "2 m", "pixel_size": "75 um"}
    path = write(tmp_path / "a.h5", {"dp": frames()})
    assert "no scan positions" in refused(path, **given).message
    assert "no scan positions" in refused(path).message
    y, x = places().T
    write(path, {"dp": frames(), "probe_position_x_m": x[:4], "probe_position_y_m": y})
    assert "4 and 6 values" in refused(path, **given).message
    write(path, {"dp": frames(), "ppX": x, "ppY": y, "probe": np.ones((1, 9, 9), "c8")})
    assert "probe has 9 x 9 pixels" in refused(path, **given).message
    assert "holds a reconstruction" in refused(write(path, product())).message
