"""A scan of ptychography in words and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcdaas.io.frames import Stack
from hpcdaas.ptycho.geometry import make_geometry
from hpcdaas.scan import PtychoScan

if TYPE_CHECKING:
    from hpcdaas.io.positions import Positions
    from hpcdaas.io.ptycho import PtychoFound

_OPTIONS = {
    "good": ("mask", "bad pixels; all are taken as good", "-s scan.paths.mask=FILE:PATH (0 is good)"),
    "probe": ("probe", "a start; without it one is made from the frames", "-s scan.paths.probe=FILE:PATH"),
}


def describe_ptycho(scan: PtychoScan) -> dict[str, Any]:
    """Say what was understood of a scan of ptychography and what is missing.

    Parameters
    ----------
    scan : PtychoScan
        An opened scan.

    Returns
    -------
    dict
        JSON-able: ``name, format, technique, files, shape, dtype, bytes, positions, object_pixel, pixel_size,
        energy, distance, focus_distance, magnification, orientation, oriented, mask, probe_modes, dark, beam_center,
        saturation, metadata, storage, output, understood`` and ``missing`` as of
        `hpcdaas.io.describe.describe`. Pairs are (y, x); lengths in m, energies in eV, sizes in bytes.
    """
    views, rows, columns = scan.shape
    span = np.ptp(scan.positions, axis=0)
    pixel = scan.object_pixel
    shape = object_shape(scan)
    modes = scan.probe.shape[0] if scan.probe is not None else 0
    storage: dict[str, Any] = {"whole_frames": scan.frames.whole_frames}
    if isinstance(scan.frames, Stack):
        kept = scan.frames.storage
        storage |= {"kind": kept.kind, "chunk": list(kept.chunk) if kept.chunk else None, "filters": list(kept.filters)}
    return {
        "name": scan.name,
        "format": scan.format,
        "technique": scan.technique,
        "files": [str(path) for path in scan.files],
        "shape": [views, rows, columns],
        "dtype": str(scan.frames.dtype),
        "bytes": views * rows * columns * scan.frames.dtype.itemsize,
        "positions": {
            "count": views,
            "span": [float(length) for length in span],
            "span_pixels": [float(length) for length in span / pixel],
            "unit": "m",
        },
        "object_pixel": list(pixel),
        "pixel_size": list(scan.pixel_size),
        "energy": scan.energy,
        "distance": scan.distance,
        "focus_distance": scan.focus_distance,
        "magnification": scan.magnification,
        "orientation": scan.orientation,
        "oriented": scan.oriented,
        "mask": {"bad_pixels": int((~scan.good).sum())} if scan.good is not None else None,
        "probe_modes": modes,
        "dark": scan.dark is not None,
        "beam_center": list(scan.beam_center) if scan.beam_center is not None else None,
        "saturation": scan.saturation,
        "metadata": dict(scan.metadata),
        "storage": storage,
        "output": {"shape": list(shape), "dtype": "complex64", "bytes": shape[0] * shape[1] * 8},
        "understood": list(scan.understood),
        "missing": _missing(scan),
    }


def _missing(scan: PtychoScan) -> list[dict[str, str]]:
    missing = [
        {"what": word, "for": use, "option": option}
        for name, (word, use, option) in _OPTIONS.items()
        if getattr(scan, name) is None
    ]
    if not scan.oriented:
        option = "-s scan.position_orientation=auto (or +y+x ...)"
        use = "certainty that positions fit the frames"
        missing.append({"what": "position orientation", "for": use, "option": option})
    return missing


def object_shape(scan: PtychoScan) -> tuple[int, int]:
    """Give the pixels (rows, columns) of the object that is reconstructed where frames are used whole."""
    return make_geometry(scan, min(scan.shape[1:])).shape


def understood(scan: PtychoScan, found: PtychoFound, positions: Positions, total: int) -> list[str]:
    """Say what was understood or assumed of a scan, a line for each thing.

    Parameters
    ----------
    scan : PtychoScan
        The scan, but for these lines.
    found : PtychoFound
        What the file gave.
    positions : Positions
        As they were stored.
    total : int
        Frames of the file.
    """
    views, rows, columns = scan.shape
    y, x = np.ptp(scan.positions, axis=0)
    far = "far field" if scan.focus_distance is None else f"near field, magnified {scan.magnification:.5g} times"
    lines = [
        f"{found.format}: {views} frames of {rows} rows x {columns} columns, {scan.frames.dtype}",
        *([f"views of frames {found.grid[0]} x {found.grid[1]} of a raster"] if found.grid[0] > 1 else []),
        *([f"{views} of {total} frames, by scan.frames"] if views != total else []),
        f"positions from {positions.source} span {y:.4g} x {x:.4g} m (y, x)",
        *positions.notes,
        f"{far}: the object's pixel is {scan.object_pixel[0]:.4g} x {scan.object_pixel[1]:.4g} m (y, x)",
        *found.notes,
        *_on_orientation(scan),
    ]
    if (np.array([y, x]) < scan.object_pixel).all():
        lines.append("all positions lie within one pixel of the object: is their unit right?")
    if scan.good is not None and scan.good.mean() < 0.5:
        lines.append(f"the mask leaves only {scan.good.mean():.0%} of the pixels")
    return lines


def _on_orientation(scan: PtychoScan) -> list[str]:
    if scan.orientation == "auto":
        return ["position orientation: to be found from the data; the sign of all positions leaves no trace in it"]
    if scan.oriented:
        whose = {"file": "what the file says", "user": "scan.position_orientation"}[scan.oriented]
        return [f"position orientation {scan.orientation}, by {whose}"]
    lines = [f"position orientation {scan.orientation}: as stored, nothing in the file decides it"]
    if scan.focus_distance is None and scan.probe is not None:
        lines.append("of all positions and their negatives, the conjugate inverted object, the first probe decides")
    elif scan.focus_distance is None:
        lines.append("all positions negated give the conjugate inverted object: far-field data can't tell them apart")
    return lines
