"""What a reader of ptychography found, the recipe's ``[scan]`` table over it, and the checks that make a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError, nearest
from hpcdaas.io.apart import darks_of
from hpcdaas.io.describe_ptycho import understood
from hpcdaas.io.found import Found
from hpcdaas.io.frames import Stack
from hpcdaas.io.hdf5 import Tree, is_hdf5
from hpcdaas.io.location import locate
from hpcdaas.io.overrides import check_written, chosen_frames, quantities
from hpcdaas.io.positions import PIXEL, Positions, given_positions
from hpcdaas.io.ptycho_parts import flagged, mean_of, probe_of
from hpcdaas.scan import PLANCK_LIGHT, PtychoScan, ScanTable, oriented

#: Keys of ``scan.paths`` that ptychography knows.
PATHS = ("data", "positions", "mask", "probe", "darks", "pixel_size", "energy", "distance")
#: Pixels of the longest axis of an object; positions that ask for more are in a wrong unit.
LONGEST = 1 << 16
_GIVE = {
    "energy": '-s scan.energy="8.8 keV"',
    "distance": '-s scan.distance="2 m"',
    "pixel_size": '-s scan.pixel_size="75 um"',
}
_NONE = "none"
_Image = TypeVar("_Image", bound=NDArray[Any])


@dataclass
class PtychoFound:
    """What a format's reader found in a file of ptychography.

    Attributes
    ----------
    path : Path
        The file that was opened.
    name, format : str
        As in `hpcdaas.scan.PtychoScan`.
    files : list of Path
        Every file that holds the data, the opened one first.
    frames : Stack
        (view, row, column).
    grid : tuple of int
        The raster (rows, columns) in which the views stand; (1, views) where they don't.
    positions : Positions or None
        As stored.
    orientation, oriented : str
        What the file says of the axes of positions, and ``file`` where it says something.
    quantities : dict
        ``energy, distance`` in eV and m, where they are known.
    pixel_size, object_pixel : tuple of float or None
        (y, x) of the detector and of the object in the far field, m; one can follow from the other.
    good, dark, probe, beam_center, saturation
        As in `hpcdaas.scan.PtychoScan`.
    metadata : dict
        For `PtychoScan.metadata`.
    notes : list of str
        For `PtychoScan.understood`.
    """

    path: Path
    name: str
    format: str
    files: list[Path]
    frames: Stack
    grid: tuple[int, int]
    positions: Positions | None = None
    orientation: str = "+y+x"
    oriented: str = ""
    quantities: dict[str, float] = field(default_factory=dict)
    pixel_size: tuple[float, float] | None = None
    object_pixel: tuple[float, float] | None = None
    good: NDArray[np.bool_] | None = None
    dark: NDArray[np.float32] | None = None
    probe: NDArray[np.complex64] | None = None
    beam_center: tuple[float, float] | None = None
    saturation: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def use(self, files: Sequence[Path]) -> None:
        """Remember files as part of the scan's data."""
        self.files += [path for path in files if path not in self.files]


