"""HDF5 files opened for reading, with every link followed by hand: a dangling one is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import hdf5plugin  # noqa: F401  registers the filters that detectors write
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.units import factor

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Flags in a superblock: open for writing, and for writing while others read.
WRITER, SWMR_WRITER = 1, 4
#: Links that lead to links: more than this is a circle.
DEPTH = 32
#: A scan's file has some thousand objects; a search ends here.
NODES = 50_000


class DanglingError(InputError):
    """A link leads nowhere."""


def is_hdf5(path: Path) -> bool:
    """Say whether a file has HDF5's signature, at the start or behind a user block."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        place = 0
        while place + len(SIGNATURE) <= size:
            stream.seek(place)
            if stream.read(len(SIGNATURE)) == SIGNATURE:
                return True
            place = max(512, 2 * place)
    return False


def open_file(path: Path) -> h5py.File:
    """Open a file for reading, without locks: network file systems often have none.

    Raises
    ------
    InputError
        If it is missing, truncated or no HDF5 file.
    """
    try:
        # HDF5 tries a damaged file again and again in its mode for files that are being written.
        return h5py.File(path, "r", swmr=bool(writer_flags(path) & SWMR_WRITER), locking=False)
    except (OSError, RuntimeError) as error:  # h5py raises either, by the place of the damage
        reason = str(error)
    if "locking flag" in reason:  # this process has it open already, with locks
        return h5py.File(path, "r")
    if not path.exists():
        raise InputError(f"There is no file {path}.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read by you.", "Ask its owner for the permission.")
    wait = "Copy it again, or wait until it is written."
    if "truncated" in reason:
        raise InputError(f"{path} is truncated: it ends at byte {path.stat().st_size}.", wait)
    if not path.is_file() or not is_hdf5(path):
        raise InputError(f"{path} is no HDF5 file.")
    if writer_flags(path) & WRITER:
        raise InputError(
            f"{path} is still being written, or its writer died.",
            "Wait until it is closed; 'h5clear -s' mends a dead one.",
        )
    raise InputError(f"{path} is damaged: HDF5 can't open it.", wait)


def writer_flags(path: Path) -> int:
    """Read the consistency flags of a superblock of version 3 (HDF5 file format 3.0, II.A); 0 for others."""
    try:
        with path.open("rb") as stream:
            start = stream.read(12)
    except OSError:
        return 0
    return start[11] if len(start) == 12 and start.startswith(SIGNATURE) and start[8] == 3 else 0


def linked_file(parent: Path, name: str) -> Path | None:
    """Find the file that a link in `parent` names, where HDF5 would: as given, then beside `parent`."""
    candidates = [Path(name)] if Path(name).is_absolute() else []
    candidates += [parent.parent / name, parent.parent / Path(name).name]
    return next((path for path in candidates if path.exists()), None)


