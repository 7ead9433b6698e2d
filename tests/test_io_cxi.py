from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcdaas.io import describe
from hpcdaas.scan import ORIENTATIONS, oriented
from ptycho_files import (
    DETECTOR,
    KEV,
    SHAPE,
    SOURCE,
    TRANSLATION,
    VIEWS,
    counts,
    cxi_fields,
    frames,
    opened,
    places,
    refused,
    write,
    xyz,
)


def test_all_that_is_written(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, "u4")
    mask[1, 2], mask[3, 4], mask[5, 6] = 1, 0x1000, 0x800  # the last was corrected and is good
    quantum = np.zeros(SHAPE, "u4")
    quantum[0, 0] = 2
    rng = np.random.default_rng(0)
    probe = (rng.random((2, *SHAPE)) + 1j * rng.random((2, *SHAPE))).astype("c8")
    dark = rng.integers(0, 9, (3, *SHAPE)).astype("u2")
    fields = cxi_fields() | {
        f"{DETECTOR}/mask": mask,
        f"{DETECTOR}/qe_mask": quantum,
        f"{DETECTOR}/data_dark": dark,
        f"{DETECTOR}/beam_center_x": 4.5,
        f"{DETECTOR}/beam_center_y": 3.25,
        f"{DETECTOR}/saturation_value": 240,
        f"{SOURCE}/illumination": probe[None],
        "entry_1/title": "a star",
        "entry_1/sample_1/name": "gold",
        "entry_1/start_time": "2026-01-02T03:04:05Z",
    }
    scan = opened(write(tmp_path / "scan.cxi", fields))
    assert (scan.name, scan.format, scan.technique, scan.shape) == ("scan", "cxi", "ptychography", (VIEWS, *SHAPE))
    assert scan.frames.dtype == np.uint16
    np.testing.assert_array_equal(counts(scan), frames())
    np.testing.assert_allclose(scan.positions, places(), rtol=1e-12)
    assert scan.energy == pytest.approx(8000, rel=1e-9)
    assert (scan.distance, scan.pixel_size) == (2.0, (75e-6, 70e-6))
    assert scan.good is not None
    assert sorted(zip(*np.nonzero(~scan.good), strict=True)) == [(0, 0), (1, 2), (3, 4)]
    assert scan.dark is not None
    np.testing.assert_allclose(scan.dark, dark.mean(axis=0), rtol=1e-6)
    assert scan.probe is not None
    assert scan.probe.dtype == np.complex64
    np.testing.assert_array_equal(scan.probe, probe)
    assert (scan.beam_center, scan.saturation) == ((3.25, 4.5), 240)
    assert dict(scan.metadata) == {"title": "a star", "sample": "gold", "start_time": "2026-01-02T03:04:05Z"}
    wavelength = 1.23984198433e-06 / scan.energy
    assert scan.wavelength == pytest.approx(wavelength)
    assert scan.object_pixel == pytest.approx((wavelength * 2 / (8 * 75e-6), wavelength * 2 / (10 * 70e-6)))
    assert (scan.orientation, scan.oriented, scan.focus_distance) == ("+y+x", "", None)
    assert any("+y+x: as stored" in line for line in scan.understood)


@pytest.mark.parametrize("data", [f"{DETECTOR}/data", "entry_1/data_1/data"])
@pytest.mark.parametrize("translation", [TRANSLATION, "entry_1/data_1/translation", f"{DETECTOR}/translation"])
@pytest.mark.parametrize("storage", [{}, {"chunks": (1, *SHAPE)}, {"chunks": (2, 3, 5), "compression": "gzip"}])
def test_places_of_data_and_positions(tmp_path: Path, data: str, translation: str, storage: dict[str, Any]) -> None:
    fields = cxi_fields() | {f"{DETECTOR}/data": None, TRANSLATION: None}
    scan = opened(write(tmp_path / "a.cxi", fields | {data: frames(), translation: xyz(places())}, **storage))
    np.testing.assert_array_equal(counts(scan), frames())
    np.testing.assert_array_equal(scan.frames.read(slice(2, 5), slice(1, 7)), frames()[2:5, 1:7])
    np.testing.assert_allclose(scan.positions, places())


