"""A scan in words and numbers, for ``hpcdaas inspect``."""

from __future__ import annotations

from typing import Any

from hpcdaas.io.describe_ptycho import describe_ptycho
from hpcdaas.io.frames import Stack
from hpcdaas.scan import PtychoScan, Scan

_OPTIONS = {
    "flats": "-s scan.flats=FILE:PATH (or one value)",
    "darks": "-s scan.darks=FILE:PATH (or one value)",
    "pixel_size": '-s scan.pixel_size="0.65 um"',
    "energy": '-s scan.energy="20 keV"',
    "distance": '-s scan.distance="50 mm"',
}
_NEEDED_FOR = {
    "flats": "flat-field correction",
    "darks": "dark correction; taken as 0",
    "pixel_size": "attenuation in 1/m; without it values are per pixel",
    "energy": "phase retrieval",
    "distance": "phase retrieval",
}


def describe(scan: Scan | PtychoScan) -> dict[str, Any]:
    """Say what was understood of a scan and what is missing.

    Parameters
    ----------
    scan : Scan or PtychoScan
        An opened scan.

    Returns
    -------
    dict
        JSON-able: ``name, format, files, shape, dtype, bytes, angles, flats, darks, pixel_size,
        energy, distance, center, metadata, storage, output, understood`` and ``missing``, a list
        of ``{"what", "for", "option"}``. Lengths in m, energies in eV, angles in degrees, sizes in bytes.
        Of ptychography: see `describe_ptycho`.
    """
    if isinstance(scan, PtychoScan):
        return describe_ptycho(scan)
    angles, rows, columns = scan.shape
    projections = scan.projections
    storage: dict[str, Any] = {"whole_frames": projections.whole_frames}
    if isinstance(projections, Stack):
        kept = projections.storage
        storage |= {"kind": kept.kind, "chunk": list(kept.chunk) if kept.chunk else None, "filters": list(kept.filters)}
    missing = [
        {"what": name, "for": _NEEDED_FOR[name], "option": option}
        for name, option in _OPTIONS.items()
        if getattr(scan, name) in (None, ()) and not (scan.transmission and name in ("flats", "darks"))
    ]
    return {
        "name": scan.name,
        "format": scan.format,
        "technique": scan.technique,
        "files": [str(path) for path in scan.files],
        "shape": [angles, rows, columns],
        "dtype": str(projections.dtype),
        "bytes": angles * rows * columns * projections.dtype.itemsize,
        "angles": {"first": float(scan.angles[0]), "last": float(scan.angles[-1]), "unit": "degree"},
        "flats": [{"frames": group.frames.shape[0], "before_projection": group.when} for group in scan.flats],
        "darks": scan.darks.shape[0] if scan.darks is not None else 0,
        "pixel_size": scan.pixel_size,
        "energy": scan.energy,
        "distance": scan.distance,
        "center": scan.center,
        "metadata": dict(scan.metadata),
        "storage": storage,
        "output": {"shape": [rows, columns, columns], "dtype": "float32", "bytes": rows * columns * columns * 4},
        "understood": list(scan.understood),
        "missing": missing,
    }
