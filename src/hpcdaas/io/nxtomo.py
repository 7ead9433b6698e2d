"""NXtomo, and files that are like it: frames with an image key and a rotation angle for each."""

from __future__ import annotations

import re
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.found import PROJECTION, Found, image_keys
from hpcdaas.io.hdf5 import DanglingError, Tree, quantity, text, units
from hpcdaas.io.hdf5_frames import stack_of
from hpcdaas.io.location import in_degrees
from hpcdaas.scan import ScanTable

LOOKED_FOR = "NXtomo (image_key beside a 3-D dataset 'data')"
_TURNS = re.compile(r"rot|theta|omega|angle", re.IGNORECASE)
_DEMANDED = re.compile(r"set$|demand|request", re.IGNORECASE)
_QUANTITIES = {
    "pixel_size": ("sample/x_pixel_size", "{detector}/x_pixel_size"),
    "energy": ("instrument/beam/incident_energy", "beam/incident_energy", "sample/beam/incident_energy",
               "instrument/monochromator/energy"),
    "distance": ("{detector}/distance",),
}  # fmt: skip
_UNITS = {"pixel_size": "m", "energy": "eV", "distance": "m"}
_METADATA = {
    "title": ("title",),
    "sample": ("sample/name", "sample/sample_name"),
    "proposal": ("experiment_identifier", "proposal", "experiment/proposal_number"),
    "instrument": ("instrument/name", "instrument/beamline", "beamline"),
    "start_time": ("start_time",),
    "end_time": ("end_time",),
    "owner": ("user/name", "user01/name", "user_1/name"),
}


def knows(tree: Tree) -> bool:
    """Say whether a file has frames with an image key, or calls itself NXtomo."""
    named = (node for path, node in tree.nodes.items() if path.endswith("/definition"))
    return any(path.endswith("/image_key") for path in tree.nodes) or any(text(node) == "NXtomo" for node in named)


def images(tree: Tree) -> list[tuple[str, h5py.Dataset]]:
    """Give all stacks of images in a file, each once, with its path."""
    found: dict[tuple[str, str], tuple[str, h5py.Dataset]] = {}
    for path, node in tree.nodes.items():
        if isinstance(node, h5py.Dataset) and node.ndim == 3 and node.dtype.kind in "uif" and node.size:
            found.setdefault((node.file.filename, node.name), (path, node))
    return list(found.values())


def find(tree: Tree, table: ScanTable) -> Found:
    """Read an NXtomo file.

    Parameters
    ----------
    tree : Tree
        The open file.
    table : ScanTable
        Its ``paths.data`` and ``paths.image_key`` win.

    Raises
    ------
    InputError
        If there are no frames, a link dangles, or the image key doesn't fit.
    """
    path, data, key_path, keys = _detector(tree, table)
    stack = stack_of(tree, data)
    found = Found(tree.path, tree.path.stem, "nxtomo", tree.files, stack)
    if keys is not None:
        found.keys = image_keys(tree.values(keys), stack.shape[0], f"{key_path} in {tree.path}")
    else:
        found.notes.append("no image_key: all frames are taken as projections")
    if key_path and path.rpartition("/")[0] == key_path.rpartition("/")[0]:
        detector = path.rpartition("/")[0]
    else:
        detector = key_path.rpartition("/")[0] or path.rpartition("/")[0]
    entry = _entry(detector)
    found.notes.append(f"frames at {path}")
    if table.angles is None and table.angle_range is None and "angles" not in table.paths:
        _find_angles(tree, found, entry, path)
    _find_quantities(tree, found, entry, detector)
    _find_center(tree, found, detector)
    for name, places in _METADATA.items():
        value = next(filter(None, (text(tree.peek(f"{entry}/{place}")) for place in places)), "")
        if value:
            found.metadata[name] = value
    return found


def _entry(detector: str) -> str:
    """Path of the entry that a detector group belongs to."""
    before, instrument, _ = detector.rpartition("/instrument")
    return before if instrument else detector.rpartition("/")[0]


def _detector(tree: Tree, table: ScanTable) -> tuple[str, h5py.Dataset, str, h5py.Dataset | None]:
    """Give (path of the frames, frames, path of the image key, image key)."""
    given_key = table.paths.get("image_key")
    keys = [given_key] if given_key else [path for path in tree.nodes if path.endswith("/image_key")]
    if "data" in table.paths:
        data = tree.dataset(table.paths["data"])
        if data is None:
            raise InputError(f"scan.paths.data: there is no dataset {table.paths['data']} in {tree.path}.")
        beside = table.paths["data"].rpartition("/")[0] + "/image_key"
        fitting = [key for key in keys if key in (given_key, beside) or _length(tree, key) == data.shape[0]]
        key = beside if beside in fitting else fitting[0] if fitting else ""
        return table.paths["data"], data, key, _dataset(tree, key) if key else None
    broken: DanglingError | None = None
    best: tuple[tuple[bool, bool, int], tuple[str, h5py.Dataset, str, h5py.Dataset | None]] | None = None
    for key in keys or [f"{path.rpartition('/')[0]}/" for path in _without_key(tree)]:
        for path in _beside(key):
            try:
                data = tree.dataset(path)
            except DanglingError as error:
                broken = broken or error
                continue
            if data is None or data.ndim != 3:
                continue
            length = _length(tree, key)
            rank = (length == data.shape[0], "/instrument/" in key, data.size)
            if best is None or rank > best[0]:
                best = rank, (path, data, key if length is not None else "", _dataset(tree, key))
            break
    if best is not None:
        return best[1]
    if broken is not None:
        raise broken
    raise InputError(f"{tree.path} has an image key, but no frames beside it.", "Say where: -s scan.paths.data=/path.")


