from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ptycho_files import DETECTOR, SHAPE, TRANSLATION, counts, frames, opened, places, refused, write, xyz

DOWN, ACROSS = 3, 4
VIEWS = DOWN * ACROSS


def raster() -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.meshgrid(np.arange(DOWN) * 1e-6, np.arange(ACROSS) * 2e-6, indexing="ij")
    return frames(VIEWS).reshape(DOWN, ACROSS, *SHAPE), y, x


def nxcxi() -> dict[str, Any]:
    data, _, _ = raster()
    return {
        "cxi_version": 160,
        "entry_1/definition": "NXcxi_ptycho",
        "entry_1/title": "raster",
        "entry_1/instrument_1/source_1/energy": (3.0, "GeV"),
        "entry_1/instrument_1/beam_1/energy": (12.4, "keV"),
        f"{DETECTOR}/data": data,
        f"{DETECTOR}/distance": (1500.0, "mm"),
        f"{DETECTOR}/x_pixel_size": (55.0, "um"),
        f"{DETECTOR}/y_pixel_size": (55.0, "um"),
        f"{DETECTOR}/beam_center_x": (4 * 55e-6, "m"),
        f"{DETECTOR}/beam_center_y": (3 * 55e-6, "m"),
        f"{DETECTOR}/translation": (xyz(places(VIEWS)) * 1e3, "mm"),
        TRANSLATION: h5py.SoftLink(f"/{DETECTOR}/translation"),
        "entry_1/data_1/translation": h5py.SoftLink(f"/{DETECTOR}/translation"),
        "entry_1/data_1/data": data.reshape(-1, *SHAPE),
    }


@pytest.mark.parametrize(
    "storage",
    [{}, {"chunks": True}, {"compression": "gzip"}, {"compression": "lzf", "chunks": True}],
)
def test_nxcxi_raster(tmp_path: Path, storage: dict[str, Any]) -> None:
    scan = opened(write(tmp_path / "a.nxs", nxcxi(), **storage))
    assert (scan.format, scan.shape, scan.frames.dtype) == ("nxptycho", (VIEWS, *SHAPE), np.uint16)
    np.testing.assert_array_equal(counts(scan), frames(VIEWS))
    np.testing.assert_array_equal(scan.frames.read(slice(3, 10), slice(1, 8, 3)), frames(VIEWS)[3:10, 1:8:3])
    np.testing.assert_allclose(scan.positions, places(VIEWS))
    assert (scan.energy, scan.distance) == (pytest.approx(12400), pytest.approx(1.5))
    assert scan.pixel_size == pytest.approx((55e-6, 55e-6))
    assert scan.beam_center == pytest.approx((3, 4))
    part = opened(tmp_path / "a.nxs", frames="2:9")
    np.testing.assert_array_equal(counts(part), frames(VIEWS)[2:9])


@pytest.mark.parametrize("axes", ["grid", "lines", "all"])
def test_axes_of_the_raster(tmp_path: Path, axes: str) -> None:
    _, y, x = raster()
    given = {"grid": (y, x), "lines": (y[:, 0], x[0]), "all": (y.ravel(), x.ravel())}[axes]
    extra = {
        f"{DETECTOR}/translation": None,
        TRANSLATION: None,
        "entry_1/data_1/translation": None,
        "entry_1/sample_1/transformations/y": (given[0] * 1e6, "um"),
        "entry_1/sample_1/transformations/x": (given[1] * 1e6, "um"),
    }
    scan = opened(write(tmp_path / "a.nxs", nxcxi() | extra))
    np.testing.assert_allclose(scan.positions, np.column_stack([y.ravel(), x.ravel()]), atol=1e-15)


def classes(path: Path, **names: str) -> Path:
    with h5py.File(path, "r+") as file:
        for place, name in names.items():
            file.require_group(place.replace("__", "/")).attrs["NX_class"] = name
    return path


