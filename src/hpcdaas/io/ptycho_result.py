"""The result file of ptychography: object, probe, positions, and how they were come by, as NeXus.

It is laid out first; then each rank writes its own pixels of the object at their offsets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.ptycho.frc import RingCorrelation


@dataclass(frozen=True)
class PtychoDescription:
    """What a result of ptychography holds.

    Attributes
    ----------
    process : mapping
        Text and numbers of ``/entry/process``.
    shape : tuple of int
        Of the object (mode, y, x).
    probe : ndarray, (mode, y, x), complex64
    pixel : tuple of float
        Of both (y, x), m.
    positions : ndarray, (view, 2), float64
        Of the views' centres (y, x), m.
    curves : mapping
        Numbers per iteration, by name, all of one length; NaN where an iteration doesn't give one.
    parts : sequence of str
        Names of the recipe's steps that the curve ``part`` counts.
    quality : mapping
        Numbers, strings, or {"value", "unit"}.
    mean_frame : ndarray, (n, n), float32
    good : ndarray, (n, n), bool
    frc : RingCorrelation or None
    title, sample : str
    """

    process: Mapping[str, Any]
    shape: tuple[int, int, int]
    probe: NDArray[np.complex64]
    pixel: tuple[float, float]
    positions: NDArray[np.float64]
    curves: Mapping[str, NDArray[Any]]
    parts: Sequence[str]
    quality: Mapping[str, Any]
    mean_frame: NDArray[np.float32]
    good: NDArray[np.bool_]
    frc: RingCorrelation | None = None
    title: str = ""
    sample: str = ""


@dataclass(frozen=True)
class ObjectPart:
    """Some pixels of the object.

    Attributes
    ----------
    row, column : int
        The first ones.
    object : ndarray, (mode, y, x), complex64
    light : ndarray, (y, x), float32
        Σ|P|² over views, counts.
    """

    row: int
    column: int
    object: NDArray[np.complex64]
    light: NDArray[np.float32]


#: Datasets that parts of the object go to, and the types that they have.
_IN_PARTS = {"entry/object/data": np.complex64, "entry/object/light": np.float32, "entry/data/data": np.float32}


def lay_out_ptycho_result(path: Path, d: PtychoDescription) -> dict[str, int]:
    """Write a result as one plain HDF5 file, but for the pixels of its object.

    Parameters
    ----------
    path : Path
        Of the result in the making.
    d : PtychoDescription

    Returns
    -------
    dict
        Where the datasets begin that `write_part` fills, by name.
    """
    with h5py.File(path, "w", locking=False) as file:
        file.attrs.update({"default": "entry", "NX_class": "NXroot", "creator": "hpcdaas"})
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        entry["title"] = d.title or d.process["raw_file"]
        if d.sample:
            _group(entry, "sample", "NXsample")["name"] = d.sample
        data = _group(entry, "data", "NXdata", signal="data", axes=["y", "x"])
        _room(data, "data", d.shape[1:], np.float32, "rad")
        data["data"].attrs["long_name"] = "phase of the object"
        object_ = _group(entry, "object", "NXdata", signal="data", axes=["mode", "y", "x"])
        _room(object_, "data", d.shape, np.complex64, "1")
        _room(object_, "light", d.shape[1:], np.float32, "counts")
        _put(object_, "pixel_size", np.array(d.pixel), "m")
        probe = _group(entry, "probe", "NXdata", signal="data", axes=["mode", "y", "x"])
        _put(probe, "data", d.probe, "sqrt(counts)")
        power = (np.abs(d.probe) ** 2).sum(axis=(1, 2), dtype=np.float64)
        _put(probe, "power", power / power.sum(), "1")
        for group, (rows, columns), first in (
            (data, d.shape[1:], (0, 0)),
            (object_, d.shape[1:], (0, 0)),
            (probe, d.probe.shape[1:], tuple(n // 2 for n in d.probe.shape[1:])),
        ):
            _put(group, "y", (np.arange(rows) - first[0]) * d.pixel[0], "m")
            _put(group, "x", (np.arange(columns) - first[1]) * d.pixel[1], "m")
        _put(entry, "positions", d.positions, "m")
        _describe(entry, d)
        file.flush()
        return {name: file[name].id.get_offset() for name in _IN_PARTS}


def write_part(path: Path, offsets: Mapping[str, int], shape: tuple[int, int, int], part: ObjectPart) -> None:
    """Write some pixels of the object, and see to it that they are safe.

    Parameters
    ----------
    path : Path
        A file that `lay_out_ptycho_result` has made.
    offsets : mapping
        What it gave.
    shape : tuple of int
        Of the object (mode, y, x).
    part : ObjectPart
    """
    fields = (part.object, part.light[None], np.angle(part.object[:1]))
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for (name, dtype), field in zip(_IN_PARTS.items(), fields, strict=True):
            for mode, plane in enumerate(np.asarray(field, dtype)):
                for y, row in enumerate(plane):
                    pixel = (mode * shape[1] + part.row + y) * shape[2] + part.column
                    _write(descriptor, row.tobytes(), offsets[name] + pixel * row.itemsize)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _room(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: type, unit: str) -> None:
    """Make a dataset whose place in the file is known before there is anything in it."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(np.dtype(dtype), logical=True)
    h5py.h5d.create(group.id, name.encode(), kind, space, plist)
    group[name].attrs["units"] = unit


def _describe(entry: h5py.Group, d: PtychoDescription) -> None:
    metrics = _group(entry, "metrics", "NXcollection", parts=list(d.parts))
    for name, curve in d.curves.items():
        _put(metrics, name, curve, "1")
    quality = _group(entry, "quality", "NXcollection")
    for name, value in d.quality.items():
        number, unit = (value["value"], value["unit"]) if isinstance(value, Mapping) else (value, "")
        if number is not None:
            _put(quality, name, number, unit)
    if d.frc is not None:
        frc = _group(entry, "frc", "NXdata", signal="frc", axes=["frequency"])
        frc.attrs["resolution"] = d.frc.resolution
        _put(frc, "frequency", d.frc.frequency, "1/m")
        for name in ("frc", "half_bit", "one_bit"):
            _put(frc, name, getattr(d.frc, name), "1")
    diagnostics = _group(entry, "diagnostics", "NXcollection")
    _put(diagnostics, "mean_frame", d.mean_frame, "counts")
    _put(diagnostics, "good", d.good.astype(np.uint8), "1")
    process = _group(entry, "process", "NXprocess")
    for name, value in d.process.items():
        process[name] = value
        if not isinstance(value, str):
            process[name].attrs["units"] = ""


def _group(parent: h5py.Group, name: str, kind: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update({"NX_class": kind, **attributes})
    return group


def _put(group: h5py.Group, name: str, value: Any, unit: str) -> None:
    group[name] = value
    if not isinstance(value, str):
        group[name].attrs["units"] = unit
