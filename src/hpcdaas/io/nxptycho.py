"""NeXus files of ptychography whose groups have names of their own, found by their classes.

Also any HDF5 file whose frames and positions the user names: 4D-STEM, for example.
"""

from __future__ import annotations

import h5py
import numpy as np

from hpcdaas.errors import InputError
from hpcdaas.io.cxi import DEFINITIONS, Groups, read
from hpcdaas.io.hdf5 import Tree, text
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.scan import ScanTable

LOOKED_FOR = "NXcxi_ptycho and NXptycho"


def knows(tree: Tree) -> bool:
    """Say whether a file calls itself NXptycho or NXcxi_ptycho."""
    return bool(_defined(tree))


def find(tree: Tree, table: ScanTable) -> PtychoFound:
    """Read a NeXus file of ptychography; see `hpcdaas.io.cxi.find`."""
    return read(tree, table, _groups(tree, _defined(tree)[0]), "nxptycho")


def find_named(tree: Tree, table: ScanTable) -> PtychoFound:
    """Read a file without known layout whose positions the user names.

    Frames are at ``scan.paths.data``, or the only stack of images in the file; NeXus classes tell the rest.

    Raises
    ------
    InputError
        If it isn't clear which dataset the frames are.
    """
    path = table.paths.get("data", "")
    if not path:
        stacks: dict[tuple[str, str], str] = {}
        for place, node in tree.nodes.items():
            if isinstance(node, h5py.Dataset) and node.ndim in (3, 4) and node.dtype.kind in "iuf" and node.size:
                stacks.setdefault((node.file.filename, node.name), place)
        if len(stacks) != 1:
            shown = ", ".join(list(stacks.values())[:6]) or "none"
            raise InputError(
                f"It isn't clear which dataset of {tree.path} holds the frames; found {shown}.",
                "Say which: -s scan.paths.data=/path.",
            )
        path = next(iter(stacks.values()))
    known = table.model_copy(update={"paths": {**table.paths, "data": path}})
    entry = next((place for place in tree.nodes if _class(tree, place) == "NXentry" and path.startswith(place)), "")
    found = read(tree, known, _groups(tree, entry, path), "hdf5")
    found.notes.append(f"frames at {path}")
    return found


def _defined(tree: Tree) -> list[str]:
    """Paths of the entries that call themselves ptychography."""
    return [
        path.removesuffix("/definition")
        for path, node in tree.nodes.items()
        if path.endswith("/definition") and text(node) in DEFINITIONS
    ]


def _class(tree: Tree, path: str) -> str:
    node = tree.nodes.get(path)
    if not isinstance(node, h5py.Group):
        return ""
    value = np.ravel(node.attrs.get("NX_class", ""))
    return value[0].decode() if value.size and isinstance(value[0], bytes) else str(value[0] if value.size else "")


def _groups(tree: Tree, entry: str, data: str = "") -> Groups:
    """Find the groups of an entry by their classes; the detector is that which holds frames."""
    by_class: dict[str, list[str]] = {}
    for path in tree.nodes:
        if path.startswith(f"{entry}/"):
            by_class.setdefault(_class(tree, path), []).append(path)
    detectors = by_class.get("NXdetector", [])
    holding = [path for path in detectors if f"{path}/data" in tree.nodes]
    beside = data.rpartition("/")[0]
    detector = beside if beside in detectors else (holding or detectors or [beside])[0]
    sources = [path for name in ("NXbeam", "NXmonochromator", "NXsource") for path in by_class.get(name, [])]
    return Groups(
        entry,
        detector,
        (by_class.get("NXdata") or [beside])[0],
        tuple(sources) or (f"{entry}/instrument/beam", f"{entry}/beam"),
        (by_class.get("NXsample") or [f"{entry}/sample"])[0],
    )
