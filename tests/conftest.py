"""Small raw files of every format, written where a test wants them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

Writer = Callable[..., Path]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a line at the end of all tests."""
    return lambda line: record_property("told", line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests had to say."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == "told" and report.when == "call":
                terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real measured scans; the test is skipped where there is none."""
    places = [Path(os.environ.get("HPCDAAS_DATA", "")), Path(__file__).parents[2] / "shared" / "data"]
    for place in places:
        if (place / "tomo" / "tooth.h5").is_file():
            return place
    pytest.skip("no real data: they are looked for in HPCDAAS_DATA and ../shared/data")


def raw_counts(shape: tuple[int, ...], dtype: str = "u2", seed: int = 0) -> NDArray[Any]:
    """Give counts in which every frame, row and column can be told apart."""
    values = np.random.default_rng(seed).integers(1, 60000, shape)
    return values.astype(dtype)


@pytest.fixture
def counts() -> Callable[..., NDArray[Any]]:
    """Give random counts of a shape, type and seed."""
    return raw_counts


@pytest.fixture
def write_nxtomo(tmp_path: Path) -> Writer:
    """Write an NXtomo file: frames and image keys as given, other fields by their path in the entry."""

    def write(
        frames: NDArray[Any],
        keys: Sequence[float] | NDArray[Any] | None,
        angles: Sequence[float] | NDArray[Any] | None,
        fields: dict[str, Any] | None = None,
        *,
        name: str = "scan.nxs",
        entry: str = "/entry",
        definition: str | None = "NXtomo",
        **storage: Any,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            top = file.create_group(entry)
            top.attrs["NX_class"] = "NXentry"
            if definition:
                top["definition"] = definition
            top.create_dataset("instrument/detector/data", data=frames, **storage)
            if keys is not None:
                top["instrument/detector/image_key"] = np.asarray(keys)
            if angles is not None:
                top["sample/rotation_angle"] = np.asarray(angles)
                top["sample/rotation_angle"].attrs["units"] = "degrees"
            for place, value in (fields or {}).items():
                value, unit = value if isinstance(value, tuple) else (value, None)
                top[place] = value
                if unit:
                    top[place].attrs["units"] = unit
        return path

    return write


@pytest.fixture
def write_dxchange(tmp_path: Path) -> Writer:
    """Write a Data Exchange file from datasets by their path; a pair is (value, units)."""

    def write(fields: dict[str, Any], *, name: str = "scan.h5", **storage: Any) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for place, value in fields.items():
                value, unit = value if isinstance(value, tuple) else (value, None)
                big = isinstance(value, np.ndarray) and value.ndim == 3
                file.create_dataset(place, data=value, **(storage if big else {}))
                if unit:
                    file[place].attrs["units"] = unit
        return path

    return write


@pytest.fixture
def write_series(tmp_path: Path) -> Writer:
    """Write a numbered TIFF series, one file per frame; gives the first file."""

    def write(frames: NDArray[Any], prefix: str = "scan_", start: int = 1, **options: Any) -> Path:
        (tmp_path / prefix).parent.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames, start):
            tifffile.imwrite(tmp_path / f"{prefix}{number:04d}.tif", frame, **options)
        return tmp_path / f"{prefix}{start:04d}.tif"

    return write
