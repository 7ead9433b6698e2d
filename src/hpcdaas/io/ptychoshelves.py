"""Data that PtychoShelves prepares (Wakonig et al., J. Appl. Cryst. 53, 574 (2020))."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.hdf5 import Tree
from hpcdaas.io.positions import PIXEL, Positions
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.io.raster import views_of
from hpcdaas.scan import ScanTable

LOOKED_FOR = "PtychoShelves' prepared data (/measurement/n0/data)"


def knows(tree: Tree) -> bool:
    """Say whether a file has measurements by number."""
    return bool(_measurements(tree))


def find(tree: Tree, table: ScanTable) -> PtychoFound:
    """Read a prepared file: the first of its measurements, or that to which ``scan.paths.data`` points.

    Parameters
    ----------
    tree : Tree
        The open file.
    table : ScanTable
        Its ``paths.data`` wins.

    Raises
    ------
    InputError
        If it holds no frames, or bad pixels are off the detector.
    """
    groups = _measurements(tree)
    path = table.paths.get("data", f"{groups[0]}/data")
    data = tree.dataset(path)
    if data is None:
        raise InputError(f"{tree.path} has no frames at {path}.", "Say where: -s scan.paths.data=/path.")
    group = next((group for group in groups if path == f"{group}/data"), groups[0])
    stack, grid = views_of(tree, data)
    found = PtychoFound(tree.path, tree.path.stem, "ptychoshelves", tree.files, stack, grid)
    if len(groups) > 1:
        found.notes.append(f"{len(groups)} measurements: {group} is used, another by -s scan.paths.data=PATH")
    if table.positions is None and "positions" not in table.paths:
        found.positions = _positions(tree, group)
    if "mask" not in table.paths:
        for place in (f"{_detector(tree, group)}/bad_pixels", f"{group}/bad_pixels"):
            _mark(tree, place, found)
    return found


def _measurements(tree: Tree) -> list[str]:
    """Paths of the measurements that have data, in order."""
    names = [path for path in tree.nodes if path.startswith("/measurement/n") and path[14:].isdigit()]
    return sorted((name for name in names if f"{name}/data" in tree.nodes), key=lambda name: int(name[14:]))


def _detector(tree: Tree, group: str) -> str:
    """Path of the detector that a measurement used."""
    node = tree.peek(f"{group}/detector")
    number = 0
    if isinstance(node, h5py.Group):
        return f"{group}/detector"
    if isinstance(node, h5py.Dataset) and node.size == 1 and node.dtype.kind in "iuf":
        number = int(np.ravel(node[()])[0])
    return f"/detector/n{number}"


def _positions(tree: Tree, group: str) -> Positions | None:
    """Corners of the views, in pixels of the object; row first, as the frames have it."""
    dataset = tree.dataset(f"{group}/positions")
    if dataset is None:
        return None
    values = np.asarray(tree.values(dataset), np.float64)
    if values.ndim == 2 and values.shape[0] == 2 and values.shape[1] != 2:
        values = values.T
    if values.ndim != 2 or values.shape[1] != 2:
        raise InputError(f"{dataset.name} in {tree.path} is {values.shape}; positions are (N, 2).")
    where = f"{dataset.name} in {tree.path.name}"
    return Positions(values, PIXEL, where, [f"{where}: column 0 is taken as row, column 1 as column"])


def _mark(tree: Tree, place: str, found: PtychoFound) -> None:
    """Mark listed pixels as bad; those that are bad in one frame are left out of all."""
    dataset = tree.dataset(place)
    if dataset is None or not dataset.size:
        return
    values = tree.values(dataset)
    shape = found.frames.shape[1:]
    bad = values != 0 if values.shape == shape else _listed(values.astype(np.int64), shape)
    if bad is None:
        raise InputError(f"{place} in {tree.path} lists pixels that the frames, {shape[0]} x {shape[1]}, don't have.")
    found.good = ~bad if found.good is None else found.good & ~bad
    found.notes.append(f"{int(bad.sum())} bad pixels from {place}")


def _listed(values: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Give the mask of pixels that are listed by row and column, or by their number; None if one isn't there."""
    if values.ndim == 2 and 2 in values.shape:
        rows, columns = values.T if values.shape[1] == 2 else values
    else:
        rows, columns = np.divmod(values.ravel(), shape[1])
    if min(rows.min(), columns.min()) < 0 or rows.max() >= shape[0] or columns.max() >= shape[1]:
        return None
    bad = np.zeros(shape, bool)
    bad[rows, columns] = True
    return bad