def finish(found: PtychoFound, table: ScanTable) -> PtychoScan:
    """Make a scan of what a file holds and what the table says.

    Parameters
    ----------
    found : PtychoFound
        From a format's reader.
    table : ScanTable
        Wins over the file.

    Raises
    ------
    InputError
        If positions, energy, distance or pixel size are missing, or things don't fit together.
    """
    for key in table.paths:
        if key not in PATHS:
            raise InputError(f"scan.paths.{key} isn't of use in ptychography.", nearest(key, PATHS))
    total = found.frames.shape[0]
    chosen = chosen_frames(table, total)
    positions = _positions(found, table)
    places = _fitting(positions, found, chosen)
    frames = found.frames.take(np.arange(chosen.start, chosen.stop))
    check_written(frames, "frames", found.path, table)
    _of_table(found, table)
    values, pixel = _geometry(found, table)
    orientation = table.position_orientation or found.orientation
    by = "user" if table.position_orientation else found.oriented
    scan = PtychoScan(
        name=found.name,
        format=found.format,
        files=tuple(path.absolute() for path in found.files),
        frames=frames,
        positions=np.ascontiguousarray(oriented(places, orientation)),
        orientation=orientation,
        oriented=by if orientation != "auto" else "",
        pixel_size=pixel,
        focus_distance=table.focus_distance,
        good=_checked("mask", found.good, frames),
        dark=_checked("dark", found.dark, frames),
        probe=_checked("probe", found.probe, frames),
        beam_center=found.beam_center,
        saturation=found.saturation,
        metadata=found.metadata,
        energy=values["energy"],
        distance=values["distance"],
    )
    if positions.unit == PIXEL:
        y, x = scan.object_pixel
        scan = replace(scan, positions=scan.positions * (y, x))
        found.notes.append(f"positions count object pixels of {y:.4g} x {x:.4g} m (y, x)")
    _check_extent(scan, positions.source)
    return replace(scan, understood=tuple(understood(scan, found, positions, total)))


def _positions(found: PtychoFound, table: ScanTable) -> Positions:
    where = table.positions or table.paths.get("positions")
    if where is not None:
        positions = given_positions(where, found.path, found.grid)
        found.use(positions.files)
        # What the file says of its own positions says nothing of others.
        found.orientation, found.oriented = "+y+x", ""
        return positions
    if found.positions is None:
        raise InputError(
            f"{found.path} holds no scan positions.",
            "Give them with -s scan.positions=FILE, FILE:PATH, or FILE:X,Y.",
        )
    return found.positions


def _fitting(positions: Positions, found: PtychoFound, chosen: slice) -> NDArray[np.float64]:
    """Positions of the chosen views."""
    values, total = positions.values, found.frames.shape[0]
    views = chosen.stop - chosen.start
    if len(values) == total:
        values = values[chosen]
    elif len(values) != views:
        fits = min(total, len(values))
        raise InputError(
            f"{len(values)} positions from {positions.source} don't fit {total} frames in {found.path}.",
            f"Give one for each frame, or use a part: -s scan.frames=0:{fits}."
            if fits < total
            else "Give one for each frame with -s scan.positions=FILE or FILE:PATH.",
        )
    if views < 2:
        raise InputError(f"{found.path} has {views} view; ptychography needs 2 or more that overlap.")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise InputError(
            f"{bad.size} of {views} positions from {positions.source} are not finite, the first is that of frame "
            f"{bad[0] + chosen.start}.",
            "Give others with -s scan.positions=FILE, or use a part: -s scan.frames=A:B.",
        )
    return values


def _of_table(found: PtychoFound, table: ScanTable) -> None:
    """Mask, probe and darks that the table names; ``none`` leaves out the file's."""
    for key in ("mask", "probe"):
        where = table.paths.get(key)
        if where == _NONE:
            setattr(found, {"mask": "good"}.get(key, key), None)
            found.notes.append(f"the file's {key} is left out")
        elif where is not None:
            place = locate(where, f"paths.{key}", found.path)
            if not is_hdf5(place.file):
                raise InputError(f"scan.paths.{key}: {place.file} is no HDF5 file.")
            with Tree(place.file) as tree:
                dataset = tree.dataset(place.path)
                if dataset is None:
                    raise InputError(f"scan.paths.{key}: {place} is no dataset.", f"Give it as FILE:PATH, or {_NONE}.")
                if key == "mask":
                    found.good = flagged(tree, dataset)
                else:
                    found.probe = probe_of(tree, dataset)
                tree.use(place.file)
                found.use(tree.files if place.file != found.path else tree.files[1:])
            found.notes.append(f"{key} from {place}" + (" (0 is good)" if key == "mask" else ""))
    if table.darks is not None or "darks" in table.paths:
        like = Found(found.path, found.name, found.format, found.files, found.frames)
        darks = darks_of(like, table, np.zeros(found.frames.shape[0], np.int64))
        found.dark = mean_of(darks) if darks is not None and darks.shape[0] > 1 else _one(darks)


