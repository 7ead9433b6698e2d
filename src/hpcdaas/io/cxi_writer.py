"""Writes scans of ptychography as CXI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.scan import PLANCK_LIGHT

#: J for one eV (exact in the SI of 2019).
JOULE = 1.602176634e-19
CXI_VERSION = 160
_PLACES = {
    "title": "entry_1/title",
    "sample": "entry_1/sample_1/name",
    "instrument": "entry_1/instrument_1/name",
    "start_time": "entry_1/start_time",
    "end_time": "entry_1/end_time",
    "proposal": "entry_1/experiment_identifier",
}


def write_cxi(
    path: Path,
    frames: NDArray[np.integer[Any]],
    positions: NDArray[np.float64],
    energy: float,
    distance: float,
    pixel_size: float | tuple[float, float],
    *,
    probe: NDArray[np.complexfloating[Any, Any]] | None = None,
    good: NDArray[np.bool_] | None = None,
    metadata: Mapping[str, str] | None = None,
    **filters: Any,
) -> None:
    """Write a CXI file, under a temporary name until it is whole.

    Equal arguments give equal bytes: no time is written.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced.
    frames : ndarray, (N, row, column), integer
        Diffraction frames, stored in their type.
    positions : ndarray, (N, 2), float64
        (y, x) of the views' centres, m.
    energy, distance : float
        eV, m.
    pixel_size : float or tuple of float
        Of the detector, (y, x) where they differ, m.
    probe : ndarray, (mode, y, x) or (y, x), complex, optional
        First probe, stored as complex64.
    good : ndarray, (row, column), bool, optional
        False where a pixel can't be used.
    metadata : mapping, optional
        ``title, sample, instrument, start_time, end_time, proposal``.
    **filters
        For h5py's ``create_dataset`` of the frames, for example ``compression="gzip"``.

    Raises
    ------
    InputError
        If the shapes don't fit, or the file can't be written.
    """
    _check(frames, positions, {"probe": probe, "mask": good}, metadata or {})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with h5py.File(temporary, "w") as file:
            _fill(file, frames, positions, filters)
            _describe(file, energy, distance, pixel_size)
            if probe is not None:
                source = file["entry_1/instrument_1/source_1"]
                source["illumination"] = np.asarray(probe, np.complex64).reshape(-1, *probe.shape[-2:])
            if good is not None:
                file["entry_1/instrument_1/detector_1/mask"] = (~good).astype(np.uint32)
            for name, value in (metadata or {}).items():
                file[_PLACES[name]] = value
        with temporary.open("rb") as whole:
            os.fsync(whole.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _check(
    frames: NDArray[Any],
    positions: NDArray[Any],
    images: Mapping[str, NDArray[Any] | None],
    metadata: Mapping[str, str],
) -> None:
    if frames.ndim != 3 or positions.shape != (len(frames), 2):
        raise InputError(f"{frames.shape} frames and {positions.shape} positions make no scan.")
    for what, image in images.items():
        if image is not None and image.shape[-2:] != frames.shape[1:]:
            raise InputError(f"The {what} is {image.shape[-2:]}, the frames {frames.shape[1:]}.")
    unknown = set(metadata) - set(_PLACES)
    if unknown:
        raise InputError(f"A CXI file has no place for '{min(unknown)}'.")


def _fill(file: h5py.File, frames: NDArray[Any], positions: NDArray[np.float64], filters: dict[str, Any]) -> None:
    """Write frames and positions, each once, with links where other programs look for them."""
    file["cxi_version"] = CXI_VERSION
    file["number_of_entries"] = 1
    chunks = {"chunks": (1, *frames.shape[1:])} if filters and "chunks" not in filters else {}
    file.create_dataset("entry_1/instrument_1/detector_1/data", data=frames, **chunks, **filters)
    places = np.zeros((len(positions), 3))
    places[:, :2] = positions[:, ::-1]
    file["entry_1/sample_1/geometry_1/translation"] = places
    file["entry_1/sample_1/geometry_1/translation"].attrs["units"] = "m"
    data = file.create_group("entry_1/data_1")
    data["data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
    data["translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")


def _describe(file: h5py.File, energy: float, distance: float, pixel_size: float | tuple[float, float]) -> None:
    """Write the geometry."""
    y, x = pixel_size if isinstance(pixel_size, tuple) else (pixel_size, pixel_size)
    instrument = file["entry_1/instrument_1"]
    for place, value, unit in (
        ("detector_1/distance", distance, "m"),
        ("detector_1/y_pixel_size", y, "m"),
        ("detector_1/x_pixel_size", x, "m"),
        ("source_1/energy", energy * JOULE, "J"),
        ("source_1/wavelength", PLANCK_LIGHT / energy, "m"),
    ):
        instrument[place] = float(value)
        instrument[place].attrs["units"] = unit
