"""CXI, the format of the Coherent X-ray Imaging Data Bank (Maia, Nat. Methods 9, 854 (2012)).

NeXus's definitions NXcxi_ptycho and NXptycho have the same names with classes; what they add is read, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Stack
from hpcdaas.io.hdf5 import DanglingError, Tree, quantity, text, units
from hpcdaas.io.hdf5_frames import stack_of
from hpcdaas.io.positions import Positions, of_dataset, of_pair, pair_of
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.io.ptycho_parts import first_energy, first_length, flagged, mean_of, plain, probe_of, texts
from hpcdaas.io.raster import views_of
from hpcdaas.io.units import factor
from hpcdaas.scan import ScanTable

LOOKED_FOR = "CXI (/entry_1/data_1/data)"
DEFINITIONS = ("NXcxi_ptycho", "NXptycho")
#: Bits of a mask that tell of no defect: found as a peak, corrected, peak for a hit finder, background corrected.
HARMLESS = 0x20 | 0x800 | 0x2000 | 0x4000
_ENTRY = re.compile(r"/entry_\d+$")


@dataclass(frozen=True)
class Groups:
    """Where a file has its groups; "" for one that it lacks."""

    entry: str
    detector: str
    data: str
    beams: tuple[str, ...]
    sample: str

    @classmethod
    def of_cxi(cls, entry: str) -> Groups:
        """Give the groups of a CXI entry, which have fixed names."""
        beams = (f"{entry}/instrument_1/beam_1", f"{entry}/beam_1", f"{entry}/instrument_1/source_1")
        return cls(entry, f"{entry}/instrument_1/detector_1", f"{entry}/data_1", beams, f"{entry}/sample_1")


def knows(tree: Tree) -> bool:
    """Say whether a file calls itself CXI, or has frames where CXI has them."""
    return "/cxi_version" in tree.nodes or any(
        f"{entry}/{place}" in tree.nodes
        for entry in _entries(tree)
        for place in ("data_1/data", "instrument_1/detector_1/data")
    )


def find(tree: Tree, table: ScanTable) -> PtychoFound:
    """Read a CXI file.

    Parameters
    ----------
    tree : Tree
        The open file.
    table : ScanTable
        Its ``paths.data`` wins.

    Raises
    ------
    InputError
        If there are no frames, a link dangles, or a field has a shape that can't be.
    """
    entries = [entry for entry in _entries(tree) if _data(tree, Groups.of_cxi(entry)) is not None]
    groups = Groups.of_cxi(entries[0] if entries else "/entry_1")
    found = read(tree, table, groups, "cxi")
    if text(tree.peek(f"{groups.entry}/definition")) in DEFINITIONS:
        found.format = "nxptycho"
    if len(entries) > 1:
        found.notes.append(f"{len(entries)} entries with frames: {groups.entry} is used")
    return found


def read(tree: Tree, table: ScanTable, groups: Groups, name: str) -> PtychoFound:
    """Read a file whose groups are known; see `find`."""
    path = table.paths.get("data")
    data = tree.dataset(path) if path else _data(tree, groups)
    if data is None:
        where = path or f"{groups.data}/data and {groups.detector}/data"
        raise InputError(f"{tree.path} has no frames at {where}.", "Say where: -s scan.paths.data=/path.")
    stack, grid = views_of(tree, data)
    found = PtychoFound(tree.path, tree.path.stem, name, tree.files, stack, grid)
    if table.positions is None and "positions" not in table.paths:
        found.positions = _positions(tree, groups, grid)
    _geometry(tree, found, groups)
    _images(tree, found, groups, table)
    fields = {
        "title": ("title", "experiment_identifier"),
        "sample": ("sample_1/name", "sample/name", "sample_1/sample_name"),
        "proposal": ("experiment_identifier", "proposal", "experiment_id"),
        "instrument": ("instrument_1/name", "instrument/name"),
        "start_time": ("start_time",),
        "end_time": ("end_time",),
        "owner": ("user_1/name", "user/name", "user_1/experimenter"),
    }
    places = {key: [f"{groups.entry}/{place}" for place in where] for key, where in fields.items()}
    found.metadata |= texts(tree, {key: list(where) for key, where in places.items()})
    return found


def _entries(tree: Tree) -> list[str]:
    return [path for path in tree.nodes if _ENTRY.match(path)]


def _data(tree: Tree, groups: Groups) -> h5py.Dataset | None:
    """Frames of an entry: a dangling link is an error only where no other place has them."""
    broken: DanglingError | None = None
    best: h5py.Dataset | None = None
    for place in (f"{groups.detector}/data", f"{groups.data}/data"):
        try:
            data = tree.dataset(place)
        except DanglingError as error:
            broken = broken or error
            continue
        # Of a raster and the same frames in one row, the raster knows more.
        if data is not None and (best is None or data.ndim > best.ndim):
            best = data
    if best is None and broken is not None:
        raise broken
    return best


def _positions(tree: Tree, groups: Groups, grid: tuple[int, int]) -> Positions | None:
    frames = grid[0] * grid[1]
    places = [f"{groups.sample}/geometry_1/translation", f"{groups.data}/translation", f"{groups.detector}/translation"]
    broken: DanglingError | None = None
    read = []
    for place in places:
        try:
            dataset = tree.dataset(place)
        except DanglingError as error:
            broken = broken or error
            continue
        if dataset is not None and dataset.ndim > 1:  # one vector is where the detector stands
            read.append(of_dataset(dataset, tree.values(dataset), default="m"))
    if read:
        return next((positions for positions in read if len(positions.values) == frames), read[0])
    for group in (f"{groups.sample}/transformations", groups.data, f"{groups.sample}/geometry_1", groups.sample):
        pair = _axes(tree, group, grid)
        if pair is not None:
            return of_pair(*pair, tree, grid)
    if broken is not None:
        raise broken
    return None


def _axes(tree: Tree, group: str, grid: tuple[int, int]) -> tuple[h5py.Dataset, h5py.Dataset] | None:
    """Give the datasets of x and of y in a group, of a value for each frame or each line of the raster."""
    node = tree.peek(group) if group else None
    sizes = {grid[0] * grid[1], *(grid if grid[0] > 1 else ())}
    found = {}
    for name in node if isinstance(node, h5py.Group) else ():
        child = tree.peek(f"{group}/{name}")
        if isinstance(child, h5py.Dataset) and child.dtype.kind in "iuf" and child.size in sizes and child.size > 1:
            found[name] = child
    pair = pair_of(list(found))
    return (list(found.values())[pair[0]], list(found.values())[pair[1]]) if pair is not None else None


def _geometry(tree: Tree, found: PtychoFound, groups: Groups) -> None:
    """Energy, distance, pixel, beam centre and orientation."""
    detector = groups.detector
    corner, basis = _vectors(tree, detector)
    energy = first_energy(
        tree,
        (
            *(f"{beam}/{name}" for beam in groups.beams for name in ("incident_beam_energy", "incident_energy")),
            *(f"{beam}/energy" for beam in groups.beams),
            *(f"{beam}/{name}" for beam in groups.beams for name in ("wavelength", "incident_wavelength")),
        ),
        found.notes,
    )
    distance = first_length(tree, [f"{detector}/distance"], "m", found.notes)
    if distance is None and corner is not None and corner[2] != 0:
        distance = float(abs(corner[2]))
        found.notes.append("distance from corner_position")
    found.quantities |= {name: value for name, value in (("energy", energy), ("distance", distance)) if value}
    sides = [first_length(tree, [f"{detector}/{axis}_pixel_size"], "m", found.notes) for axis in "yx"]
    if None in sides and basis is not None:
        sides = [float(length) for length in np.linalg.norm(basis, axis=1)]
        found.notes.append("pixel size from basis_vectors")
    if sides[0] is not None and sides[1] is not None:
        found.pixel_size = (sides[0], sides[1])
    if basis is not None:
        _orient(found, basis)
    found.beam_center = _beam_center(tree, found, detector, corner, basis)
    node = tree.peek(f"{detector}/saturation_value")
    if isinstance(node, h5py.Dataset):
        found.saturation, _ = plain(node)


def _vectors(tree: Tree, detector: str) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Corner of the detector (x, y, z), and the vectors from row to row and from column to column (2, 3)."""
    corner = basis = None
    node = tree.peek(f"{detector}/corner_position")
    if isinstance(node, h5py.Dataset) and node.size == 3 and node.dtype.kind in "iuf":
        corner = np.asarray(node[()], np.float64).ravel()
    node = tree.peek(f"{detector}/basis_vectors")
    if isinstance(node, h5py.Dataset) and node.size == 6 and node.dtype.kind in "iuf":
        values = np.asarray(node[()], np.float64).reshape(node.shape[-2:])
        basis = values if values.shape == (2, 3) else values.T  # files have both
        if basis.shape != (2, 3) or not np.isfinite(basis).all() or (np.linalg.norm(basis, axis=1) == 0).any():
            basis = None
    return corner if corner is not None and np.isfinite(corner).all() else None, basis