class Tree:
    """An HDF5 file and the files that its links reach, open together.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    path : Path
        The file.
    files : list of Path
        The file, then every other one that data were taken from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[Path] = [path]
        self._open: dict[str, h5py.File] = {}
        self._root = self._file(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def _file(self, path: Path) -> h5py.File:
        key = os.path.realpath(path)
        if key not in self._open:
            self._open[key] = open_file(path)
        return self._open[key]

    def get(self, path: str) -> h5py.Group | h5py.Dataset | None:
        """Give what is at a path, or None where there is nothing.

        Raises
        ------
        DanglingError
            If a link on the way leads nowhere; names the link and its target.
        """
        return self._walk(self._root["/"], path, 0)

    def peek(self, path: str) -> h5py.Group | h5py.Dataset | None:
        """Give what is at a path that isn't needed: None for a dangling link, too."""
        try:
            return self.get(path)
        except InputError:
            return None

    def dataset(self, path: str) -> h5py.Dataset | None:
        """Give the dataset at a path, or None; raises `DanglingError` like `get`."""
        found = self.get(path)
        return found if isinstance(found, h5py.Dataset) else None

    def _walk(self, group: h5py.Group, path: str, depth: int) -> h5py.Group | h5py.Dataset | None:
        current: Any = group.file["/"] if path.startswith("/") else group
        for name in path.split("/"):
            if name in ("", "."):
                continue
            if not isinstance(current, h5py.Group):
                return None
            current = self._child(current, name, depth)
        return current

    def _child(self, group: h5py.Group, name: str, depth: int = 0) -> h5py.Group | h5py.Dataset | None:
        try:
            link = group.get(name, getlink=True)
        except KeyError:
            return None
        if link is None:
            return None
        where = f"{group.name.rstrip('/')}/{name} in {group.file.filename}"
        if isinstance(link, h5py.HardLink):
            try:
                return group[name]
            except (KeyError, OSError) as error:
                raise InputError(f"{where} can't be read: the file is damaged or truncated.") from error
        if depth > DEPTH:
            raise DanglingError(f"The link {where} leads round in a circle.")
        if isinstance(link, h5py.SoftLink):
            target, inner, file = link.path, link.path, None
            start: h5py.Group = group
        else:
            target, inner = f"{link.path} in {link.filename}", link.path
            file = linked_file(Path(group.file.filename), link.filename)
            if file is None:
                raise DanglingError(
                    f"The link {where} leads to {link.filename}, and there is no such file.",
                    "Put the file beside it, as the link says.",
                )
            start = self._file(file)["/"]
        found = self._walk(start, inner, depth + 1)
        if found is None:
            raise DanglingError(f"The link {where} leads to {target}, and there is nothing.")
        return found

    @cached_property
    def nodes(self) -> dict[str, h5py.Group | h5py.Dataset | DanglingError]:
        """Everything in the file by path, groups before what they hold; broken links as their error."""
        found: dict[str, h5py.Group | h5py.Dataset | DanglingError] = {}
        for path, node in self._search(self._root["/"], "", frozenset()):
            found[path] = node
            if len(found) >= NODES:
                break
        return found

    def _search(
        self, group: h5py.Group, prefix: str, above: frozenset[tuple[int, int]]
    ) -> Iterator[tuple[str, h5py.Group | h5py.Dataset | DanglingError]]:
        info = h5py.h5o.get_info(group.id)
        here = (info.fileno, info.addr)
        if here in above or len(above) > DEPTH:
            return
        for name in group:
            path = f"{prefix}/{name}"
            try:
                node = self._child(group, name)
            except DanglingError as error:
                yield path, error
                continue
            except InputError:
                continue  # a damaged target; if it is needed, reading it says so
            if node is None or not isinstance(node, h5py.Group | h5py.Dataset):
                continue
            yield path, node
            if isinstance(node, h5py.Group):
                yield from self._search(node, path, above | {here})

    def use(self, *paths: Path) -> None:
        """Remember files as part of the scan's data."""
        known = {os.path.realpath(path) for path in self.files}
        for path in paths:
            if os.path.realpath(path) not in known:
                self.files.append(path)
                known.add(os.path.realpath(path))

    def values(self, dataset: h5py.Dataset) -> NDArray[Any]:
        """Read a whole small dataset of numbers, which is then part of the scan.

        Raises
        ------
        InputError
            If it holds no numbers or can't be read.
        """
        self.use(Path(dataset.file.filename))
        if dataset.dtype.kind not in "iufb":
            raise InputError(f"{dataset.name} in {dataset.file.filename} holds no numbers.")
        try:
            return np.asarray(dataset[()])
        except OSError as error:
            raise InputError(f"{dataset.name} in {dataset.file.filename} can't be read: {error}.") from error


def text(node: object) -> str:
    """Read a dataset that holds one string; "" where it doesn't."""
    if not isinstance(node, h5py.Dataset) or node.size != 1 or node.dtype.kind not in "OS":
        return ""
    value = np.ravel(node[()])[0]
    decoded = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return decoded.strip().strip("\0")


def units(node: h5py.Dataset) -> str:
    """Read the attribute ``units``; "" where there is none."""
    value = np.ravel(node.attrs.get("units", node.attrs.get("unit", "")))
    if value.size != 1:
        return ""
    return value[0].decode("utf-8", "replace") if isinstance(value[0], bytes) else str(value[0])


def quantity(node: h5py.Dataset, si: str, default: str = "") -> tuple[float | None, str]:
    """Read one positive quantity.

    Parameters
    ----------
    node : Dataset
        A number, an array of equal numbers, or a string that holds one.
    si : str
        The unit wanted.
    default : str, optional
        The unit that it has by definition where the file writes none.

    Returns
    -------
    value : float or None
        In `si`; None where it isn't known.
    note : str
        Why it is not used, or "".
    """
    written = text(node)
    try:
        numbers = np.array([float(written)]) if written else np.asarray(node[()], np.float64).ravel()
    except (ValueError, TypeError, OSError):
        return None, f"{node.name} is no number and is not used"
    numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
    if not numbers.size:
        return None, f"{node.name} holds no positive number and is not used"
    if np.ptp(numbers) > 1e-3 * numbers[0]:
        return None, f"{node.name} varies and is not used"
    scale = factor(units(node) or default, si)
    if scale is None:
        unit = units(node)
        why = f"has the unit '{unit}'" if unit else "has no unit"
        return None, f"{node.name} = {numbers[0]:g} {why} and is not used"
    return float(numbers[0]) * scale, ""
