"""Diffraction frames at ``/dp`` as the Advanced Photon Source's programs write them, ptychodus and fold_slice.

Positions, energy and probe stand beside the frames, or in a second file of positions and parameters.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from hpcdaas.errors import InputError
from hpcdaas.io.hdf5 import Tree, is_hdf5
from hpcdaas.io.positions import Positions, of_pair
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.io.ptycho_parts import first_length, flagged, probe_of
from hpcdaas.io.raster import views_of
from hpcdaas.scan import PLANCK_LIGHT, ScanTable

LOOKED_FOR = "ptychodus or fold_slice (/dp)"
_PAIRS = (("/probe_position_x_m", "/probe_position_y_m"), ("/ppX", "/ppY"))
#: Endings of the names of a pair of files, frames and parameters.
_ENDINGS = (("_dp", "_para"), ("dp", "para"), ("data", "metadata"))


def knows(tree: Tree) -> bool:
    """Say whether a file has its frames at ``/dp``."""
    return "/dp" in tree.nodes


def find(tree: Tree, table: ScanTable) -> PtychoFound:
    """Read frames and what stands beside them or in the second file.

    Parameters
    ----------
    tree : Tree
        The open file.
    table : ScanTable
        Its ``paths.data`` wins. An HDF5 file of ``positions`` gives energy, distance and probe, too.

    Raises
    ------
    InputError
        If there are no frames, or a field has a shape that can't be.
    """
    path = table.paths.get("data", "/dp")
    data = tree.dataset(path)
    if data is None:
        raise InputError(f"{tree.path} has no frames at {path}.", "Say where: -s scan.paths.data=/path.")
    stack, grid = views_of(tree, data)
    found = PtychoFound(tree.path, tree.path.stem, "aps", tree.files, stack, grid)
    if "MATLAB_class" in data.attrs:
        # MATLAB's first index runs fastest: what it calls rows are columns here.
        found.orientation, found.oriented = "+x+y", "file"
        found.notes.append("written by MATLAB: rows of its frames are columns here, and so are those of its object")
    with ExitStack() as opened:
        trees = [tree]
        second = _second(tree.path, table)
        if second is not None:
            trees.append(opened.enter_context(Tree(second)))
        for source in trees:
            _take(source, found, table)
            if source is not tree and len(source.files):
                found.use(source.files)
                found.notes.append(f"parameters from {source.path.name}")
    return found


def _second(path: Path, table: ScanTable) -> Path | None:
    """Find the file of parameters: that of ``scan.positions``, or one beside whose name says so."""
    if table.positions is not None:
        name = table.positions.split(":")[0]
        candidates = [Path(name), path.parent / name]
    else:
        endings = [(path.stem.removesuffix(a) + b, a) for a, b in _ENDINGS if path.stem.endswith(a)]
        candidates = [path.with_name(name + path.suffix) for name, _ in endings]
    for candidate in candidates:
        if candidate.is_file() and candidate.resolve() != path.resolve() and is_hdf5(candidate):
            return candidate
    return None


def _take(source: Tree, found: PtychoFound, table: ScanTable) -> None:
    """Take from a file what isn't known yet."""
    if found.positions is None and table.positions is None and "positions" not in table.paths:
        found.positions = _positions(source, found.grid)
    root = source.get("/")
    attributes = root.attrs if isinstance(root, h5py.Group) else {}
    for name, key in (("energy", "probe_energy_eV"), ("distance", "detector_object_distance_m")):
        value = np.ravel(attributes.get(key, np.nan))
        if name not in found.quantities and value.size == 1 and np.isfinite(value[0]) and value[0] > 0:
            found.quantities[name] = float(value[0])
    if "energy" not in found.quantities:
        wavelength = first_length(source, ("/lambda", "/p/lambda", "/wavelength"), "m", found.notes)
        found.quantities |= {"energy": PLANCK_LIGHT / wavelength} if wavelength else {}
    if "distance" not in found.quantities:
        distance = first_length(source, ("/z", "/p/z", "/det_sample_dist_m"), "m", found.notes)
        found.quantities |= {"distance": distance} if distance else {}
    if found.pixel_size is None:
        side = first_length(source, ("/ds", "/p/ds", "/det_pixel_size_m"), "m", found.notes)
        found.pixel_size = (side, side) if side else None
    if found.object_pixel is None:
        found.object_pixel = _object_pixel(source, found)
    if found.probe is None and "probe" not in table.paths:
        dataset = source.dataset("/probe")
        if dataset is not None:
            found.probe = probe_of(source, dataset)
            found.notes.append(f"first probe, modes: {found.probe.shape[0]}, from /probe in {source.path.name}")
    if found.good is None and "mask" not in table.paths:
        for place in ("/bad_pixels", "/mask"):
            dataset = source.dataset(place)
            if dataset is not None and dataset.ndim == 2:
                found.good = flagged(source, dataset)
                found.notes.append(f"mask from {place} (0 is good)")
                break


def _positions(source: Tree, grid: tuple[int, int]) -> Positions | None:
    for names in _PAIRS:
        x, y = (source.dataset(name) for name in names)
        if x is not None and y is not None:
            return of_pair(x, y, source, grid, "m")
    return None


def _object_pixel(source: Tree, found: PtychoFound) -> tuple[float, float] | None:
    """Pixel of the object (y, x), m, from which that of the detector follows."""
    for name in ("/object", "/probe"):
        node = source.peek(name)
        if node is not None:
            sides = [np.ravel(node.attrs.get(f"pixel_{side}_m", np.nan)) for side in ("height", "width")]
            if all(side.size == 1 and np.isfinite(side[0]) and side[0] > 0 for side in sides):
                return float(sides[0][0]), float(sides[1][0])
    side = first_length(source, ("/dx", "/dx_spec", "/p/dx_spec"), "m", found.notes)
    return (side, side) if side else None
