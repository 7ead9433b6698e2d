"""Masters of Eiger detectors, of cSAXS and as the detector writes them; positions stand in a file of their own."""

from __future__ import annotations

import re

import h5py

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Joined, Stack
from hpcdaas.io.hdf5 import Tree, quantity
from hpcdaas.io.hdf5_frames import stack_of
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.io.ptycho_parts import first_energy, first_length, flagged, plain, texts
from hpcdaas.io.raster import views_of
from hpcdaas.scan import ScanTable

LOOKED_FOR = "Eiger masters (/entry/data/data_000001, /entry/instrument/eiger_1)"
_PARTS = re.compile(r"/entry/data/data_\d{6}$")
_EIGER = re.compile(r"/entry/instrument/eiger_\d+$")


def knows(tree: Tree) -> bool:
    """Say whether a file has an Eiger's groups, or links to its files of frames."""
    return any(_PARTS.match(path) or _EIGER.match(path) for path in tree.nodes)


def find(tree: Tree, table: ScanTable) -> PtychoFound:
    """Read an Eiger's master.

    Parameters
    ----------
    tree : Tree
        The open file.
    table : ScanTable
        Its ``paths.data`` wins; its ``positions`` are needed.

    Raises
    ------
    InputError
        If there are no frames, or a link dangles.
    """
    detectors = [path for path in tree.nodes if _EIGER.match(path)] + ["/entry/instrument/detector"]
    stack, grid, where = _frames(tree, table, detectors)
    found = PtychoFound(tree.path, tree.path.stem.removesuffix("_master"), "csaxs", tree.files, stack, grid)
    found.notes.append(f"frames at {where}")
    beamline = "/entry/instrument/monochromator"
    energy = _with_unit(tree, [f"{beamline}/energy"], "eV", "keV", found)
    energy = energy or first_energy(
        tree,
        ("/entry/instrument/beam/incident_energy", "/entry/instrument/beam/incident_wavelength"),
        found.notes,
    )
    distance = _with_unit(tree, [f"{beamline}/distance"], "m", "mm", found)
    names = [f"{detector}/{name}" for detector in detectors for name in ("detector_distance", "distance")]
    distance = distance or first_length(tree, names, "m", found.notes)
    found.quantities |= {name: value for name, value in (("energy", energy), ("distance", distance)) if value}
    sides = [
        _with_unit(tree, [f"{path}/{axis}_pixel_size" for path in detectors[:-1]], "m", "um", found)
        or first_length(tree, [f"{detectors[-1]}/{axis}_pixel_size"], "m", found.notes)
        for axis in "yx"
    ]
    if sides[0] is not None and sides[1] is not None:
        found.pixel_size = (sides[0], sides[1])
    if "mask" not in table.paths:
        masks = [f"{path}/{name}" for path in detectors for name in ("detectorSpecific/pixel_mask", "pixel_mask")]
        for place in ("/entry/collection/mask", *masks):
            dataset = tree.dataset(place)
            if dataset is not None and found.good is None:
                found.good = flagged(tree, dataset)
                found.notes.append(f"mask from {place} (0 is good)")
    _beam(tree, found, detectors)
    found.metadata |= texts(
        tree,
        {"title": ("/entry/title",), "sample": ("/entry/sample/name",), "start_time": ("/entry/start_time",)},
    )
    return found


def _frames(tree: Tree, table: ScanTable, detectors: list[str]) -> tuple[Stack, tuple[int, int], str]:
    places = [table.paths["data"]] if "data" in table.paths else ["/entry/data/data"]
    places += [f"{path}/data" for path in detectors] if "data" not in table.paths else []
    for place in places:
        data = tree.dataset(place)
        if data is not None:
            return (*views_of(tree, data), place)
    parts = sorted(path for path in tree.nodes if _PARTS.match(path))
    if "data" in table.paths or not parts:
        raise InputError(f"{tree.path} has no frames at {places[0]}.", "Say where: -s scan.paths.data=/path.")
    stacks = []
    for part in parts:
        data = tree.dataset(part)
        if data is not None and data.size:
            stacks.append(stack_of(tree, data))
    if not stacks:
        raise InputError(f"{tree.path} holds no frames.")
    stack = Joined(stacks) if len(stacks) > 1 else stacks[0]
    return stack, (1, stack.shape[0]), f"{parts[0]} and {len(parts) - 1} more"


def _with_unit(tree: Tree, places: list[str], si: str, default: str, found: PtychoFound) -> float | None:
    """Read what the beamline writes in a unit of its own where it names none."""
    for node in map(tree.peek, places):
        if isinstance(node, h5py.Dataset):
            value, note = quantity(node, si, default)
            if value is not None:
                return value
            found.notes.append(note)
    return None


def _beam(tree: Tree, found: PtychoFound, detectors: list[str]) -> None:
    """Beam centre and the count from which the detector can't be trusted."""
    rows, columns = found.frames.shape[1:]
    for path in detectors:
        nodes = [tree.peek(f"{path}/beam_center_{axis}") for axis in "yx"]
        if found.beam_center is None and all(isinstance(node, h5py.Dataset) for node in nodes):
            y, x = (plain(node)[0] for node in nodes if isinstance(node, h5py.Dataset))
            if y is not None and x is not None and y <= rows - 1 and x <= columns - 1:
                found.beam_center = (y, x)
        for name in ("saturation_value", "detectorSpecific/countrate_correction_count_cutoff"):
            node = tree.peek(f"{path}/{name}")
            if found.saturation is None and isinstance(node, h5py.Dataset):
                found.saturation, _ = plain(node)
