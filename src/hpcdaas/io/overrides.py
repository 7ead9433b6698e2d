"""The recipe's ``[scan]`` table over what a file says, and the checks that make a scan of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError, nearest
from hpcdaas.io.apart import darks_of, flats_of
from hpcdaas.io.found import DARK, FLAT, PROJECTION, Found
from hpcdaas.io.frames import Stack
from hpcdaas.io.hdf5 import Tree, quantity
from hpcdaas.io.location import locate, read_angles
from hpcdaas.scan import FlatGroup, Scan, ScanTable, parse_slice

PATHS = ("data", "angles", "image_key", "flats", "darks", "pixel_size", "energy", "distance")
#: Keys that only ptychography knows.
PTYCHO_PATHS = ("positions", "mask", "probe")
ANGLE_HINT = 'Give them with -s scan.angle_range="[0, 180]" (first and last) or -s scan.angles=FILE.'
UNITS = {"pixel_size": "m", "energy": "eV", "distance": "m"}


def check_paths(table: ScanTable) -> None:
    """Refuse unknown keys of ``scan.paths``.

    Raises
    ------
    InputError
        With the nearest known key.
    """
    for key in table.paths:
        if key not in (*PATHS, *PTYCHO_PATHS):
            raise InputError(f"scan.paths has no key '{key}'.", nearest(key, (*PATHS, *PTYCHO_PATHS)))


def finish(found: Found, table: ScanTable) -> Scan:
    """Make a scan of what a file holds and what the table says.

    Parameters
    ----------
    found : Found
        From a format's reader.
    table : ScanTable
        Wins over the file.

    Raises
    ------
    InputError
        If projections or angles are missing, or things don't fit together.
    """
    keys = found.keys if found.keys is not None else np.zeros(found.frames.shape[0], np.int64)
    index = np.flatnonzero(keys == PROJECTION)
    if not index.size:
        raise InputError(f"{found.path} holds no projections: {_counts(keys)}.")
    angles, source = _angles(found, table, keys)
    chosen = chosen_frames(table, len(index))
    projections = found.frames.take(index[chosen])
    angles = angles[chosen]
    _check_angles(angles, found.path)
    check_written(projections, "projections", found.path, table)
    flats = [(stack, when - chosen.start) for stack, when in flats_of(found, table, keys)]
    darks = darks_of(found, table, keys)
    for what, stacks in (("flats", [stack for stack, _ in flats]), ("darks", [darks] if darks else [])):
        for stack in stacks:
            _check_frame(stack, projections, what)
            check_written(stack, what, found.path, table)
    values = quantities(found.quantities, table, found.path)
    center = _center(found, table, projections.shape[2])
    shape = projections.shape
    lines = [
        f"{found.format}: {shape[0]} projections of {shape[1]} rows x {shape[2]} columns, {projections.dtype}",
        f"angles {angles[0]:g} to {angles[-1]:g} degrees, from {source}",
        *([f"frames {chosen.start}:{chosen.stop} of {len(index)} projections"] if len(angles) != len(index) else []),
        *[f"{stack.shape[0]} flats before projection {when:g}" for stack, when in flats],
        *([f"{darks.shape[0]} darks"] if darks else []),
        *found.notes,
    ]
    return Scan(
        name=found.name,
        format=found.format,
        files=tuple(path.absolute() for path in found.files),
        projections=projections,
        angles=angles,
        flats=tuple(FlatGroup(stack, when) for stack, when in sorted(flats, key=lambda group: group[1])),
        darks=darks,
        pixel_size=values.get("pixel_size"),
        energy=values.get("energy"),
        distance=values.get("distance"),
        center=center,
        metadata=found.metadata,
        understood=tuple(lines),
    )


def _counts(keys: NDArray[np.integer]) -> str:
    flats, darks = int((keys == FLAT).sum()), int((keys == DARK).sum())
    return f"{len(keys)} frames, of them {flats} flats, {darks} darks, {len(keys) - flats - darks} invalid"


def chosen_frames(table: ScanTable, projections: int) -> slice:
    """Give the part of all projections or views that ``scan.frames`` asks for.

    Raises
    ------
    InputError
        If it is empty or outside.
    """
    try:
        return parse_slice(table.frames, projections)
    except InputError as error:
        raise InputError(f"scan.frames: {error.message[0].lower()}{error.message[1:]}") from error


def _angles(found: Found, table: ScanTable, keys: NDArray[np.integer]) -> tuple[NDArray[np.float64], str]:
    """One angle per projection, before ``scan.frames``, and where they come from."""
    index = np.flatnonzero(keys == PROJECTION)
    where = table.angles if isinstance(table.angles, str) else table.paths.get("angles")
    if table.angles is not None and not isinstance(table.angles, str):
        angles, source = np.array(table.angles, np.float64), "scan.angles"
    elif table.angle_range is not None:
        return np.linspace(*table.angle_range, len(index)), "scan.angle_range"
    elif where is not None:
        place = locate(where, "angles", found.path)
        angles, files = read_angles(place)
        found.use(files)
        source = str(place)
    elif found.angles is not None:
        angles, source = found.angles, "the file"
    else:
        raise InputError(f"{found.path} holds no rotation angles.", ANGLE_HINT)
    if len(angles) == len(keys):
        return angles[index], source
    if len(angles) == len(index):
        return angles, source
    chosen = chosen_frames(table, len(index))
    if table.frames is not None and len(angles) == chosen.stop - chosen.start:
        whole = np.full(len(index), np.nan)
        whole[chosen] = angles
        return whole, source
    among = f" among {len(keys)} frames" if len(keys) != len(index) else ""
    raise InputError(
        f"{len(angles)} angles from {source} don't fit {len(index)} projections{among} in {found.path}.", ANGLE_HINT
    )


def _check_angles(angles: NDArray[np.float64], path: Path) -> None:
    bad = np.flatnonzero(~np.isfinite(angles))
    if bad.size:
        raise InputError(
            f"{bad.size} of {len(angles)} angles of {path} are not finite, the first is that of projection {bad[0]}.",
            ANGLE_HINT,
        )
    if len(angles) > 1 and np.ptp(angles) == 0:
        raise InputError(f"All {len(angles)} angles of {path} are {angles[0]:g} degrees.", ANGLE_HINT)


def check_written(stack: Stack, what: str, path: Path, table: ScanTable) -> None:
    """Refuse frames that were never written.

    Raises
    ------
    InputError
        With the first of them, and the part that is whole if the scan stopped there.
    """
    gone = stack.unwritten()
    if not gone.size:
        return
    first = int(gone[0])
    offset = parse_slice(table.frames, 1 << 60).start if table.frames else 0
    rest = first > 0 and gone[-1] == stack.shape[0] - 1 and len(gone) == stack.shape[0] - first
    stopped = what in ("projections", "frames") and rest
    raise InputError(
        f"{len(gone)} of {stack.shape[0]} {what} of {path} were never written, the first is number {first + offset}.",
        f"If the scan was stopped there, use what is whole: -s scan.frames={offset}:{first + offset}"
        if stopped
        else "They would read as zeros. Copy the files again, or wait until they are written.",
    )


def _check_frame(stack: Stack, projections: Stack, what: str) -> None:
    if stack.shape[1:] != projections.shape[1:]:
        raise InputError(
            f"The {what} have {stack.shape[1]} x {stack.shape[2]} pixels, "
            f"the projections {projections.shape[1]} x {projections.shape[2]} (rows x columns)."
        )


def quantities(known: dict[str, float], table: ScanTable, path: Path) -> dict[str, float]:
    """Give pixel size, energy and distance, m and eV, of the file and of the table, which wins.

    Raises
    ------
    InputError
        If what the table points to is no such quantity.
    """
    values = {name: known[name] for name in UNITS if name in known}
    for name, unit in UNITS.items():
        given = getattr(table, name)
        if given is not None:
            values[name] = given
        elif name in table.paths:
            place = locate(table.paths[name], f"paths.{name}", path)
            with Tree(place.file) as tree:
                dataset = tree.dataset(place.path)
                if dataset is None:
                    raise InputError(f"scan.paths.{name}: {place} is no dataset.")
                value, note = quantity(dataset, unit)
            if value is None:
                raise InputError(f"scan.paths.{name}: {note}.", f'Give it with its unit: -s scan.{name}="1 {unit}".')
            values[name] = value
    return values


def _center(found: Found, table: ScanTable, columns: int) -> float | None:
    center = table.center if table.center is not None else found.quantities.get("center")
    if center is not None and not 0 <= center <= columns - 1:
        source = "scan.center" if table.center is not None else "The file's rotation centre"
        raise InputError(
            f"{source} = {center:g} is off the detector, whose columns are 0 to {columns - 1}.",
            "Give the column of the rotation axis with --center, or leave it out to have it found.",
        )
    return center
