from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io import open_scan
from hpcdaas.scan import ScanTable

Counts = Callable[..., NDArray[Any]]
Writer = Callable[..., Path]


def refused(path: Path, table: ScanTable | None = None) -> InputError:
    with pytest.raises(InputError) as raised:
        open_scan(path, table)
    assert "\n" not in raised.value.message
    assert "\n" not in raised.value.hint
    return raised.value


def test_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "tooth.h5").touch()
    error = refused(tmp_path / "toth.h5")
    assert "There is no file" in error.message
    assert "tooth.h5" in error.hint
    assert "There is no file" in refused(tmp_path / "none" / "scan.h5").message


def test_a_folder_without_a_scan(tmp_path: Path) -> None:
    assert "folder without a scan" in refused(tmp_path).message
    (tmp_path / "a.nxs").touch()
    assert "a.nxs" in refused(tmp_path).hint


def test_files_that_are_no_scan(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("angles: 1, 2, 3 µm\n" * 500, encoding="utf-8")
    assert "is a text file" in refused(tmp_path / "a.h5").message
    (tmp_path / "b.h5").write_bytes(bytes(range(256)) * 9)
    assert "neither HDF5 nor TIFF" in refused(tmp_path / "b.h5").message
    (tmp_path / "c.h5").touch()
    assert "is empty: 0 bytes" in refused(tmp_path / "c.h5").message
    (tmp_path / "d.h5").write_bytes(b"\0")
    assert "neither" in refused(tmp_path / "d.h5").message
    os.mkfifo(tmp_path / "e.h5")
    assert "is no file" in refused(tmp_path / "e.h5").message


def test_truncated_at_every_length(tmp_path: Path, write_nxtomo: Writer, counts: Counts) -> None:
    for storage in ({}, {"chunks": (1, 4, 6)}, {"chunks": (1, 4, 6), "compression": "gzip"}):
        path = write_nxtomo(counts((11, 4, 6)), [0] * 11, np.arange(11.0), **storage)
        whole = path.read_bytes()
        open_scan(path)
        for size in sorted({8, 9, 100, 600, *range(700, len(whole), 1117), len(whole) - 1}):
            path.write_bytes(whole[:size])
            message = refused(path).message
            assert "truncated" in message or "damaged" in message


def test_a_lying_superblock(tmp_path: Path, counts: Counts) -> None:
    """A file cut where HDF5 itself does not notice: the dataset reaches beyond the end."""
    data = counts((50, 40, 60))
    with h5py.File(tmp_path / "scan.h5", "w", libver="latest") as file:
        file["exchange/theta"] = np.arange(50.0)
        file["exchange/data"] = data
        end = file["exchange/data"].id.get_offset() + data.nbytes
    raw = bytearray((tmp_path / "scan.h5").read_bytes())
    cut = end - 5000
    place = raw.find(len(raw).to_bytes(8, "little"))
    raw[place : place + 8] = cut.to_bytes(8, "little")
    (tmp_path / "scan.h5").write_bytes(bytes(raw[:cut]))
    message = refused(tmp_path / "scan.h5").message
    assert "truncated" in message or "damaged" in message


def test_unknown_layout(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x/y"] = np.arange(5)
    error = refused(tmp_path / "a.h5")
    assert "holds no stack of images" in error.message
    assert "/exchange/data" in error.message
    assert "image_key" in error.message
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["x/frames"] = np.ones((5, 4, 3), "u2")
    assert "-s scan.paths.data=/x/frames" in refused(tmp_path / "a.h5").hint
    scan = open_scan(tmp_path / "a.h5", ScanTable(paths={"data": "/x/frames", "angles": "x/y"}))
    assert (scan.format, scan.shape) == ("hdf5", (5, 4, 3))
    np.testing.assert_array_equal(scan.angles, np.arange(5))
    assert "no dataset /none" in refused(tmp_path / "a.h5", ScanTable(paths={"data": "/none"})).message


def test_a_result_is_no_scan(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/definition"] = "NXtomoproc"
        file["entry/data/data"] = np.zeros((5, 4, 3), "f4")
    assert "holds a reconstruction" in refused(tmp_path / "a.h5").message


def test_unreadable(tmp_path: Path, write_dxchange: Writer) -> None:
    path = write_dxchange({"exchange/data": np.ones((3, 2, 2))})
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    assert "may not be read" in refused(path).message


@pytest.mark.parametrize("together", [True, False])
def test_left_open_by_a_writer(tmp_path: Path, counts: Counts, together: bool) -> None:
    """A file that others may read while it is written can be read; another one is refused with the reason."""
    with h5py.File(tmp_path / "scan.h5", "w", libver="latest") as file:
        file["exchange/data"] = counts((5, 4, 3))
        file["exchange/theta"] = np.arange(5.0)
        if together:
            file.swmr_mode = True
        file.flush()
        (tmp_path / "copy.h5").write_bytes((tmp_path / "scan.h5").read_bytes())
    if together:
        assert open_scan(tmp_path / "copy.h5").shape == (5, 4, 3)
    else:
        assert "still being written" in refused(tmp_path / "copy.h5").message


def test_open_in_this_process_already(write_dxchange: Writer, counts: Counts) -> None:
    path = write_dxchange({"exchange/data": counts((5, 4, 3)), "exchange/theta": np.arange(5.0)})
    with h5py.File(path):
        assert open_scan(path).shape == (5, 4, 3)


def test_an_unknown_filter_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 4, 3))
        plist.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, ())
        group = file.create_group("exchange")
        h5py.h5d.create(group.id, b"data", h5py.h5t.STD_U16LE, h5py.h5s.create_simple((5, 4, 3)), plist)
        file["exchange/theta"] = np.arange(5.0)
    assert "filter 40000" in refused(tmp_path / "scan.h5").message
