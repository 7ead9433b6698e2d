"""The result file: one plain NeXus HDF5 file, laid out first, filled by offset, described at the end."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.direct import DirectWriter
from hpcdaas.errors import NO_ROOM, DiskFull, HpcdaasError, InputError, NoRoom, unwritable
from hpcdaas.io.partial import Partial

#: Datasets above 1 MiB begin at multiples of this: a block of most parallel file systems.
ALIGNMENT = 1 << 20
#: Of diagnostics that aren't made of the volume's values; a sinogram holds line integrals.
DIAGNOSTIC_UNITS = {"sinogram_raw": "counts", "sinogram": "1", "center_values": "pixel"}
LATER = "Nothing is lost: when there is room, the same command goes on."


@dataclass(frozen=True)
class Layout:
    """Shape and type of a volume as it is stored.

    Attributes
    ----------
    shape : tuple of int
        (z, y, x).
    dtype : str
        ``float32``, ``uint16`` or ``uint8``.
    beside : int
        Bytes of all that will be written beside the volume, at most.
    """

    shape: tuple[int, int, int]
    dtype: str
    beside: int = 0

    @property
    def bytes(self) -> int:
        """Size of the data."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class VolumeFile:
    """The main dataset of a result in the making: HDF5 lays it out, `pwrite` fills it.

    The structure is closed before the first slice is written, so that a kill can't damage it. A block
    is in the journal only after its data is synced.

    Parameters
    ----------
    partial : Partial
    layout : Layout
    new : bool or None
        Whether the file is to be created; None where another rank has laid it out just now.

    Raises
    ------
    InputError
        If there is no room for it.
    HpcdaasError
        If there is none any more, for one that isn't new.
    """

    def __init__(self, partial: Partial, layout: Layout, new: bool | None) -> None:
        self.partial, self.layout = partial, layout
        self._descriptor = os.open(partial.data, os.O_RDWR | os.O_CREAT, 0o660)
        self._writer = DirectWriter(partial.data, self._descriptor)
        try:
            self._offset = self._laid_out(new)
        except OSError as error:
            self.close()
            size, place = (layout.bytes + layout.beside) / 1e9, partial.result.parent
            message = f"There is no room for {size:.2f} GB in {place}: {error.strerror or error}."
            full = error.errno in NO_ROOM
            if new:
                raise (NoRoom if full else InputError)(message, "Make room or choose another -o.") from error
            raise (DiskFull if full else HpcdaasError)(message, LATER) from error
        self._done: set[int] = set()
        if new is not None:
            self.mark(partial.done())
        self._lock = threading.Lock()

    def mark(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Take in what a journal says is safe (`hpcdaas.io.partial.Partial.done`)."""
        self._done |= {i for e in entries for i in range(e["first"], e["first"] + e["count"])}

    def _laid_out(self, new: bool | None) -> int:
        """Lay the file out and claim all its space: HDF5 must not meet a full disk. Gives the volume's offset."""
        partial, size = self.partial, self.layout.bytes
        if new:
            os.posix_fallocate(self._descriptor, 0, ALIGNMENT + size + self.layout.beside)
            _create(partial.data, self.layout)
        elif new is not None:
            partial.restore_structure()  # an attempt may have ended while it wrote the description
        with h5py.File(partial.data, "r", locking=False) as file:
            offset: int = file["entry/data/data"].id.get_offset()
        if new:
            partial.keep_structure(offset, size)
        if new is not None:
            os.posix_fallocate(self._descriptor, 0, offset + size + self.layout.beside)
        return offset

    def has(self, first: int, count: int) -> bool:
        """Say whether slices are safe already."""
        return all(i in self._done for i in range(first, first + count))

    @property
    def count(self) -> int:
        """How many slices are safe."""
        return len(self._done)

    def put(self, first: int, slices: NDArray[Any], tally: Mapping[str, int]) -> None:
        """Write slices first … and return when they are safe.

        Raises
        ------
        HpcdaasError
            If they can't be written; what was written before stays for an attempt that goes on.
        """
        data = np.ascontiguousarray(slices)
        start = self._offset + first * (self.layout.bytes // self.layout.shape[0])
        try:
            self._writer.write(data, start)
            os.fdatasync(self._descriptor)
            self.partial.note(first, len(data), tally)
        except OSError as error:
            raise HpcdaasError(f"{self.partial.result} can't be written: {error.strerror}.", LATER) from error
        with self._lock:
            self._done.update(range(first, first + len(data)))

    def tally(self) -> Counter[str]:
        """Add up what was counted on the way, attempts before this one included."""
        total: Counter[str] = Counter()
        for entry in self.partial.done():
            total.update(entry["tally"])
        return total

    def read(self, first: int) -> NDArray[Any]:
        """Read one slice back (y, x)."""
        each = self.layout.bytes // self.layout.shape[0]
        data = os.pread(self._descriptor, each, self._offset + first * each)
        return np.frombuffer(data, self.layout.dtype).reshape(self.layout.shape[1:])

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
        os.close(self._descriptor)


def _create(path: Path, layout: Layout) -> None:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_LATEST)
    access.set_alignment(ALIGNMENT, ALIGNMENT)
    access.set_file_locking(False, False)  # the lease guards it, and a lock would pass to child processes
    with h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fapl=access)) as file:
        data = file.create_group("entry/data")
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        kind = h5py.h5t.py_create(np.dtype(layout.dtype), logical=True)
        h5py.h5d.create(data.id, b"data", kind, h5py.h5s.create_simple(layout.shape), plist)