@pytest.mark.parametrize("dtype", ["u1", "i4", ">u2", "f4"])
def test_type_of_the_frames_is_kept(tmp_path: Path, dtype: str) -> None:
    data = frames(dtype=dtype)
    scan = opened(write(tmp_path / "a.cxi", cxi_fields() | {f"{DETECTOR}/data": data}))
    assert scan.frames.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(counts(scan), data)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({f"{SOURCE}/energy": None, f"{SOURCE}/wavelength": 1.5e-10}, 1.23984198433e-06 / 1.5e-10),
        ({f"{SOURCE}/energy": None, f"{SOURCE}/wavelength": (1.5, "angstrom")}, 1.23984198433e-06 / 1.5e-10),
        ({f"{SOURCE}/energy": None, f"{SOURCE}/wavelength": (1.5, "A")}, 1.23984198433e-06 / 1.5e-10),
        ({f"{SOURCE}/energy": (8.8, "keV")}, 8800),
        ({f"{SOURCE}/energy": (9 * KEV, "J")}, 9000),
        ({f"{SOURCE}/energy": 8800.0}, 8800),
        ({f"{SOURCE}/energy": 8.8}, 8800),
        ({"entry_1/instrument_1/beam_1/incident_beam_energy": (7.1, "keV")}, 7100),
        # NeXus has the energy of the storage ring there
        ({f"{SOURCE}/energy": (3.0, "GeV"), "entry_1/instrument_1/beam_1/energy": (7.1, "keV")}, 7100),
    ],
)
def test_energy(tmp_path: Path, fields: dict[str, Any], expected: float) -> None:
    assert opened(write(tmp_path / "a.cxi", cxi_fields() | fields)).energy == pytest.approx(expected, rel=1e-8)


def test_energy_of_the_ring_is_none_of_photons(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "a.cxi", cxi_fields() | {f"{SOURCE}/energy": (3.0, "GeV")}))
    assert "no energy" in error.message


@pytest.mark.parametrize("transposed", [False, True])
def test_detector_geometry_decides_the_orientation(tmp_path: Path, transposed: bool) -> None:
    # rows go along x, columns along -y
    basis = np.array([[75e-6, 0, 0], [0, -70e-6, 0]])
    fields = (
        cxi_fields()
        | {f"{DETECTOR}/{name}": None for name in ("distance", "x_pixel_size", "y_pixel_size")}
        | {
            f"{DETECTOR}/basis_vectors": basis.T if transposed else basis,
            # the corner of the first pixel: the beam is at row 3.5 and column 4.5
            f"{DETECTOR}/corner_position": np.array([-4 * 75e-6, 5 * 70e-6, 2.5]),
        }
    )
    scan = opened(write(tmp_path / "a.cxi", fields))
    assert (scan.orientation, scan.oriented) == ("-x+y", "file")
    np.testing.assert_allclose(scan.positions, np.column_stack([-places()[:, 1], places()[:, 0]]))
    assert (scan.distance, scan.pixel_size) == (2.5, pytest.approx((75e-6, 70e-6)))
    assert scan.beam_center == pytest.approx((3.5, 4.5))
    asked = opened(tmp_path / "a.cxi", position_orientation="+y-x")
    assert (asked.orientation, asked.oriented) == ("+y-x", "user")
    np.testing.assert_allclose(asked.positions, places() * (1, -1))