def _without_key(tree: Tree) -> list[str]:
    """Places of frames in a file that calls itself NXtomo and has no image key."""
    return [path for path in tree.nodes if path.endswith("/data") and "/instrument/" in path] or [
        path for path in tree.nodes if path.endswith("/data")
    ]


def _beside(key: str) -> list[str]:
    """Places where the frames of an image key may be: beside it, or in the entry's group of the same name."""
    group = key.rpartition("/")[0]
    entry, name = _entry(group), group.rpartition("/")[2]
    return [f"{group}/data", f"{entry}/{name}/data", f"{entry}/data/data"]


def _dataset(tree: Tree, path: str) -> h5py.Dataset | None:
    return None if path.endswith("/") else tree.dataset(path)


def _length(tree: Tree, path: str) -> int | None:
    node = tree.peek(path) if path and not path.endswith("/") else None
    return int(node.size) if isinstance(node, h5py.Dataset) else None


def _find_angles(tree: Tree, found: Found, entry: str, frames: str) -> None:
    """Take ``rotation_angle``, or else a dataset of the right length whose name speaks of turning."""
    for place in ("sample/rotation_angle", "data/rotation_angle"):
        dataset = tree.dataset(f"{entry}/{place}")
        if dataset is not None:
            _take_angles(tree, found, f"{entry}/{place}", dataset)
            return
    lengths = {found.frames.shape[0]}
    if found.keys is not None:
        lengths.add(int(np.count_nonzero(found.keys == PROJECTION)))
    group = frames.rpartition("/")[0]
    groups = (f"{group}/", f"{entry}/{group.rpartition('/')[2]}/")
    best: tuple[tuple[bool, bool, bool, int], str, h5py.Dataset] | None = None
    for path, node in tree.nodes.items():
        last = path.split("/")[-2] if path.endswith("/value") else path.split("/")[-1]
        if not isinstance(node, h5py.Dataset) or node.ndim != 1 or node.dtype.kind not in "iuf":
            continue
        if node.size not in lengths or not _TURNS.search(last) or _DEMANDED.search(last):
            continue
        rank = (last == "rotation_angle", path.startswith(groups), path.startswith(f"{entry}/"), -path.count("/"))
        if best is None or rank > best[0]:
            best = rank, path, node
    if best is not None:
        _take_angles(tree, found, best[1], best[2])


def _take_angles(tree: Tree, found: Found, path: str, dataset: h5py.Dataset) -> None:
    values: NDArray[Any] = tree.values(dataset)
    found.angles = in_degrees(values, units(dataset), f"{path} in {tree.path}")
    found.notes.append(f"angles at {path}")


def _find_quantities(tree: Tree, found: Found, entry: str, detector: str) -> None:
    for name, places in _QUANTITIES.items():
        for place in places:
            path = place.format(detector=detector) if "{" in place else f"{entry}/{place}"
            node = tree.peek(path)
            if not isinstance(node, h5py.Dataset):
                continue
            value, note = quantity(node, _UNITS[name])
            if value is not None:
                found.quantities[name] = value
                break
            found.notes.append(note)
    node = tree.peek(f"{detector}/count_time")
    if isinstance(node, h5py.Dataset) and units(node):
        value, _ = quantity(node, "s")
        if value is not None:
            found.metadata["exposure_time"] = {"value": value, "unit": "s"}


def _find_center(tree: Tree, found: Found, detector: str) -> None:
    """Take ``x_rotation_axis_pixel_position`` where it is a column.

    The ESRF's files, known by their field_of_view or image_key_control, count it from the
    middle of the frame and estimate it from motors: there it is left alone. 0 and NaN stand for unknown.
    """
    node = tree.peek(f"{detector}/x_rotation_axis_pixel_position")
    if not isinstance(node, h5py.Dataset) or node.size != 1 or node.dtype.kind not in "iuf":
        return
    value = float(np.ravel(node[()])[0])
    if any(tree.peek(f"{detector}/{name}") is not None for name in ("field_of_view", "image_key_control")):
        found.notes.append(f"x_rotation_axis_pixel_position = {value:g} counts from the frame's middle and is not used")
    elif np.isfinite(value) and value != 0:
        found.quantities["center"] = value
        found.notes.append(f"rotation centre at column {value:g}, from the file")
