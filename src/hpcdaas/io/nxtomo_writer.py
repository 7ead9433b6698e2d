"""Writes scans as NXtomo, block by block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.tomo.simulate import Simulation

DETECTOR = "instrument/detector"


@dataclass(frozen=True)
class TomoFields:
    """What an NXtomo file says beside its frames.

    Attributes
    ----------
    image_key : ndarray, (frame,), int
        0 projection, 1 flat, 2 dark, 3 invalid.
    rotation_angle : ndarray, (frame,), float64
        Degrees.
    pixel_size, energy, distance : float or None
        m, eV, m.
    sample, title, instrument : str
        Names; "" is left out.
    """

    image_key: NDArray[np.integer[Any]]
    rotation_angle: NDArray[np.float64]
    pixel_size: float | None = None
    energy: float | None = None
    distance: float | None = None
    sample: str = ""
    title: str = ""
    instrument: str = ""


def write_nxtomo(
    path: Path,
    blocks: Iterable[NDArray[Any]],
    fields: TomoFields,
    chunks: tuple[int, int, int] | None = None,
    **filters: Any,
) -> None:
    """Write an NXtomo file (definition of the NeXus International Advisory Committee).

    Equal frames and fields give equal bytes: no time is written.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced.
    blocks : iterable of ndarray, (frame, row, column)
        The frames in order; one block is in memory at a time.
    fields : TomoFields
        All else.
    chunks : tuple of int, optional
        (frames, rows, columns) of an HDF5 chunk. Default: one contiguous piece.
    **filters
        Passed to h5py, for example ``compression="gzip"``; frames are then chunks, unless `chunks` says otherwise.

    Raises
    ------
    InputError
        If the place can't be written, or the frames aren't as many as the image keys.
    """
    count = len(fields.image_key)
    if len(fields.rotation_angle) != count:
        raise InputError(f"{path}: {count} image keys, but {len(fields.rotation_angle)} angles.")
    growing = path.with_name(f"{path.name}.part")  # the name itself is that of a whole file only
    try:
        with h5py.File(growing, "w") as file:
            entry = _group(file, "entry", "NXentry")
            _fields(entry, fields)
            done, data = 0, None
            for block in blocks:
                if data is None:
                    shape = (count, *block.shape[1:])
                    chunks = chunks or ((1, *block.shape[1:]) if filters else None)
                    data = entry[DETECTOR].create_dataset("data", shape, block.dtype, chunks=chunks, **filters)
                if done + len(block) > count:
                    raise InputError(f"{path}: more frames than the {count} image keys.")
                data[done : done + len(block)] = block
                done += len(block)
            if done != count:
                raise InputError(f"{path}: {done} frames, but {count} image keys.")
            _links(entry)
        growing.replace(path)
    except (OSError, RuntimeError) as error:  # h5py raises both on a full disk
        raise InputError(f"The scan {path} can't be written: {error}.") from error
    finally:
        growing.unlink(missing_ok=True)


def write_simulation(path: Path, simulation: Simulation, threads: int = 1) -> None:
    """Simulate a scan into an NXtomo file, contiguous; a few frames are in memory at a time.

    Parameters
    ----------
    path : Path
        The file; one that is there is replaced.
    simulation : Simulation
        What to measure.
    threads : int
        Cores to use.
    """
    p = simulation.parameters
    fields = TomoFields(
        image_key=simulation.image_key,
        rotation_angle=simulation.rotation_angle,
        pixel_size=p.pixel_size,
        energy=p.energy,
        distance=p.distance,
        sample="phantom with pores and a crack",
        title="Simulated scan",
        instrument="hpcdaas",
    )
    write_nxtomo(path, simulation.frames(threads=threads), fields)


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _put(group: h5py.Group, name: str, value: Any, units: str = "") -> None:
    group[name] = value
    if units:
        group[name].attrs["units"] = units


def _fields(entry: h5py.Group, fields: TomoFields) -> None:
    entry["definition"] = "NXtomo"
    if fields.title:
        entry["title"] = fields.title
    instrument = _group(entry, "instrument", "NXinstrument")
    if fields.instrument:
        instrument["name"] = fields.instrument
    source = _group(instrument, "source", "NXsource")
    source["probe"] = "x-ray"
    if fields.energy is not None:
        _put(_group(instrument, "beam", "NXbeam"), "incident_energy", fields.energy, "eV")
    detector = _group(instrument, "detector", "NXdetector")
    detector["image_key"] = np.asarray(fields.image_key, np.uint8)
    if fields.pixel_size is not None:
        _put(detector, "x_pixel_size", fields.pixel_size, "m")
        _put(detector, "y_pixel_size", fields.pixel_size, "m")
    if fields.distance is not None:
        _put(detector, "distance", fields.distance, "m")
    sample = _group(entry, "sample", "NXsample")
    if fields.sample:
        sample["name"] = fields.sample
    _put(sample, "rotation_angle", np.asarray(fields.rotation_angle, np.float64), "degrees")


def _links(entry: h5py.Group) -> None:
    """Link the frames to where a viewer opens."""
    shown = _group(entry, "data", "NXdata")
    shown["data"] = entry[f"{DETECTOR}/data"]
    shown["image_key"] = entry[f"{DETECTOR}/image_key"]
    shown["rotation_angle"] = entry["sample/rotation_angle"]
    shown.attrs["signal"] = "data"
    entry.attrs["default"] = "data"
    entry.parent.attrs["default"] = "entry"
