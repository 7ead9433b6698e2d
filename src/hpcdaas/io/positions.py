"""Scan positions: of a file's own field, or of another HDF5, NumPy, text, CSV or SPEC file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.hdf5 import Tree, is_hdf5, units
from hpcdaas.io.text_columns import Columns, read_columns
from hpcdaas.io.units import factor

#: The unit of positions that count object pixels.
PIXEL = "pixel"
_PIXELS = ("px", "pixel", "pixels")
_WHERE = "Give them with -s scan.positions=FILE, FILE:PATH or FILE:PATH_OF_X,PATH_OF_Y."
#: Places where files of other formats have them.
_KNOWN = (
    "/entry_1/sample_1/geometry_1/translation",
    "/entry_1/data_1/translation",
    "/entry_1/instrument_1/detector_1/translation",
    "/probe_position_x_m,/probe_position_y_m",
)
#: Words in the names of columns that measure, and of those that don't.
_READ = re.compile(r"average|mean|readback|actual|encoder|meas|interf|laser|corr", re.IGNORECASE)
_NOT = re.compile(r"std|err|target|demand|set|rms|sigma|var", re.IGNORECASE)


@dataclass
class Positions:
    """Positions as they are stored.

    Attributes
    ----------
    values : ndarray, (N, 2), float64
        (y, x).
    unit : str
        ``m`` or ``pixel`` (of the object).
    source : str
        The place, for people.
    notes : list of str
        What was assumed.
    files : list of Path
        Files other than the scan's that they came from.
    """

    values: NDArray[np.float64]
    unit: str
    source: str
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def given_positions(text: str, main: Path, grid: tuple[int, int]) -> Positions:
    """Read the positions to which ``scan.positions`` points.

    Parameters
    ----------
    text : str
        A path in the scan's file, a file, or FILE:PATH; two HDF5 paths or two columns as ``X,Y``; the number of a
        scan in a SPEC file as FILE:NUMBER; a unit may follow after a space.
    main : Path
        The scan's file.
    grid : tuple of int
        (rows, columns) of the raster in which the frames stand; (1, frames) where they don't.

    Raises
    ------
    InputError
        If they can't be found, or it isn't clear what is x and what is y.
    """
    place, unit = _with_unit(text)
    file, inner = _locate(place, text, main)
    if not file.is_file():
        raise InputError(f"scan.positions: {file} is no file.", _WHERE)
    if is_hdf5(file):
        with Tree(file) as tree:
            found = _of_tree(tree, inner, grid, unit)
        found.files = tree.files if file != main else tree.files[1:]
        return found
    if file.suffix == ".npy":
        columns = _of_numpy(file)
    else:
        columns = read_columns(file, inner)
        inner = inner.partition(":")[2] if inner[:1].isdigit() and ":" in inner else inner
        inner = inner if "," in inner else ""
    found = _of_columns(columns, inner, unit, str(file))
    found.files = [file]
    return found


def of_dataset(dataset: h5py.Dataset, values: NDArray[Any], default: str = "", unit: str = "") -> Positions:
    """Make positions of a dataset whose last axis is x, y (, z).

    Parameters
    ----------
    dataset : Dataset
        For its name and unit.
    values : ndarray, (..., 2 or 3)
        What it holds.
    default : str, optional
        The unit by definition of the format where the dataset has none; "" says that m is assumed.
    unit : str, optional
        The unit that the user gives; wins.

    Raises
    ------
    InputError
        If the shape or the unit can't be.
    """
    where = f"{dataset.name} in {Path(dataset.file.filename).name}"
    if values.ndim == 2 and values.shape[0] in (2, 3) and values.shape[1] not in (2, 3):
        values = values.T
    if values.ndim < 2 or values.shape[-1] not in (2, 3):
        raise InputError(f"{where} is {values.shape}; positions are (N, 2) or (N, 3): x, y (, z).", _WHERE)
    xy = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    written = unit or units(dataset)
    notes = [] if default else [f"{where}: column 0 is taken as x, column 1 as y"]
    return _scaled(xy[:, 1::-1], (written, written), where, notes, default)


def of_pair(x: h5py.Dataset, y: h5py.Dataset, tree: Tree, grid: tuple[int, int], unit: str = "") -> Positions:
    """Make positions of a dataset of x and one of y: one value a frame, or the axes of a raster.

    Raises
    ------
    InputError
        If they don't fit each other, or have no unit of length.
    """
    where = f"{x.name} and {y.name} in {Path(x.file.filename).name}"
    across, down = (np.asarray(tree.values(node), np.float64).ravel() for node in (x, y))
    if across.size == grid[1] and down.size == grid[0] and grid[0] > 1:
        down, across = (part.ravel() for part in np.meshgrid(down, across, indexing="ij"))
    if across.size != down.size:
        raise InputError(f"{where} have {across.size} and {down.size} values, which belong to no raster here.", _WHERE)
    written = tuple(unit or units(node) or _suffix(str(node.name)) for node in (x, y))
    return _scaled(np.stack([down, across], axis=1), (written[1], written[0]), where, [], "")


def pair_of(labels: Sequence[str]) -> tuple[int, int] | None:
    """Find which labels name x and y: two that differ in this letter alone, measured ones before wanted ones.

    Returns
    -------
    tuple of int or None
        Places of x and y; None where there is no pair, or more than one that is as good.
    """
    places = {label.lower(): place for place, label in enumerate(labels)}
    pairs: dict[tuple[int, int], int] = {}
    for label, place in places.items():
        for hit in re.finditer("x", label):
            other = f"{label[: hit.start()]}y{label[hit.end() :]}"
            if other in places:
                pairs[place, places[other]] = bool(_READ.search(label)) - bool(_NOT.search(label))
    best = [pair for pair, rank in pairs.items() if rank == max(pairs.values())]
    return best[0] if len(best) == 1 else None


def _with_unit(text: str) -> tuple[str, str]:
    """Split ``FILE um``."""
    before, _, last = text.rpartition(" ")
    known = factor(last, "m") is not None if re.fullmatch(r"[A-Za-zµμÅ]+", last) else False
    if before and (known or last.lower() in _PIXELS) and not Path(text).exists():
        return before.rstrip(), last
    return text, ""


def _locate(place: str, text: str, main: Path) -> tuple[Path, str]:
    """Find the file and what is named in it."""
    if main.is_file() and is_hdf5(main):
        with Tree(main) as tree:
            if all(tree.get(part) is not None for part in place.split(",")):
                return main, place
    name, inner = place, ""
    while name:
        for candidate in (Path(name), main.parent / name):
            if candidate.is_file():
                return candidate.absolute(), inner
        name, colon, last = name.rpartition(":")
        inner = f"{last}:{inner}" if inner and colon else last
    raise InputError(f"scan.positions = '{text}' is neither a file nor a path in {main.name}.", _WHERE)


def _of_tree(tree: Tree, inner: str, grid: tuple[int, int], unit: str) -> Positions:
    for place in (inner,) if inner else _KNOWN:
        names = place.split(",")
        nodes = [tree.get(name) for name in names]
        if len(nodes) == 2 and all(isinstance(node, h5py.Dataset) for node in nodes):
            return of_pair(nodes[0], nodes[1], tree, grid, unit)
        if len(nodes) == 1 and isinstance(nodes[0], h5py.Dataset):
            return of_dataset(nodes[0], tree.values(nodes[0]), unit=unit)
        if isinstance(nodes[0], h5py.Group):
            return _among(tree, "/" + names[0].strip("/"), grid, unit)
    if inner:
        raise InputError(f"scan.positions: there is nothing at {inner} in {tree.path}.", _WHERE)
    return _among(tree, "", grid, unit)


def _among(tree: Tree, group: str, grid: tuple[int, int], unit: str) -> Positions:
    """Look for x and y, one value for each frame, in a group or in the whole file."""
    group = group.rstrip("/")
    frames = grid[0] * grid[1]
    sizes = {frames, *(grid if grid[0] > 1 else ())}
    numbers = {
        path: node
        for path, node in tree.nodes.items()
        if path.startswith(f"{group}/") and isinstance(node, h5py.Dataset) and node.dtype.kind in "iuf"
    }
    fitting = [path for path, node in numbers.items() if node.size in sizes and node.size > 1]
    pair = pair_of(fitting)
    if pair is not None:
        return of_pair(numbers[fitting[pair[0]]], numbers[fitting[pair[1]]], tree, grid, unit)
    whole = [
        path
        for path, node in numbers.items()
        if node.shape[-1:] in ((2,), (3,)) and node.shape[:-1] in ((frames,), grid)
    ]
    if len(whole) == 1:
        return of_dataset(numbers[whole[0]], tree.values(numbers[whole[0]]), unit=unit)
    shown = ", ".join((whole + fitting)[:6]) or f"nothing of {frames} values"
    raise InputError(f"scan.positions: it isn't clear which in {tree.path}{group} they are; found {shown}.", _WHERE)


def _of_numpy(file: Path) -> Columns:
    try:
        values = np.load(file, allow_pickle=False)
        numbers = np.asarray(values, np.float64)
    except (ValueError, OSError, EOFError, TypeError) as error:
        raise InputError(f"scan.positions: {file} is no NumPy file of numbers.") from error
    if numbers.ndim == 2 and numbers.shape[0] in (2, 3) and numbers.shape[1] not in (2, 3):
        numbers = numbers.T
    if numbers.ndim < 2:
        raise InputError(f"scan.positions: {file} is {numbers.shape}; positions are (N, 2): x, y.")
    return Columns((), numbers.reshape(-1, numbers.shape[-1]))


def _of_columns(columns: Columns, names: str, unit: str, where: str) -> Positions:
    labels, numbers = columns.labels, columns.numbers
    hint = "Say which columns: -s scan.positions=FILE:X,Y (names, or numbers from 0)."
    if names:
        pair = [_column(name.strip(), columns, where) for name in names.split(",")]
        if len(pair) != 2:
            raise InputError(f"scan.positions: '{names}' names {len(pair)} columns; two are needed.", hint)
        x, y = pair
    elif labels and (found := pair_of(labels)) is not None:
        x, y = found
    elif not labels and numbers.shape[1] in (2, 3):
        x, y = 0, 1
    else:
        shown = f": {', '.join(labels)[:80]}" if labels else ""
        raise InputError(
            f"scan.positions: {where} has {numbers.shape[1]} columns{shown}; which is x isn't clear.", hint
        )
    called = [labels[place] if labels else f"column {place}" for place in (x, y)]
    written = [unit or (_suffix(labels[place]) if labels else "") for place in (y, x)]
    notes = [f"{where}: {called[0]} is taken as x, {called[1]} as y"]
    return _scaled(numbers[:, [y, x]], (written[0], written[1]), where, notes, "")


def _column(name: str, columns: Columns, where: str) -> int:
    if name in columns.labels:
        return columns.labels.index(name)
    if name.isdigit() and int(name) < columns.numbers.shape[1]:
        return int(name)
    bare = [re.split(r"\s*[\(\[]", label)[0] for label in columns.labels]
    if name in bare:
        return bare.index(name)
    shown = ", ".join(columns.labels) or f"{columns.numbers.shape[1]} without names"
    raise InputError(f"scan.positions: {where} has no column '{name}'; there are {shown[:120]}.")


def _suffix(label: str) -> str:
    """Unit that a label ends with: ``x (um)``, ``x [um]``, ``x_um``; "" where it is none."""
    found = re.search(r"[\(\[]\s*([^\)\]]+?)\s*[\)\]]\s*$", label) or re.search(r"_(nm|um|mm|cm|m|px|pixels?)$", label)
    return found.group(1) if found else ""


def _scaled(
    values: NDArray[np.float64], written: tuple[str, str], where: str, notes: list[str], default: str
) -> Positions:
    """Bring (y, x) to m; `written` are the units of both."""
    if all(unit.lower() in _PIXELS for unit in written):
        return Positions(np.array(values, np.float64), PIXEL, where, notes)
    scales = []
    for unit in written:
        scale = factor(unit or default or "m", "m")
        if scale is None:
            raise InputError(f"{where}: '{unit}' is no unit of positions.", "Name it: -s scan.positions='FILE um'.")
        scales.append(scale)
    if not all(written) and not default:
        notes.append(f"{where} has no unit: positions are taken as m")
    return Positions(np.asarray(values, np.float64) * scales, "m", where, notes)