def test_orientations(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cxi", cxi_fields())
    y, x = places().T
    expected = {"+y+x": (y, x), "-y-x": (-y, -x), "+y-x": (y, -x), "-y+x": (-y, x)}
    expected |= {"+x+y": (x, y), "-x-y": (-x, -y), "+x-y": (x, -y), "-x+y": (-x, y)}
    assert set(expected) == set(ORIENTATIONS)
    for orientation, axes in expected.items():
        np.testing.assert_allclose(oriented(places(), orientation), np.column_stack(axes))
        scan = opened(path, position_orientation=orientation)
        np.testing.assert_allclose(scan.positions, np.column_stack(axes))
        assert (scan.orientation, scan.oriented) == (orientation, "user")
    automatic = opened(path, position_orientation="auto")
    assert (automatic.orientation, automatic.oriented) == ("auto", "")
    np.testing.assert_allclose(automatic.positions, places())
    with pytest.raises(ValueError, match="orientation"):
        oriented(places(), "+x+x")


def test_what_leaves_no_trace_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cxi", cxi_fields())
    assert any("conjugate inverted object" in line for line in opened(path).understood)
    near = opened(path, focus_distance="3 mm")
    assert not any("conjugate" in line for line in near.understood)


def test_near_field(tmp_path: Path) -> None:
    scan = opened(write(tmp_path / "a.cxi", cxi_fields()), focus_distance="4 mm")
    assert scan.focus_distance == pytest.approx(4e-3)
    assert scan.magnification == pytest.approx(2.004 / 0.004)
    assert scan.object_pixel == pytest.approx((75e-6 * 0.004 / 2.004, 70e-6 * 0.004 / 2.004))
    assert "never in the focus" in refused(tmp_path / "a.cxi", focus_distance=0).message


def test_a_part_of_the_views(tmp_path: Path) -> None:
    scan = opened(write(tmp_path / "a.cxi", cxi_fields()), frames="1:4")
    np.testing.assert_array_equal(counts(scan), frames()[1:4])
    np.testing.assert_allclose(scan.positions, places()[1:4])
    for part in ("4:4", "0:7", "6:"):
        assert "scan.frames" in refused(tmp_path / "a.cxi", frames=part).message


def test_the_table_wins(tmp_path: Path) -> None:
    scan = opened(write(tmp_path / "a.cxi", cxi_fields()), energy="9 keV", distance="1 m", pixel_size="50 um")
    assert (scan.energy, scan.distance) == (9000, 1)
    assert scan.pixel_size == pytest.approx((50e-6, 50e-6))


def test_links_and_several_entries(tmp_path: Path) -> None:
    write(tmp_path / "frames.h5", {"raw/data": frames()})
    fields = cxi_fields() | {f"{DETECTOR}/data": h5py.ExternalLink("frames.h5", "/raw/data")}
    fields |= {"entry_1/data_1/data": h5py.SoftLink(f"/{DETECTOR}/data")}
    path = write(tmp_path / "a.cxi", fields | {"entry_2/data_1/data": frames(2)})
    scan = opened(path)
    np.testing.assert_array_equal(counts(scan), frames())
    assert [file.name for file in scan.files] == ["a.cxi", "frames.h5"]
    assert any("2 entries" in line for line in scan.understood)
    (tmp_path / "frames.h5").unlink()
    (tmp_path / "b").mkdir()
    shutil.move(path, tmp_path / "b" / "a.cxi")
    alone = {key: value for key, value in fields.items() if not key.startswith("entry_2")}
    error = refused(write(tmp_path / "b" / "a.cxi", alone))
    assert "leads to" in error.message
    assert "frames.h5" in error.message
    beside = fields | {TRANSLATION: h5py.SoftLink("/nowhere")}
    assert "/nowhere" in refused(write(tmp_path / "c.cxi", beside | {f"{DETECTOR}/data": frames()})).message


def test_complex_numbers_as_a_compound(tmp_path: Path) -> None:
    pairs = np.zeros(SHAPE, [("real", "f8"), ("imag", "f8")])
    pairs["real"], pairs["imag"] = 2, -3
    fields = cxi_fields() | {f"{SOURCE}/illumination": pairs}
    scan = opened(write(tmp_path / "a.cxi", fields))
    np.testing.assert_array_equal(scan.probe, np.full((1, *SHAPE), 2 - 3j, "c8"))


def test_mask_for_each_frame_and_given_ones(tmp_path: Path) -> None:
    masks = np.zeros((VIEWS, *SHAPE), "u1")
    masks[2, 1, 1] = masks[5, 7, 9] = 1
    path = write(tmp_path / "a.cxi", cxi_fields() | {f"{DETECTOR}/mask": masks})
    scan = opened(path)
    assert scan.good is not None
    assert sorted(zip(*np.nonzero(~scan.good), strict=True)) == [(1, 1), (7, 9)]
    write(tmp_path / "b.h5", {"m": masks[2], "p": np.ones((1, *SHAPE), "c16"), "d": np.full(SHAPE, 3, "u2")})
    given = {"mask": f"{tmp_path}/b.h5:/m", "probe": "b.h5:p"}
    other = opened(path, paths=given, darks=f"{tmp_path}/b.h5:/d")
    assert other.good is not None
    assert (~other.good).sum() == 1
    assert other.probe is not None
    assert other.dark is not None
    assert (other.dark == 3).all()
    assert "b.h5" in [file.name for file in other.files]
    assert opened(path, paths={"mask": "none"}).good is None


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({TRANSLATION: None}, "no scan positions", "scan.positions"),
        ({TRANSLATION: xyz(places(5))}, "5 positions from", "0:5"),
        ({TRANSLATION: xyz(places(9))}, "don't fit 6 frames", "scan.positions"),
        ({TRANSLATION: np.zeros((6, 4))}, "(6, 4); positions are (N, 2)", "scan.positions"),
        ({TRANSLATION: np.full((6, 3), np.nan)}, "6 of 6 positions", "scan.positions"),
        ({TRANSLATION: xyz(places() * 1e9)}, "span", "unit"),
        ({f"{SOURCE}/energy": None}, "no energy", 'scan.energy="8.8 keV"'),
        ({f"{DETECTOR}/distance": None}, "no distance", 'scan.distance="2 m"'),
        ({f"{DETECTOR}/distance": np.nan, f"{SOURCE}/energy": 0.0}, "no energy and distance", "scan.distance"),
        ({f"{DETECTOR}/x_pixel_size": None}, "no pixel size", 'scan.pixel_size="75 um"'),
        ({f"{DETECTOR}/mask": np.zeros((8, 9), "u4")}, "mask has 8 x 9 pixels", "none"),
        ({f"{DETECTOR}/mask": np.ones(SHAPE, "u4")}, "no pixel of the detector", "scan.paths.mask"),
        ({f"{DETECTOR}/data_dark": np.zeros((9, 10), "u2")}, "dark has 9 x 10 pixels", "scan.darks"),
        ({f"{SOURCE}/illumination": np.ones((8, 8), "c8")}, "probe has 8 x 8 pixels", "scan.paths.probe=none"),
        ({f"{SOURCE}/illumination": np.full(SHAPE, np.nan, "c8")}, "isn't finite", "none"),
        ({f"{SOURCE}/illumination": np.array([b"x"])}, "no complex image", ""),
        ({f"{DETECTOR}/data": np.zeros((0, 8, 10), "u2")}, "no frames", ""),
        ({f"{DETECTOR}/data": frames()[0]}, "has the shape (8, 10)", ""),
        ({f"{DETECTOR}/data": frames()[0, 0]}, "frames are (frame, row, column)", ""),
        ({f"{DETECTOR}/data": None}, "has no frames at", "scan.paths.data"),
        ({f"{DETECTOR}/data": frames(1), TRANSLATION: xyz(places(1))}, "has 1 view", ""),
        ({f"{DETECTOR}/data": frames().astype("c8")}, "no stack of images", ""),
    ],
)
def test_bad_input(tmp_path: Path, fields: dict[str, Any], message: str, hint: str) -> None:
    error = refused(write(tmp_path / "a.cxi", cxi_fields() | fields))
    assert message in error.message
    assert hint in error.hint


