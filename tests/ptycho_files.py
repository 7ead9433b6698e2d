"""Small raw files of ptychography, written field by field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io import open_scan
from hpcdaas.scan import PtychoScan, ScanTable

DETECTOR = "entry_1/instrument_1/detector_1"
SOURCE = "entry_1/instrument_1/source_1"
TRANSLATION = "entry_1/sample_1/geometry_1/translation"
KEV = 1.602176634e-16
VIEWS, SHAPE = 6, (8, 10)


def frames(views: int = VIEWS, shape: tuple[int, int] = SHAPE, dtype: str = "u2") -> NDArray[Any]:
    """Counts in which every frame and pixel can be told apart."""
    return np.random.default_rng(views).integers(0, 250, (views, *shape)).astype(dtype)


def places(views: int = VIEWS) -> NDArray[np.float64]:
    """Positions (y, x), m."""
    return np.random.default_rng(views + 1).random((views, 2)) * (2e-6, 3e-6)


def xyz(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same as (x, y, z)."""
    return np.column_stack([values[:, 1], values[:, 0], np.zeros(len(values))])


def cxi_fields() -> dict[str, Any]:
    """A whole CXI file, by path."""
    return {
        "cxi_version": 160,
        f"{DETECTOR}/data": frames(),
        f"{DETECTOR}/distance": 2.0,
        f"{DETECTOR}/x_pixel_size": 70e-6,
        f"{DETECTOR}/y_pixel_size": 75e-6,
        f"{SOURCE}/energy": 8 * KEV,
        TRANSLATION: xyz(places()),
    }


def write(path: Path, fields: Mapping[str, Any], **storage: Any) -> Path:
    """Write fields, each a value, (value, unit), an h5py link, or None to leave it out."""
    with h5py.File(path, "w") as file:
        for place, value in fields.items():
            if value is None:
                continue
            value, unit = value if isinstance(value, tuple) else (value, None)
            if isinstance(value, np.ndarray) and value.ndim > 2:
                file.create_dataset(place, data=value, **storage)
            else:
                file[place] = value
            if unit:
                file[place].attrs["units"] = unit
    return path


def opened(path: Path, **table: Any) -> PtychoScan:
    """Open a scan of ptychography."""
    scan = open_scan(path, ScanTable.model_validate(table))
    assert isinstance(scan, PtychoScan)
    return scan


def counts(scan: PtychoScan) -> NDArray[Any]:
    """All frames."""
    return scan.frames.read(slice(None), slice(None))


def refused(path: Path, **table: Any) -> InputError:
    """Open a scan that can't be opened, and give the message in its one line and hint."""
    with pytest.raises(InputError) as raised:
        open_scan(path, ScanTable.model_validate(table))
    assert "\n" not in raised.value.message
    assert "\n" not in raised.value.hint
    return raised.value
