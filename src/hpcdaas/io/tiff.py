"""TIFF: a numbered series, a stack of pages, TOMCAT's series with its log file, or a single sinogram."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.found import DARK, FLAT, Found
from hpcdaas.io.frames import Memory, Stack, Storage
from hpcdaas.io.raw import RawFrames, truncated
from hpcdaas.io.units import factor
from hpcdaas.scan import ScanTable

LOOKED_FOR = "TIFF"
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUFFIXES = {".tif", ".tiff"}
_NUMBERED = re.compile(r"^(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\.tiff?)$", re.IGNORECASE)
_LOG_LINE = re.compile(r"^\s*(?P<key>[^:\[]+?)\s*(\[(?P<unit>[^\]]*)\])?\s*:\s*(?P<value>.*?)\s*$")
#: Fewer numbered files than this are single images that happen to have numbers in their names.
SERIES = 3


class PageFrames(Stack):
    """Pages that must be decoded: compressed or tiled."""

    def __init__(self, places: Sequence[tuple[Path, int]], shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype, Storage("compressed", (1, *shape[1:])), whole_frames=True)
        self._places = tuple(places)

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        opened: tifffile.TiffFile | None = None
        current: Path | None = None
        try:
            for number, (path, page) in enumerate(self._places[first:stop]):
                if opened is None or path != current:
                    if opened is not None:
                        opened.close()
                    opened, current = tifffile.TiffFile(path), path
                image = opened.pages[page].asarray()
                out[number] = image[rows.start : rows.stop : rows.step]
        except Exception as error:  # tifffile and its codecs raise many kinds
            raise InputError(f"{current}: a page can't be decoded: {str(error).splitlines()[0]}.") from error
        finally:
            if opened is not None:
                opened.close()


def knows(path: Path) -> bool:
    """Say whether a file is TIFF, or a folder holds numbered TIFF files."""
    if path.is_dir():
        return any(len(names) >= SERIES for names in _groups(path).values())
    with path.open("rb") as stream:
        return stream.read(4) in _MAGIC


def find(path: Path, table: ScanTable) -> Found:
    """Read a TIFF scan.

    Parameters
    ----------
    path : Path
        The first file of a series, its folder, a file of many pages, or a sinogram (angle, column).
    table : ScanTable
        Not needed here; flats, darks and angles of most TIFF scans come from it.

    Raises
    ------
    InputError
        If files are missing or can't be read.
    """
    names = _series(path)
    log = _log(path, names)
    stack, files = _open(path, names)
    if len(files) == 1 and stack.shape[0] == 1:
        sinogram = _as_sinogram(stack)
        return Found(path, path.stem, "tiff sinogram", files, sinogram, notes=["rows of the image are angles"])
    prefix = _NUMBERED.match(files[0].name) if len(files) > 1 else None
    name = (prefix["prefix"].rstrip("_-. ") if prefix else path.stem) or path.absolute().parent.name
    found = Found(path, name, "tiff stack", files, stack)
    if len(files) > 1:
        found.notes.append(f"{len(files)} files, {files[0].name} to {files[-1].name}")
    if log is not None:
        _apply_log(found, log)
    return found


def open_stack(path: Path) -> tuple[Stack, list[Path]]:
    """Open flats or darks: a file, the first file of a series, or a folder.

    Raises
    ------
    InputError
        If there is no TIFF there.
    """
    if not knows(path):
        raise InputError(f"{path} is neither HDF5 nor TIFF, nor a folder with a TIFF series.")
    return _open(path, _series(path))


def _groups(folder: Path) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """TIFF files of a folder by what their names share, in the order of their numbers."""
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _NUMBERED.match(entry.name)
            if match and not entry.name.startswith("."):
                groups.setdefault((match["prefix"], match["suffix"]), []).append((int(match["number"]), entry.name))
    return {key: sorted(names) for key, names in groups.items()}


def _series(path: Path) -> list[Path]:
    """Files of the series that `path` belongs to or holds; `path` itself where there is none."""
    if path.is_dir():
        groups = {key: names for key, names in _groups(path).items() if len(names) >= SERIES}
        with_log = [key for key in groups if (path / f"{key[0].rstrip('_')}.log").exists() or
                    (path / f"{key[0]}.log").exists()]  # fmt: skip
        chosen = with_log if len(with_log) == 1 else list(groups)
        if len(chosen) != 1:
            raise InputError(
                f"{path} holds {len(chosen)} TIFF series: {', '.join(sorted(prefix for prefix, _ in chosen)[:5])}.",
                "Give the first file of the one that is the scan.",
            )
        folder, numbered = path, groups[chosen[0]]
    else:
        match = _NUMBERED.match(path.name)
        folder = path.parent
        numbered = _groups(folder).get((match["prefix"], match["suffix"]), []) if match else []
    numbers = [number for number, _ in numbered]
    steps = np.diff(numbers)
    if len(numbered) < SERIES or (not path.is_dir() and np.unique(steps).size > 1 and steps.min() > 1):
        return [path]
    if np.unique(steps).size > 1:
        where = int(np.argmax(steps))
        raise InputError(
            f"The TIFF series in {folder} has a gap: after {numbered[where][1]} comes {numbered[where + 1][1]}.",
            "Copy the missing files, or give the scan a folder of its own.",
        )
    return [folder / name for _, name in numbered]


def _open(path: Path, names: list[Path]) -> tuple[Stack, list[Path]]:
    if len(names) == 1:
        return _pages(names[0]), names
    first = _layout(names[0])
    if first[0] != 1:
        return _pages(path), [path]
    size = names[0].stat().st_size
    layouts = [first] * len(names)
    for number, name in enumerate(names):
        # Files of one size from one writer are laid out alike; the last one is looked at to be sure.
        if name.stat().st_size != size or number == len(names) - 1:
            layouts[number] = _layout(name)
            if layouts[number][:3] != (1, *first[1:3]):
                raise InputError(f"{name} has another shape or type than {names[0].name}.")
    shape = (len(names), *first[1])
    offsets = np.array([-1 if layout[3] is None else layout[3][0] for layout in layouts], np.int64)
    if (offsets < 0).any():
        return PageFrames([(name, 0) for name in names], shape, first[2]), names
    stack = RawFrames(names, np.arange(len(names)), offsets[:, None], shape, first[2], Storage("contiguous"))
    _check_sizes(names, offsets, shape, first[2])
    return stack, names


def _check_sizes(names: list[Path], offsets: NDArray[np.int64], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    frame = shape[1] * shape[2] * dtype.itemsize
    for name, offset in zip(names, offsets.tolist(), strict=True):
        size = name.stat().st_size
        if offset + frame > size:
            raise truncated(name, offset + frame, size)


def _pages(path: Path) -> Stack:
    """All pages of one file."""
    pages, shape, dtype, offsets = _layout(path)
    if offsets is None:
        return PageFrames([(path, page) for page in range(pages)], (pages, *shape), dtype)
    stack = RawFrames(
        [path], np.zeros(pages, np.int32), offsets[:, None], (pages, *shape), dtype, Storage("contiguous")
    )
    stack.check_size()
    return stack


def _layout(path: Path) -> tuple[int, tuple[int, int], np.dtype[Any], NDArray[np.int64] | None]:
    """Give (pages, (rows, columns), type in the file's byte order, offset of each page or None)."""
    _check_chain(path)
    try:
        with tifffile.TiffFile(path) as tif:
            first = tif.pages[0]
            shape, dtype = tuple(first.shape), first.dtype
            if len(shape) != 2 or dtype is None or dtype.kind not in "uif":
                raise InputError(f"{path} is no image of one number per pixel: shape {shape}, type {dtype}.")
            stored = dtype.newbyteorder(tif.byteorder)
            whole = tif.series[0]
            if len(tif.pages) == 1 and whole.dataoffset is not None and whole.size > shape[0] * shape[1]:
                pages = whole.size // (shape[0] * shape[1])  # ImageJ: one page is described, the rest follow
                frame = shape[0] * shape[1] * dtype.itemsize
                return pages, shape, stored, whole.dataoffset + np.arange(pages) * frame
            offsets = []
            for page in tif.pages:
                if tuple(page.shape) != shape or page.dtype != dtype:
                    raise InputError(f"{path} holds pages of different shapes or types.")
                offsets.append(page.dataoffsets[0] if page.is_contiguous and page.compression == 1 else -1)
    except InputError:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise InputError(f"{path} is no readable TIFF file: it is damaged or truncated.") from error
    raw = np.array(offsets, np.int64)
    return len(offsets), shape, stored, raw if (raw >= 0).all() else None


def _check_chain(path: Path) -> None:
    """Follow the chain of page headers to its end: a file that was cut has fewer pages without an error.

    TIFF 6.0, section 2, and the BigTIFF design: a header names the first directory, a directory
    ends with the place of the next, 0 after the last.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(16)
        order: Literal["little", "big"] = "little" if start[:2] == b"II" else "big"
        big = 43 in start[2:4]
        count, entry, offset = (8, 20, 8) if big else (2, 12, 4)
        place, seen = int.from_bytes(start[8:16] if big else start[4:8], order), 0
        while place:
            stream.seek(place)
            entries = int.from_bytes(stream.read(count), order)
            stream.seek(place + count + entries * entry)
            following = stream.read(offset)
            if len(following) < offset or not place < size:
                raise truncated(path, max(place + count, stream.tell() + offset), size)
            place, seen = int.from_bytes(following, order), seen + 1
            if seen > size // entry:
                raise InputError(f"{path} is damaged: its pages go round in a circle.")
        if not seen:
            raise InputError(f"{path} is damaged or truncated: it has no pages.")


def _as_sinogram(stack: Stack) -> Stack:
    """Turn one image (1, angle, column) into projections of one row (angle, 1, column)."""
    _, angles, columns = stack.shape
    if isinstance(stack, RawFrames):
        return stack.rows_as_frames()
    return Memory(stack.read(slice(None), slice(None)).reshape(angles, 1, columns))


def _log(path: Path, names: list[Path]) -> dict[str, tuple[str, str]] | None:
    """Read TOMCAT's log file beside a series: name to (value, unit)."""
    match = _NUMBERED.match(names[0].name) if len(names) > 1 else None
    if match is None:
        return None
    for stem in (match["prefix"], match["prefix"].rstrip("_")):
        log = names[0].parent / f"{stem}.log"
        if stem and log.is_file():
            lines = map(_LOG_LINE.match, log.read_text(encoding="utf-8", errors="replace").splitlines())
            return {line["key"].lower(): (line["value"], line["unit"] or "") for line in lines if line}
    return None


def _number(log: dict[str, tuple[str, str]], key: str, si: str = "") -> float | None:
    value, unit = log.get(key, ("", ""))
    scale = factor(unit, si) if si else 1.0
    try:
        return float(value.split()[0]) * scale if scale is not None else None
    except (ValueError, IndexError):
        return None


def _apply_log(found: Found, log: dict[str, tuple[str, str]]) -> None:
    """Sort the frames of a TOMCAT series: darks, flats, projections, and flats again where there are as many more."""
    words = ("number of darks", "number of flats", "number of projections")
    darks, flats, projections = (int(_number(log, word) or 0) for word in words)
    if not projections:
        return
    if _number(log, "number of inter-flats"):
        raise InputError("The log file speaks of flats between the projections; such a series can't be read.")
    total = found.frames.shape[0]
    after = flats if total == darks + 2 * flats + projections else 0
    if total != darks + flats + projections + after:
        raise InputError(
            f"The log file announces {darks} darks, {flats} flats and {projections} projections, "
            f"but the series of {found.path} has {total} files.",
            "Copy the missing files, or wait until they are written.",
        )
    found.keys = np.repeat([DARK, FLAT, 0, FLAT], [darks, flats, projections, after])
    found.notes.append(f"log file: {darks} darks, {flats} flats, {projections} projections, {after} flats after")
    start, stop = (_number(log, f"rot y {word} position", "degree") for word in ("min", "max"))
    step = _number(log, "angular step", "degree")
    if start is not None and step is not None:
        found.angles = start + step * np.arange(projections, dtype=np.float64)
    elif start is not None and stop is not None:
        found.angles = np.linspace(start, stop, projections, dtype=np.float64)
    for name, key, si in (("energy", "beam energy", "eV"), ("pixel_size", "actual pixel size", "m")):
        value = _number(log, key, si)
        if value is not None and value > 0:
            found.quantities[name] = value
    if log.get("user id", ("", ""))[0]:
        found.metadata["owner"] = log["user id"][0]
