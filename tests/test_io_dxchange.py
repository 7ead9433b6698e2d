from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io import open_scan
from hpcdaas.scan import Scan, ScanTable

Counts = Callable[..., NDArray[Any]]
Writer = Callable[..., Path]
FLATS = "/process/acquisition/flat_fields"


def groups(scan: Scan) -> list[tuple[float, NDArray[Any]]]:
    return [(group.when, group.frames.read(slice(None), slice(None))) for group in scan.flats]


@pytest.mark.parametrize("storage", [{}, {"chunks": (1, 3, 5)}, {"chunks": (1, 3, 5), "compression": "lzf"}])
def test_plain(write_dxchange: Writer, counts: Counts, storage: dict[str, Any]) -> None:
    data, white, dark = counts((6, 3, 5)), counts((2, 3, 5), seed=1), counts((4, 3, 5), seed=2)
    fields = {
        "exchange/data": data,
        "exchange/data_white": white,
        "exchange/data_dark": dark,
        "exchange/theta": (np.arange(6) * 30.0, "degrees"),
        "measurement/sample/name": "tooth",
        "measurement/instrument/monochromator/energy": (np.array([27.4]), "keV"),
        "measurement/instrument/detection_system/objective/resolution": (0.69, "microns"),
        "measurement/instrument/detector/pixel_size_x": (3.45, "microns"),
        "process/acquisition/start_date": "2026-01-02T03:04:05+0100",
    }
    scan = open_scan(write_dxchange(fields, **storage))
    assert (scan.format, scan.shape) == ("dxchange", (6, 3, 5))
    np.testing.assert_array_equal(scan.projections.read(slice(1, 4), slice(0, 2)), data[1:4, :2])
    ((when, flats),) = groups(scan)
    assert when == 0
    np.testing.assert_array_equal(flats, white)
    assert scan.darks is not None
    np.testing.assert_array_equal(scan.darks.read(slice(None), slice(None)), dark)
    np.testing.assert_allclose(scan.angles, np.arange(6) * 30)
    assert scan.energy == pytest.approx(27400)
    assert scan.pixel_size == pytest.approx(0.69e-6)
    assert dict(scan.metadata) == {"sample": "tooth", "start_time": "2026-01-02T03:04:05+0100"}


def test_flats_and_darks_before_and_after(write_dxchange: Writer, counts: Counts) -> None:
    names = ("data_white_pre", "data_white_post", "data_dark_pre", "data_dark_post")
    parts = {f"exchange/{name}": counts((2, 3, 5), seed=seed) for seed, name in enumerate(names, 1)}
    scan = open_scan(write_dxchange({"exchange/data": counts((6, 3, 5)), "exchange/theta": np.arange(6), **parts}))
    assert [when for when, _ in groups(scan)] == [0, 6]
    np.testing.assert_array_equal(groups(scan)[1][1], parts["exchange/data_white_post"])
    assert scan.darks is not None
    assert scan.darks.shape == (4, 3, 5)
    np.testing.assert_array_equal(scan.darks.read(slice(2, 4), slice(None)), parts["exchange/data_dark_post"])


@pytest.mark.parametrize(("mode", "expected"), [("Both", [(0, 2), (6, 2)]), ("End", [(6, 4)]), ("Start", [(0, 4)])])
def test_when_flats_were_taken(
    write_dxchange: Writer, counts: Counts, mode: str, expected: list[tuple[float, int]]
) -> None:
    white = counts((4, 3, 5))
    fields = {"exchange/data": counts((6, 3, 5)), "exchange/theta": np.arange(6), "exchange/data_white": white}
    scan = open_scan(write_dxchange({**fields, f"{FLATS}/flat_field_mode": mode, f"{FLATS}/num_flat_fields": 2}))
    assert [(when, len(flats)) for when, flats in groups(scan)] == expected
    np.testing.assert_array_equal(np.concatenate([flats for _, flats in groups(scan)]), white)


def test_without_theta_and_flats(write_dxchange: Writer, counts: Counts) -> None:
    fields = {
        "exchange/data": counts((6, 3, 5)),
        "process/acquisition/rotation/rotation_start": 10.0,
        "process/acquisition/rotation/rotation_step": np.array([0.5]),
        f"{FLATS}/flat_field_value": 1000.0,
        "process/acquisition/dark_fields/dark_field_value": 3.0,
    }
    scan = open_scan(write_dxchange(fields))
    np.testing.assert_allclose(scan.angles, 10 + 0.5 * np.arange(6))
    ((_, flats),) = groups(scan)
    assert flats.shape == (1, 3, 5)
    assert (flats == 1000).all()
    assert scan.darks is not None
    assert (scan.darks.read(slice(None), slice(None)) == 3).all()


def test_what_is_wrong(write_dxchange: Writer, counts: Counts) -> None:
    data = counts((6, 3, 5))
    with pytest.raises(InputError, match="no rotation angles") as raised:
        open_scan(write_dxchange({"exchange/data": data}))
    assert "scan.angle_range" in raised.value.hint
    with pytest.raises(InputError, match="5 angles from the file don't fit 6 projections"):
        open_scan(write_dxchange({"exchange/data": data, "exchange/theta": np.arange(5)}))
    with pytest.raises(InputError, match=r"2 of 6 angles .* first is that of projection 1"):
        open_scan(write_dxchange({"exchange/data": data, "exchange/theta": [0, np.nan, 2, np.inf, 4, 5]}))
    with pytest.raises(InputError, match=r"All 6 angles .* are 0 degrees"):
        open_scan(write_dxchange({"exchange/data": data, "exchange/theta": np.zeros(6)}))
    with pytest.raises(InputError, match="flats have 3 x 4 pixels, the projections 3 x 5"):
        open_scan(
            write_dxchange(
                {"exchange/data": data, "exchange/theta": np.arange(6), "exchange/data_white": data[..., 1:]}
            )
        )
    with pytest.raises(InputError, match="furlong"):
        open_scan(write_dxchange({"exchange/data": data, "exchange/theta": (np.arange(6), "furlong")}))


def test_dangling_data(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["exchange/data"] = h5py.ExternalLink("gone.h5", "/data")
    with pytest.raises(InputError, match=r"/exchange/data .* leads to gone\.h5"):
        open_scan(tmp_path / "scan.h5")


def test_tooth(real_data: Path) -> None:
    path = real_data / "tomo" / "tooth.h5"
    scan = open_scan(path, ScanTable(pixel_size="2.2 um"))
    assert scan.shape == (181, 2, 640)
    assert scan.pixel_size == pytest.approx(2.2e-6)
    assert scan.angles[-1] == pytest.approx(179.006, abs=1e-3)
    assert scan.metadata["sample"] == "Tooth"
    with h5py.File(path) as file:
        np.testing.assert_array_equal(scan.projections.read(slice(None), slice(1, 2)), file["exchange/data"][:, 1:2])
        np.testing.assert_array_equal(groups(scan)[0][1], file["exchange/data_white"])
