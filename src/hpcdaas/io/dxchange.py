"""APS Data Exchange, which TOMCAT and Sirius write too.

Layout: De Carlo et al., J. Synchrotron Rad. 21, 1224 (2014).
"""

from __future__ import annotations

import h5py
import numpy as np

from hpcdaas.errors import InputError
from hpcdaas.io.found import Found
from hpcdaas.io.frames import Memory, Stack
from hpcdaas.io.hdf5 import Tree, quantity, text, units
from hpcdaas.io.hdf5_frames import stack_of
from hpcdaas.io.location import in_degrees
from hpcdaas.scan import ScanTable

LOOKED_FOR = "Data Exchange (/exchange/data)"
_ACQUISITION = "/process/acquisition"
_QUANTITIES = {
    # The detector's own pixel_size_x is left alone: an objective stands between it and the sample.
    "pixel_size": (
        "/measurement/instrument/detector/actual_pixel_size_x",
        "/measurement/instrument/detection_system/objective/resolution",
    ),
    "energy": ("/measurement/instrument/monochromator/energy",),
    "distance": ("/measurement/instrument/detector/distance",),
}
_UNITS = {"pixel_size": "m", "energy": "eV", "distance": "m"}
_METADATA = {
    "title": ("/exchange/title", "/measurement/title"),
    "sample": ("/measurement/sample/name",),
    "proposal": ("/measurement/sample/experiment/proposal", "/measurement/sample/experiment/proposal_number"),
    "instrument": ("/measurement/instrument/name",),
    "start_time": (f"{_ACQUISITION}/start_date", f"{_ACQUISITION}/start_time"),
    "end_time": (f"{_ACQUISITION}/end_date", f"{_ACQUISITION}/end_time"),
    "owner": ("/measurement/sample/experimenter/name",),
}


def knows(tree: Tree) -> bool:
    """Say whether a file has ``/exchange/data``, be it only a link."""
    return "/exchange/data" in tree.nodes


def find(tree: Tree, table: ScanTable) -> Found:
    """Read a Data Exchange file.

    Parameters
    ----------
    tree : Tree
        The open file.
    table : ScanTable
        Its ``paths.data`` wins.

    Raises
    ------
    InputError
        If there are no frames or a link dangles.
    """
    path = table.paths.get("data", "/exchange/data")
    data = tree.dataset(path)
    if data is None:
        raise InputError(f"There is no dataset {path} in {tree.path}.", "Say where: -s scan.paths.data=/path.")
    stack = stack_of(tree, data)
    found = Found(tree.path, tree.path.stem, "dxchange", tree.files, stack)
    if table.angles is None and table.angle_range is None and "angles" not in table.paths:
        _find_angles(tree, found)
    if table.flats is None and "flats" not in table.paths:
        _find_flats(tree, found)
    if table.darks is None and "darks" not in table.paths:
        for name in ("data_dark", "data_dark_pre", "data_dark_post"):
            part = _stack(tree, f"/exchange/{name}")
            found.darks += [part] if part is not None else []
        if not found.darks:
            value = _number(tree, f"{_ACQUISITION}/dark_fields/dark_field_value")
            if value is not None and value >= 0:
                found.darks.append(Memory.constant(value, stack.shape[1:]))
                found.notes.append(f"darks are one value, {value:g}")
    for name, places in _QUANTITIES.items():
        for node in map(tree.peek, places):
            if isinstance(node, h5py.Dataset) and name not in found.quantities:
                value, note = quantity(node, _UNITS[name])
                found.notes += [note] if note else []
                found.quantities |= {name: value} if value is not None else {}
    for name, places in _METADATA.items():
        words = next(filter(None, (text(tree.peek(place)) for place in places)), "")
        if words:
            found.metadata[name] = words
    node = tree.peek("/measurement/instrument/detector/exposure_time")
    if isinstance(node, h5py.Dataset) and units(node):
        value, _ = quantity(node, "s")
        if value is not None:
            found.metadata["exposure_time"] = {"value": value, "unit": "s"}
    return found


def _find_angles(tree: Tree, found: Found) -> None:
    theta = tree.dataset("/exchange/theta")
    if theta is not None and theta.size:
        found.angles = in_degrees(tree.values(theta), units(theta), f"/exchange/theta in {tree.path}")
        return
    start, step = (_number(tree, f"{_ACQUISITION}/rotation/rotation_{word}") for word in ("start", "step"))
    if start is not None and step is not None:
        found.angles = start + step * np.arange(found.frames.shape[0], dtype=np.float64)
        found.notes.append(f"no theta: angles from rotation_start {start:g} and rotation_step {step:g}")


def _find_flats(tree: Tree, found: Found) -> None:
    """Take flats with the time at which they were taken, where the file tells it."""
    after = float(found.frames.shape[0])
    mode = text(tree.peek(f"{_ACQUISITION}/flat_fields/flat_field_mode")).lower()
    for name, when in (("data_white", 0.0), ("data_white_pre", 0.0), ("data_white_post", after)):
        part = _stack(tree, f"/exchange/{name}")
        if part is None:
            continue
        number = _number(tree, f"{_ACQUISITION}/flat_fields/num_flat_fields")
        if name == "data_white" and mode == "both" and number and part.shape[0] == 2 * number:
            half = part.shape[0] // 2
            found.flats += [(part.take(np.arange(half)), 0.0), (part.take(np.arange(half, 2 * half)), after)]
        else:
            found.flats.append((part, after if name == "data_white" and mode == "end" else when))
    if not found.flats:
        value = _number(tree, f"{_ACQUISITION}/flat_fields/flat_field_value")
        if value is not None and value > 0:
            found.flats.append((Memory.constant(value, found.frames.shape[1:]), 0.0))
            found.notes.append(f"flats are one value, {value:g}")


def _stack(tree: Tree, path: str) -> Stack | None:
    dataset = tree.dataset(path)
    return stack_of(tree, dataset) if dataset is not None and dataset.size else None


def _number(tree: Tree, path: str) -> float | None:
    dataset = tree.dataset(path)
    if dataset is None or dataset.size != 1 or dataset.dtype.kind not in "iuf":
        return None
    value = float(np.ravel(dataset[()])[0])
    return value if np.isfinite(value) else None