@dataclass(frozen=True)
class Description:
    """What a result file says beside its volume.

    Attributes
    ----------
    process : mapping
        Text and numbers of ``/entry/process``.
    axes : mapping
        ``z, y, x``: coordinates.
    axis_units, units : str
        Of the axes and of the values.
    scale, offset : float
        value = stored × scale + offset, where integers are stored.
    metrics : mapping
        Numbers, or {"value", "unit"}.
    title, sample : str
        From the raw file; empty where it doesn't say.
    diagnostics : mapping
        Arrays, those that `DIAGNOSTIC_UNITS` doesn't name in `units`; ``row`` is the detector row of
        the sinograms.
    """

    process: Mapping[str, Any]
    axes: Mapping[str, NDArray[np.float64]]
    axis_units: str
    units: str
    scale: float = 1.0
    offset: float = 0.0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    sample: str = ""
    diagnostics: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    row: int = 0


def describe_result(path: Path, d: Description) -> None:
    """Add what is known at the end to a result in the making, as NeXus.

    Parameters
    ----------
    path : Path
        The file with its volume.
    d : Description
    """
    with h5py.File(path, "r+", locking=False) as file:
        file.attrs.update({"default": "entry", "NX_class": "NXroot", "creator": "hpcdaas"})
        entry = file["entry"]
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        entry["definition"] = "NXtomoproc"
        entry["title"] = d.title or d.process["raw_file"]
        if d.sample:
            _group(entry, "sample", "NXsample")["name"] = d.sample
        data = entry["data"]
        data.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": ["z", "y", "x"]})
        data["data"].attrs.update({"units": d.units, "long_name": "attenuation"})
        if data["data"].dtype.kind == "u":
            data["data"].attrs.update({"scale": d.scale, "offset": d.offset})
        for number, (name, values) in enumerate(d.axes.items()):
            data[name] = values
            data[name].attrs["units"] = d.axis_units
            data.attrs[f"{name}_indices"] = number
        process = _group(entry, "process", "NXprocess")
        for name, value in d.process.items():
            process[name] = value
            if not isinstance(value, str):
                process[name].attrs["units"] = ""
        metrics = _group(entry, "metrics", "NXcollection")
        for name, value in d.metrics.items():
            number, unit = (value["value"], value["unit"]) if isinstance(value, Mapping) else (value, "")
            metrics[name] = number
            metrics[name].attrs["units"] = unit
        diagnostics = _group(entry, "diagnostics", "NXcollection")
        diagnostics.attrs["row"] = d.row
        for name, array in d.diagnostics.items():
            diagnostics[name] = array
            diagnostics[name].attrs["units"] = DIAGNOSTIC_UNITS.get(name, d.units)


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def existing_run(path: Path) -> str | None:
    """Give the run that a result file holds; an empty string where it holds something else, None where it isn't there.

    Raises
    ------
    InputError
        If it is a folder.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder.", "Give the name of the result file with -o.")
        if not path.exists():
            return None
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with h5py.File(path, "r") as file:
            run = file["entry/process/run"][()]
    except (OSError, KeyError, TypeError):
        return ""
    return run.decode() if isinstance(run, bytes) else str(run)


def read_summary(path: Path) -> dict[str, Any]:
    """Read what an earlier run wrote of itself: shape, process, metrics.

    Raises
    ------
    InputError
        If it is no result file.
    """
    try:
        with h5py.File(path, "r") as file:
            entry = file["entry"]
            process = {name: _plain(item[()]) for name, item in entry["process"].items()}
            metrics = {}
            for name, item in entry["quality" if "quality" in entry else "metrics"].items():
                unit = _plain(item.attrs.get("units", ""))
                value = _plain(item[()])
                metrics[name] = {"value": value, "unit": unit} if unit else value
            shape = tuple(entry["object/data" if "object" in entry else "data/data"].shape)
    except (OSError, KeyError) as error:
        raise InputError(f"{path} is no result of hpcdaas.") from error
    return {"shape": shape, "metrics": metrics, **process, "recipe": json.loads(process["recipe"])}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value