def _one(darks: Stack | None) -> NDArray[np.float32] | None:
    return darks.read(slice(None), slice(None))[0].astype(np.float32) if darks is not None else None


def _geometry(found: PtychoFound, table: ScanTable) -> tuple[dict[str, float], tuple[float, float]]:
    """Energy and distance, and the detector's pixel (y, x)."""
    values = quantities(found.quantities, table, found.path)
    side = values.pop("pixel_size", None)
    pixel = (side, side) if side is not None else found.pixel_size
    if found.object_pixel is not None and table.focus_distance is None and "energy" in values:
        rows, columns = found.frames.shape[1:]
        y, x = found.object_pixel
        wavelength = PLANCK_LIGHT / values["energy"]
        if pixel is None and "distance" in values:
            far = wavelength * values["distance"]
            pixel = (far / (rows * y), far / (columns * x))
            found.notes.append(f"the detector's pixel follows from the object's, {y:.4g} x {x:.4g} m (y, x)")
        elif pixel is not None and "distance" not in values:
            values["distance"] = rows * pixel[0] * y / wavelength
            found.notes.append(f"the distance follows from the object's pixel, {y:.4g} x {x:.4g} m (y, x)")
    missing = [name for name in ("energy", "distance") if name not in values]
    missing += ["pixel_size"] if pixel is None else []
    if missing or pixel is None:
        words = [name.replace("_", " ") for name in missing]
        listed = ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
        skipped = next((f": {note}" for note in found.notes if "not used" in note), "")
        raise InputError(
            f"{found.path} gives no {listed}, which the pixel of the object needs{skipped}.",
            f"Give {'them' if len(words) > 1 else 'it'} with " + " ".join(_GIVE[name] for name in missing) + ".",
        )
    if table.focus_distance is not None and table.focus_distance in (0, -values["distance"]):
        raise InputError(
            f"scan.focus_distance = {table.focus_distance:g} m: sample and detector are never in the focus "
            "where frames are of the near field.",
            "Give the distance from the focus to the sample, or leave it out in the far field.",
        )
    return values, pixel


def _checked(what: str, image: _Image | None, frames: Stack) -> _Image | None:
    """Give an image of the frames' shape; refuse any other."""
    if image is None:
        return None
    if image.shape[-2:] != frames.shape[1:]:
        shape = " x ".join(map(str, image.shape[-2:]))
        raise InputError(
            f"The {what} has {shape} pixels, the frames {frames.shape[1]} x {frames.shape[2]} (rows x columns).",
            f"Give another with -s scan.paths.{what}=FILE:PATH, or leave it out: -s scan.paths.{what}={_NONE}."
            if what != "dark"
            else "Give others with -s scan.darks=FILE:PATH, or one value.",
        )
    if what == "mask" and not image.any():
        raise InputError(
            "The mask leaves no pixel of the detector.", "0 is good; another: -s scan.paths.mask=FILE:PATH."
        )
    return image


def _check_extent(scan: PtychoScan, source: str) -> None:
    """Refuse positions that no object could hold."""
    span = np.ptp(scan.positions, axis=0)
    pixels = span / scan.object_pixel + scan.shape[1:]
    if (pixels > LONGEST).any():
        y, x = span
        raise InputError(
            f"Positions from {source} span {y:.3g} x {x:.3g} m (y, x): an object of {pixels[0]:.3g} x {pixels[1]:.3g} "
            f"pixels of {scan.object_pixel[0]:.3g} m, more than {LONGEST} along an axis.",
            "Check their unit (-s scan.positions='FILE um'), and energy, distance, pixel size.",
        )