def test_the_span_is_named(tmp_path: Path) -> None:
    far = places()
    far[0, 1] = 1000.0
    error = refused(write(tmp_path / "a.cxi", cxi_fields() | {TRANSLATION: xyz(far)}))
    assert "1e+03 m (y, x)" in error.message
    assert "65536" in error.message


def test_unknown_places_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cxi", cxi_fields())
    assert "no key 'maks'" in refused(path, paths={"maks": "/a"}).message
    assert "isn't of use" in refused(path, paths={"angles": "/a"}).message
    assert "has no frames" in refused(path, paths={"data": "/a"}).message
    assert "neither a file nor" in refused(path, paths={"mask": "/a"}).message


def test_frames_never_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cxi", cxi_fields() | {f"{DETECTOR}/data": None})
    with h5py.File(path, "r+") as file:
        data = file.create_dataset(f"{DETECTOR}/data", (VIEWS, *SHAPE), "u2", chunks=(1, *SHAPE))
        data[:4] = frames()[:4]
    error = refused(path)
    assert "2 of 6 frames" in error.message
    assert "scan.frames=0:4" in error.hint
    assert opened(path, frames="0:4").shape == (4, *SHAPE)


def test_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cxi", cxi_fields())
    whole = path.read_bytes()
    for part in (0.3, 0.6, 0.9, 0.99):
        path.write_bytes(whole[: int(part * len(whole))])
        refused(path)


def test_described(tmp_path: Path) -> None:
    scan = opened(write(tmp_path / "a.cxi", cxi_fields() | {f"{DETECTOR}/mask": np.eye(*SHAPE, dtype="u1")}))
    found = describe(scan)
    assert (found["technique"], found["shape"], found["dtype"]) == ("ptychography", [VIEWS, *SHAPE], "uint16")
    assert found["bytes"] == VIEWS * 8 * 10 * 2
    span = np.ptp(places(), axis=0)
    assert found["positions"]["span"] == pytest.approx(span)
    assert found["positions"]["span_pixels"] == pytest.approx(span / scan.object_pixel)
    assert found["object_pixel"] == pytest.approx(scan.object_pixel)
    n, margin = min(SHAPE), 2  # a square of the frame is used, whose pixel is λz/(nΔ), and a margin is left around
    square = scan.wavelength * scan.distance / (n * np.array(scan.pixel_size))
    rows, columns = (int(pixels) for pixels in np.rint(span / square + margin) + n + margin)
    assert found["output"] == {"shape": [rows, columns], "dtype": "complex64", "bytes": rows * columns * 8}
    assert found["mask"] == {"bad_pixels": 8}
    assert (found["energy"], found["distance"]) == (pytest.approx(8000), 2)
    assert {missing["what"] for missing in found["missing"]} == {"probe", "position orientation"}
    assert "conjugate inverted" in " ".join(found["understood"])