def test_groups_are_found_by_their_classes(tmp_path: Path) -> None:
    data, y, x = raster()
    fields = {
        "scan/definition": "NXptycho",
        "scan/inst/merlin/data": data,
        "scan/inst/merlin/distance": (2.0, "m"),
        "scan/inst/merlin/x_pixel_size": (55.0, "um"),
        "scan/inst/merlin/y_pixel_size": (55.0, "um"),
        "scan/inst/merlin/pixel_mask": np.eye(*SHAPE, dtype="u4"),
        "scan/inst/light/incident_energy": (9.0, "keV"),
        "scan/map/data": h5py.SoftLink("/scan/inst/merlin/data"),
        "scan/map/SampleX_value": (x[0].reshape(-1, 1, 1) * 1e3, "mm"),
        "scan/map/SampleY_value": (y[:, 0] * 1e3, "mm"),
    }
    names = {"scan": "NXentry", "scan__inst": "NXinstrument", "scan__inst__merlin": "NXdetector"}
    names |= {"scan__inst__light": "NXbeam", "scan__map": "NXdata"}
    scan = opened(classes(write(tmp_path / "a.nxs", fields), **names))
    assert (scan.format, scan.energy, scan.distance) == ("nxptycho", pytest.approx(9000), 2)
    np.testing.assert_array_equal(counts(scan), frames(VIEWS))
    np.testing.assert_allclose(scan.positions, np.column_stack([y.ravel(), x.ravel()]), atol=1e-15)
    assert scan.good is not None
    assert (~scan.good).sum() == 8


GIVEN = {"energy": "300 eV", "distance": "1 m", "pixel_size": "100 um"}


def test_any_file_whose_frames_and_positions_are_named(tmp_path: Path) -> None:
    data, y, x = raster()
    path = write(tmp_path / "stem.h5", {"data/frames": data.astype("u1"), "data/y": y, "data/x": x, "log/t": y})
    scan = opened(path, **GIVEN, paths={"data": "/data/frames"}, positions="/data/x,/data/y")
    assert (scan.format, scan.frames.dtype, scan.shape) == ("hdf5", np.uint8, (VIEWS, *SHAPE))
    np.testing.assert_array_equal(counts(scan), frames(VIEWS, dtype="u1"))
    np.testing.assert_allclose(scan.positions, np.column_stack([y.ravel(), x.ravel()]))
    assert opened(path, **GIVEN, positions="/data").shape == scan.shape  # one stack, one pair
    assert "no energy" in refused(path, positions="/data", distance="1 m", pixel_size="1 um").message
    more = write(tmp_path / "two.h5", {"a": frames(), "b": frames(), "x": x.ravel()[:6], "y": y.ravel()[:6]})
    error = refused(more, **GIVEN, positions="/x,/y")
    assert "/a, /b" in error.message
    assert "scan.paths.data" in error.hint
    np.testing.assert_array_equal(counts(opened(more, **GIVEN, positions="/x,/y", paths={"data": "/b"})), frames())


def test_positions_make_a_tomographic_layout_ptychography(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nxs", {"entry/detector/data": frames(), "entry/detector/image_key": np.zeros(6, int)})
    np.save(tmp_path / "p.npy", places()[:, ::-1])
    scan = opened(path, **GIVEN, positions="p.npy")
    np.testing.assert_allclose(scan.positions, places())


def test_bad_rasters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nxs", nxcxi() | {f"{DETECTOR}/translation": (xyz(places(11)), "m")})
    assert "11 positions" in refused(path).message
    five = {f"{DETECTOR}/data": np.zeros((2, 2, 2, 8, 10), "u2"), "entry_1/data_1/data": None}
    assert "(2, 2, 2, 8, 10)" in refused(write(path, nxcxi() | five)).message
    with h5py.File(write(path, nxcxi() | {f"{DETECTOR}/data": None}), "r+") as file:
        data = file.create_dataset(f"{DETECTOR}/data", (DOWN, ACROSS, *SHAPE), "u2", chunks=(1, 1, *SHAPE))
        data[:2] = raster()[0][:2]
    error = refused(path)
    assert "4 of 12 frames" in error.message
    assert "scan.frames=0:8" in error.hint


def test_virtual_raster(tmp_path: Path) -> None:
    data, _, _ = raster()
    layout = h5py.VirtualLayout((DOWN, ACROSS, *SHAPE), "u2")
    for line in range(DOWN):
        write(tmp_path / f"line{line}.h5", {"data": data[line]})
        layout[line] = h5py.VirtualSource(f"line{line}.h5", "data", (ACROSS, *SHAPE))
    path = write(tmp_path / "a.nxs", nxcxi() | {f"{DETECTOR}/data": None, "entry_1/data_1/data": None})
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset(f"{DETECTOR}/data", layout)
    scan = opened(path)
    np.testing.assert_array_equal(counts(scan), frames(VIEWS))
    assert [file.name for file in scan.files] == ["a.nxs", "line0.h5", "line1.h5", "line2.h5"]
    write(tmp_path / "line1.h5", {"data": data[1][:2]})
    assert "4 of 12 frames" in refused(path).message
    (tmp_path / "line1.h5").unlink()
    assert "line1.h5" in refused(path).message
