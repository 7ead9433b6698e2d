from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io import open_scan
from hpcdaas.io.raw import RawFrames
from hpcdaas.io.tiff import PageFrames
from hpcdaas.scan import ScanTable

Counts = Callable[..., NDArray[Any]]
Writer = Callable[..., Path]
HALF_TURN = ScanTable(angle_range=(0, 180))
LOG = """User ID : e12345
FAST-TOMO scan of sample started on Mon Jan 2 2026
Beam energy       [keV]  : 25.000
Actual pixel size [um]   : 0.65
Number of projections        : {projections}
Number of darks              : 2
Number of flats              : 3
Number of inter-flats        : {inter}
Rot Y min position  [deg]    : 45.000
Rot Y max position  [deg]    : 225.000
"""


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"rowsperstrip": 2}, {"imagej": True}])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_pages_of_one_file(tmp_path: Path, counts: Counts, dtype: str, options: dict[str, Any]) -> None:
    frames = counts((7, 6, 5), dtype)
    tifffile.imwrite(tmp_path / "scan.tif", frames, photometric="minisblack", **options)
    scan = open_scan(tmp_path / "scan.tif", HALF_TURN)
    assert isinstance(scan.projections, RawFrames)
    assert (scan.format, scan.name, scan.shape, scan.projections.dtype) == (
        "tiff stack",
        "scan",
        (7, 6, 5),
        np.dtype(dtype),
    )
    np.testing.assert_array_equal(scan.projections.read(slice(1, 6), slice(1, 6, 2)), frames[1:6, 1:6:2])


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"tile": (16, 16)}])
def test_pages_that_must_be_decoded(tmp_path: Path, counts: Counts, options: dict[str, Any]) -> None:
    frames = counts((3, 20, 24))
    tifffile.imwrite(tmp_path / "scan.tif", frames, photometric="minisblack", **options)
    scan = open_scan(tmp_path / "scan.tif", HALF_TURN)
    assert isinstance(scan.projections, PageFrames)
    assert scan.projections.whole_frames
    np.testing.assert_array_equal(scan.projections.read(slice(1, 3), slice(3, 18, 4)), frames[1:3, 3:18:4])


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}])
def test_a_series(tmp_path: Path, write_series: Writer, counts: Counts, options: dict[str, Any]) -> None:
    frames = counts((12, 6, 5))
    first = write_series(frames, "in/proj_", start=95, **options)
    tifffile.imwrite(tmp_path / "in" / "other.tif", frames[0])
    for given in (first, first.parent, first.parent / "proj_0100.tif"):
        scan = open_scan(given, HALF_TURN)
        assert (scan.format, scan.name, scan.shape, len(scan.files)) == ("tiff stack", "proj", (12, 6, 5), 12)
        np.testing.assert_array_equal(scan.projections.read(slice(3, 9), slice(2, 5)), frames[3:9, 2:5])
        np.testing.assert_array_equal(scan.projections.read(slice(3, 9), slice(None)), frames[3:9])


def test_files_of_a_series_may_be_laid_out_differently(write_series: Writer, counts: Counts) -> None:
    frames = counts((5, 6, 5))
    first = write_series(frames)
    tifffile.imwrite(first.with_name("scan_0003.tif"), frames[2], description="a long comment" * 9, byteorder="<")
    scan = open_scan(first, HALF_TURN)
    np.testing.assert_array_equal(scan.projections.read(slice(None), slice(None)), frames)
    tifffile.imwrite(first.with_name("scan_0003.tif"), frames[2, :-1])
    with pytest.raises(InputError, match=r"scan_0003\.tif has another shape"):
        open_scan(first, HALF_TURN)


def test_a_gap_in_a_series(write_series: Writer, counts: Counts) -> None:
    first = write_series(counts((8, 6, 5)))
    first.with_name("scan_0004.tif").unlink()
    with pytest.raises(InputError, match=r"gap: after scan_0003\.tif comes scan_0005\.tif"):
        open_scan(first, HALF_TURN)


def test_flats_and_darks_from_the_table(tmp_path: Path, write_series: Writer, counts: Counts) -> None:
    first = write_series(counts((8, 6, 5)))
    flats, darks = counts((4, 6, 5), seed=1), counts((3, 6, 5), seed=2)
    flat = write_series(flats, "flats/flat_")
    tifffile.imwrite(tmp_path / "dark.tif", darks, photometric="minisblack")
    for given in (str(flat), str(flat.parent), "flats"):
        scan = open_scan(first, ScanTable(angle_range=(0, 180), flats=given, darks="dark.tif"))
        np.testing.assert_array_equal(scan.flats[0].frames.read(slice(None), slice(None)), flats)
        assert scan.darks is not None
        np.testing.assert_array_equal(scan.darks.read(slice(None), slice(None)), darks)
        assert len(scan.files) == 8 + 4 + 1


