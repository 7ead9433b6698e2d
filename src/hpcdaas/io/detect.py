"""What a path holds: each format is asked whether it knows it."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Protocol

from hpcdaas.errors import InputError
from hpcdaas.io import aps, csaxs, cxi, dxchange, nxptycho, nxtomo, ptychoshelves, ptyd, tiff
from hpcdaas.io.found import Found
from hpcdaas.io.hdf5 import Tree, is_hdf5, text
from hpcdaas.io.overrides import check_paths, finish
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.io.ptycho import finish as finish_ptycho
from hpcdaas.scan import PtychoScan, Scan, ScanTable


class Hdf5Format(Protocol):
    """What a file of an HDF5 format gives."""

    LOOKED_FOR: str

    def knows(self, tree: Tree) -> bool:
        """Say whether the file is of this format."""

    def find(self, tree: Tree, table: ScanTable) -> Found:
        """Read it."""


class PtychoFormat(Protocol):
    """What a file of an HDF5 format of ptychography gives."""

    LOOKED_FOR: str

    def knows(self, tree: Tree) -> bool:
        """Say whether the file is of this format."""

    def find(self, tree: Tree, table: ScanTable) -> PtychoFound:
        """Read it."""


HDF5_FORMATS: tuple[Hdf5Format, ...] = (dxchange, nxtomo)
#: Places of the results of ptychography in other programs' files.
RESULTS = ("/content/obj", "/reconstruction/p/objects", "/probe_position_x_m")
PTYCHO_FORMATS: tuple[PtychoFormat, ...] = (cxi, nxptycho, ptyd, ptychoshelves, aps)


def open_scan(path: Path, table: ScanTable | None = None) -> Scan | PtychoScan:
    """Open a scan; only its geometry is read.

    Parameters
    ----------
    path : Path
        A file of a known format, or a folder with a TIFF series.
    table : ScanTable, optional
        The recipe's ``[scan]`` table: what the file lacks; wins over the file. ``rows`` is left to the caller.
        Positions in it make any stack of images a scan of ptychography.

    Returns
    -------
    Scan or PtychoScan
        Lazy: frames are read when they are asked for.

    Raises
    ------
    InputError
        If there is no scan, or something is missing or doesn't fit.
    """
    path = Path(path)
    table = table or ScanTable.model_validate({})
    check_paths(table)
    _check_readable(path)
    try:
        found = find(path, table)
        return finish_ptycho(found, table) if isinstance(found, PtychoFound) else finish(found, table)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}.") from error


def technique_of(path: Path, table: ScanTable | None = None) -> str:
    """Say what kind of scan a path holds, ``tomography`` or ``ptychography``; raises as `open_scan`."""
    return open_scan(path, table).technique


def find(path: Path, table: ScanTable) -> Found | PtychoFound:
    """Give what a file holds, before the recipe's table completes it; raises as `open_scan`."""
    if path.is_dir() or not is_hdf5(path):
        if tiff.knows(path):
            return tiff.find(path, table)
        raise _unknown(path)
    placed = table.positions is not None or "positions" in table.paths
    with Tree(path) as tree:
        for known in PTYCHO_FORMATS:
            if known.knows(tree):
                return known.find(tree, table)
        for reader in HDF5_FORMATS:
            if reader.knows(tree) and not placed:
                return reader.find(tree, table)
        if "data" in table.paths and not placed:
            found = nxtomo.find(tree, table)
            found.format = "hdf5"
            return found
        if csaxs.knows(tree):
            return csaxs.find(tree, table)
        if placed:
            return nxptycho.find_named(tree, table)
        raise _no_layout(tree)


def _check_readable(path: Path) -> None:
    if not path.exists():
        folder = path.parent
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        close = difflib.get_close_matches(path.name, names, n=1)
        raise InputError(f"There is no file {path}.", f"Did you mean '{folder / close[0]}'?" if close else "")
    if path.is_dir():
        return
    if not path.is_file():
        raise InputError(f"{path} is no file.")
    try:
        with path.open("rb"):
            pass
    except PermissionError as error:
        raise InputError(f"{path} may not be read by you.", "Ask its owner for the permission.") from error
    if not path.stat().st_size:
        raise InputError(f"{path} is empty: 0 bytes.", "Copy it again, or wait until it is written.")


def _unknown(path: Path) -> InputError:
    if path.is_dir():
        inside = sorted(entry.name for entry in path.iterdir() if entry.suffix in (".h5", ".hdf5", ".nxs", ".tif"))
        hint = f"Give a file, for example {path / inside[0]}." if inside else "Give a file."
        return InputError(f"{path} is a folder without a scan: it holds no TIFF series.", hint)
    with path.open("rb") as stream:
        start = stream.read(4096)
    kind = "is a text file" if b"\0" not in start and _decodes(start) else "is neither HDF5 nor TIFF"
    return InputError(f"{path} {kind}, no scan.", "Scans are HDF5 (NXtomo, Data Exchange, CXI ...) or TIFF files.")


def _decodes(start: bytes) -> bool:
    try:
        start[:-3].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _no_layout(tree: Tree) -> InputError:
    for path, node in tree.nodes.items():
        if path.endswith("/definition") and text(node) == "NXtomoproc":
            return InputError(f"{tree.path} holds a reconstruction, no scan.", "Give the raw file behind it.")
    if any(place in tree.nodes for place in RESULTS):
        return InputError(f"{tree.path} holds a reconstruction, no scan.", "Give the file of frames behind it.")
    known = [*(reader.LOOKED_FOR for reader in HDF5_FORMATS), *(reader.LOOKED_FOR for reader in PTYCHO_FORMATS)]
    looked = f"{', '.join(known)} and {csaxs.LOOKED_FOR}"
    images = nxtomo.images(tree)
    if not images:
        return InputError(f"{tree.path} holds no stack of images. Looked for {looked}.")
    place, data = max(images, key=lambda found: found[1].size)
    return InputError(
        f"{tree.path} has no known layout. Looked for {looked}.",
        f"If the projections are {place} {data.shape}: -s scan.paths.data={place} (ptychography: and scan.positions)",
    )