def _orient(found: PtychoFound, basis: NDArray[np.float64]) -> None:
    """Take the axes of positions from those of the detector, where they are the same axes.

    The translation is that of the sample, and so the beam moves over it the other way.
    """
    words = []
    for vector in basis:
        main = int(np.argmax(np.abs(vector[:2])))
        if abs(vector[main]) < 0.9 * np.linalg.norm(vector):
            return
        words.append(("-" if vector[main] > 0 else "+") + "xy"[main])
    if words[0][1] != words[1][1]:
        found.orientation, found.oriented = "".join(words), "file"
        found.notes.append("the detector's basis_vectors give the axes of positions, taken as the sample's motion")


def _beam_center(
    tree: Tree,
    found: PtychoFound,
    detector: str,
    corner: NDArray[np.float64] | None,
    basis: NDArray[np.float64] | None,
) -> tuple[float, float] | None:
    """Row and column of the direct beam, where the file gives a place on the detector."""
    place: list[float] = []
    for axis, side in zip("yx", found.pixel_size or (None, None), strict=True):
        node = tree.peek(f"{detector}/beam_center_{axis}")
        if not isinstance(node, h5py.Dataset):
            break
        value, _ = plain(node) if not _is_length(node) else quantity(node, "m")
        if value is None or (_is_length(node) and side is None):
            break
        place.append(value / side if _is_length(node) and side else value)
    if len(place) < 2 and corner is not None and basis is not None:
        solved = np.linalg.lstsq(basis[:, :2].T, -corner[:2], rcond=None)[0] - 0.5
        place = [float(value) for value in solved]
    rows, columns = found.frames.shape[1:]
    if len(place) == 2 and 0 <= place[0] <= rows - 1 and 0 <= place[1] <= columns - 1:
        return place[0], place[1]
    return None