@pytest.mark.parametrize("after", [0, 3])
def test_tomcat(write_series: Writer, counts: Counts, after: int) -> None:
    frames = counts((2 + 3 + 5 + after, 6, 5))
    first = write_series(frames, "raw/tooth")
    (first.parent / "tooth.log").write_text(LOG.format(projections=5, inter=0))
    for given in (first, first.parent):
        scan = open_scan(given)
        assert scan.darks is not None
        np.testing.assert_array_equal(scan.darks.read(slice(None), slice(None)), frames[:2])
        np.testing.assert_array_equal(scan.flats[0].frames.read(slice(None), slice(None)), frames[2:5])
        np.testing.assert_array_equal(scan.projections.read(slice(None), slice(None)), frames[5:10])
        assert [group.when for group in scan.flats] == [0, 5][: 1 + bool(after)]
        np.testing.assert_allclose(scan.angles, [45, 90, 135, 180, 225])
        assert scan.energy == pytest.approx(25e3)
        assert scan.pixel_size == pytest.approx(0.65e-6)


@pytest.mark.parametrize(
    ("projections", "inter", "words"), [(6, 0, "announces 2 darks, 3 flats and 6"), (5, 2, "between")]
)
def test_tomcat_that_does_not_fit(
    write_series: Writer, counts: Counts, projections: int, inter: int, words: str
) -> None:
    first = write_series(counts((10, 6, 5)), "raw/tooth")
    (first.parent / "tooth.log").write_text(LOG.format(projections=projections, inter=inter))
    with pytest.raises(InputError, match=words):
        open_scan(first)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_a_sinogram(tmp_path: Path, counts: Counts, options: dict[str, Any]) -> None:
    image, flats = counts((9, 7)), counts((2, 7), seed=1)
    tifffile.imwrite(tmp_path / "sino_360.tif", image, **options)
    tifffile.imwrite(tmp_path / "flats.tif", flats)
    scan = open_scan(tmp_path / "sino_360.tif", ScanTable(angle_range=(0, 360), flats="flats.tif", darks=2))
    assert (scan.format, scan.shape) == ("tiff sinogram", (9, 1, 7))
    np.testing.assert_array_equal(scan.projections.read(slice(2, 6), slice(None))[:, 0], image[2:6])
    np.testing.assert_array_equal(scan.flats[0].frames.read(slice(None), slice(None))[:, 0], flats)
    np.testing.assert_allclose(scan.angles, np.linspace(0, 360, 9))


def test_damaged(tmp_path: Path, counts: Counts) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", counts((7, 6, 5)), photometric="minisblack")
    whole = (tmp_path / "scan.tif").read_bytes()
    for size in (9, len(whole) - 100, len(whole) // 2):
        (tmp_path / "scan.tif").write_bytes(whole[:size])
        with pytest.raises(InputError, match="truncated"):
            open_scan(tmp_path / "scan.tif", HALF_TURN)
    tifffile.imwrite(tmp_path / "colour.tif", counts((6, 5, 3), "u1"), photometric="rgb")
    with pytest.raises(InputError, match="one number per pixel"):
        open_scan(tmp_path / "colour.tif", HALF_TURN)


def test_a_truncated_file_of_a_series(write_series: Writer, counts: Counts) -> None:
    first = write_series(counts((5, 6, 5)))
    third = first.with_name("scan_0003.tif")
    third.write_bytes(third.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"scan_0003\.tif is truncated"):
        open_scan(first, HALF_TURN)


def test_neutron(real_data: Path) -> None:
    path = real_data / "tomo" / "neutron_360.tif"
    scan = open_scan(path, ScanTable(angle_range=(0, 360), flats=47000))
    assert (scan.format, scan.shape, scan.projections.dtype) == ("tiff sinogram", (459, 1, 503), np.dtype("u2"))
    np.testing.assert_array_equal(scan.projections.read(slice(None), slice(None))[:, 0], tifffile.imread(path))
    assert (scan.flats[0].frames.read(slice(None), slice(None)) == 47000).all()
    with pytest.raises(InputError, match="no rotation angles"):
        open_scan(path)
