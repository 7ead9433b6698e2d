"""The result file of ptychography: object, probe, positions, and how they were come by, as NeXus."""

from __future__ import annotations

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
    object, probe : ndarray, (mode, y, x), complex64
    pixel : tuple of float
        Of both (y, x), m.
    positions : ndarray, (view, 2), float64
        Of the views' centres (y, x), m.
    light : ndarray, (y, x), float32
        Σ|P|² over views, counts.
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
    object: NDArray[np.complex64]
    probe: NDArray[np.complex64]
    pixel: tuple[float, float]
    positions: NDArray[np.float64]
    light: NDArray[np.float32]
    curves: Mapping[str, NDArray[Any]]
    parts: Sequence[str]
    quality: Mapping[str, Any]
    mean_frame: NDArray[np.float32]
    good: NDArray[np.bool_]
    frc: RingCorrelation | None = None
    title: str = ""
    sample: str = ""


def write_ptycho_result(path: Path, d: PtychoDescription) -> None:
    """Write a result as one plain HDF5 file.

    Parameters
    ----------
    path : Path
        Of the result in the making.
    d : PtychoDescription
    """
    with h5py.File(path, "w", locking=False) as file:
        file.attrs.update({"default": "entry", "NX_class": "NXroot", "creator": "hpcdaas"})
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        entry["title"] = d.title or d.process["raw_file"]
        if d.sample:
            _group(entry, "sample", "NXsample")["name"] = d.sample
        data = _group(entry, "data", "NXdata", signal="data", axes=["y", "x"])
        _put(data, "data", np.angle(d.object[0]), "rad")
        data["data"].attrs["long_name"] = "phase of the object"
        object_ = _group(entry, "object", "NXdata", signal="data", axes=["mode", "y", "x"])
        _put(object_, "data", d.object, "1")
        _put(object_, "light", d.light, "counts")
        _put(object_, "pixel_size", np.array(d.pixel), "m")
        probe = _group(entry, "probe", "NXdata", signal="data", axes=["mode", "y", "x"])
        _put(probe, "data", d.probe, "sqrt(counts)")
        power = (np.abs(d.probe) ** 2).sum(axis=(1, 2), dtype=np.float64)
        _put(probe, "power", power / power.sum(), "1")
        for group, (rows, columns), first in (
            (data, d.object.shape[1:], (0, 0)),
            (object_, d.object.shape[1:], (0, 0)),
            (probe, d.probe.shape[1:], tuple(n // 2 for n in d.probe.shape[1:])),
        ):
            _put(group, "y", (np.arange(rows) - first[0]) * d.pixel[0], "m")
            _put(group, "x", (np.arange(columns) - first[1]) * d.pixel[1], "m")
        _put(entry, "positions", d.positions, "m")
        _describe(entry, d)


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
