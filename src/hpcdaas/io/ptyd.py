"""PtyPy's prepared data, ``.ptyd`` (Enders and Thibault, Proc. R. Soc. A 472, 20160640 (2016))."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Joined, Stack
from hpcdaas.io.hdf5 import Tree, quantity, text
from hpcdaas.io.hdf5_frames import stack_of
from hpcdaas.io.positions import Positions
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.io.ptycho_parts import flagged
from hpcdaas.io.raster import views_of
from hpcdaas.scan import ScanTable

LOOKED_FOR = "PtyPy's .ptyd (/chunks/0/data)"
#: Units that numbers of the format have by definition.
_UNITS = {"energy": ("eV", "keV"), "distance": ("m", "m")}


def knows(tree: Tree) -> bool:
    """Say whether a file has chunks beside what PtyPy says of them."""
    return "/chunks" in tree.nodes and any(f"/{group}" in tree.nodes for group in ("meta", "common", "info"))


def find(tree: Tree, table: ScanTable) -> PtychoFound:
    """Read a ``.ptyd`` file.

    Parameters
    ----------
    tree : Tree
        The open file.
    table : ScanTable
        Its ``paths.data`` wins.

    Raises
    ------
    InputError
        If it holds no frames, chunks don't fit each other, or a link dangles.
    """
    numbers = _chunks(tree)
    if "data" in table.paths:
        data = tree.dataset(table.paths["data"])
        if data is None:
            raise InputError(f"{tree.path} has no frames at {table.paths['data']}.")
        stack, grid = views_of(tree, data)
    else:
        stack = _frames(tree, numbers)
        grid = (1, stack.shape[0])
    found = PtychoFound(tree.path, tree.path.stem, "ptyd", tree.files, stack, grid)
    found.notes.append(f"{len(numbers)} chunks of PtyPy")
    if numbers and numbers[-1] != len(numbers) - 1:
        found.notes.append(f"chunks {numbers[0]} to {numbers[-1]} aren't all there: the scan has gaps")
    if table.positions is None and "positions" not in table.paths:
        found.positions = _positions(tree, numbers)
    for name, (si, default) in _UNITS.items():
        for group in ("meta", "common", "info"):
            node = tree.peek(f"/{group}/{name}")
            if isinstance(node, h5py.Dataset) and name not in found.quantities and node.dtype.kind in "iuf":
                value, note = quantity(node, si, default)
                found.notes += [note] if note else []
                found.quantities |= {name: value} if value is not None else {}
    sides = _pair(tree, "psize")
    if sides is not None and min(sides) > 0:
        found.pixel_size = sides
    center = _pair(tree, "center")
    if center is not None and all(0 <= at < size for at, size in zip(center, stack.shape[1:], strict=True)):
        found.beam_center = center
    if "mask" not in table.paths:
        _mask(tree, numbers, found)
    label = text(tree.peek("/meta/label")) or text(tree.peek("/info/label"))
    if label and label != "None":
        found.metadata["title"] = label
    return found


def _chunks(tree: Tree) -> list[int]:
    """Numbers of the chunks, in order."""
    group = tree.get("/chunks")
    return sorted(int(name) for name in group if name.isdigit()) if isinstance(group, h5py.Group) else []


def _frames(tree: Tree, numbers: list[int]) -> Stack:
    parts: list[Stack] = []
    for number in numbers:
        data = tree.dataset(f"/chunks/{number}/data")
        if data is None:
            raise InputError(f"Chunk {number} of {tree.path} holds no data.", "Copy it again, or prepare it again.")
        if data.size:
            parts.append(stack_of(tree, data))
            if parts[-1].shape[1:] != parts[0].shape[1:]:
                raise InputError(f"Chunk {number} of {tree.path} has frames of another size than the first.")
    if not parts:
        raise InputError(f"{tree.path} holds no frames: its chunks are empty.")
    return Joined(parts) if len(parts) > 1 else parts[0]


def _positions(tree: Tree, numbers: list[int]) -> Positions | None:
    """Join the chunks' positions, (N, 2) along rows and columns, m."""
    parts: list[NDArray[np.float64]] = []
    for number in numbers:
        dataset = tree.dataset(f"/chunks/{number}/positions")
        if dataset is None or not dataset.size:
            continue
        values = np.asarray(tree.values(dataset), np.float64)
        if values.ndim != 2 or values.shape[1] < 2:
            raise InputError(f"{dataset.name} in {tree.path} is {values.shape}; positions are (N, 2).")
        parts.append(values[:, :2])
    if not parts:
        return None
    return Positions(np.concatenate(parts), "m", f"the chunks of {tree.path.name}")


def _pair(tree: Tree, name: str) -> tuple[float, float] | None:
    """Give one number or two along rows and columns."""
    for group in ("meta", "common", "info"):
        node = tree.peek(f"/{group}/{name}")
        if isinstance(node, h5py.Dataset) and node.dtype.kind in "iuf" and node.size in (1, 2):
            values = np.broadcast_to(np.asarray(node[()], np.float64).ravel(), (2,))
            if np.isfinite(values).all():
                return float(values[0]), float(values[1])
    return None


def _mask(tree: Tree, numbers: list[int], found: PtychoFound) -> None:
    """Take the weights, of which 0 is bad: one for all frames, and those of the chunks."""
    places = ["/common/weight2d", "/meta/weight2d", *(f"/chunks/{number}/weights" for number in numbers)]
    for place in places:
        dataset = tree.dataset(place)
        if dataset is None or dataset.ndim < 2 or not dataset.size:
            continue
        good = flagged(tree, dataset, good_is_zero=False)
        if good.shape != found.frames.shape[1:]:
            raise InputError(f"{place} in {tree.path} is {good.shape}, the frames {found.frames.shape[1:]}.")
        found.good = good if found.good is None else found.good & good