def _is_length(node: h5py.Dataset) -> bool:
    return bool(units(node)) and factor(units(node), "m") is not None


def _images(tree: Tree, found: PtychoFound, groups: Groups, table: ScanTable) -> None:
    """Mask, dark and first probe."""
    if "mask" not in table.paths:
        for name in ("mask", "qe_mask", "pixel_mask"):
            dataset = tree.dataset(f"{groups.detector}/{name}")
            if dataset is not None and dataset.size > 1:
                good = flagged(tree, dataset, HARMLESS)
                if found.good is not None and good.shape != found.good.shape:
                    raise InputError(f"{dataset.name} in {tree.path} is {good.shape}, another mask {found.good.shape}.")
                found.good = good if found.good is None else found.good & good
    if table.darks is None and "darks" not in table.paths:
        dataset = tree.dataset(f"{groups.detector}/data_dark")
        if dataset is not None and dataset.size > 1:
            stack: Stack = stack_of(tree, dataset)
            found.dark = mean_of(stack)
            found.notes.append(f"dark: the mean of {stack.shape[0]} frames of data_dark")
    if "probe" not in table.paths:
        for beam in (*groups.beams[::-1], f"{groups.entry}/instrument_1"):
            dataset = tree.dataset(f"{beam}/illumination")
            if dataset is not None and found.probe is None:
                found.probe = probe_of(tree, dataset)
                found.notes.append(f"first probe, modes: {found.probe.shape[0]}, from {beam}/illumination")
