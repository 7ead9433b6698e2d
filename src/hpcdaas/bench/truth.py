"""Results held against what is known: the definition in float64, and the truth of simulations."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from hpcdaas.backend import FbpPlan
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.bench.tomo_job import definition, random_pixels, relative_error
from hpcdaas.io import open_scan
from hpcdaas.parallel import Serial
from hpcdaas.ptycho import ambiguity
from hpcdaas.ptycho.simulate import Simulation
from hpcdaas.recipe import default_recipe
from hpcdaas.scan import Scan
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.filters import response
from hpcdaas.tomo.source import Source

#: What stands for a residual that can't be told: as much wrong as there is.
ALL_WRONG = 1.0


def slices_error(scan: Path, out: Path, rows: tuple[int, ...], pixels: int) -> float:
    """Give the relative L2 error of a volume at random pixels of some rows against the definition in float64.

    Counts are read from the scan and corrected by the NumPy body; the centre is the one that the run has used.

    Parameters
    ----------
    scan, out : Path
        The raw file, and the result of the default recipe with all rows.
    rows : tuple of int
    pixels : int
        At how many pixels of each.
    """
    raw, recipe, backend = open_scan(scan), default_recipe(), ReferenceBackend()
    assert isinstance(raw, Scan)
    source = Source(raw, backend, Serial())
    with h5py.File(out) as file:
        volume, center = file["entry/data/data"], float(file["entry/metrics/center"][()])
        n = int(volume.shape[2])
        y, x = random_pixels(n, pixels)
        found = np.stack([volume[row][y, x] for row in rows])
    lines = []
    for row in rows:
        block = source.block(source.read([range(row, row + 1)]))
        for part in recipe.steps:
            if part.name in ("flatfield", "minus_log"):
                part.step.apply(block, part.parameters)
        lines.append(block.values())
    theta = block.angles
    scale = 1 / raw.pixel_size if raw.pixel_size else 1.0
    plan = FbpPlan(theta, angular_weights(theta), response("ramp", n, 2.0), center, scale)
    return told(relative_error(found, definition(np.concatenate(lines, axis=1), plan, y, x)))


def object_error(out: Path, simulation: Simulation) -> float | None:
    """Hold an object against the truth where there is light.

    What no frame can tell is removed before: factor, phase, a linear ramp of the phase, a shift.

    Parameters
    ----------
    out : Path
        Result of the simulation.
    simulation : Simulation
        Knows the truth.

    Returns
    -------
    float or None
        Relative L2 error; None if a changed recipe put the views elsewhere: another pixel, orientation, fewer views.
    """
    with h5py.File(out) as file:
        found = file["entry/object/data"][0]
        places = file["entry/positions"][:] / file["entry/object/pixel_size"][:]
    if len(places) != simulation.shape[0]:
        return None
    # the first pixel of an object is free: the same views tell where the two begin
    offsets = simulation.positions_pixels - places
    if np.ptp(offsets, axis=0).max() > 0.01:
        return None
    moved = np.rint(offsets[0]).astype(int)
    window = simulation.truth_window()
    here = tuple(slice(part.start - d, part.stop - d) for part, d in zip(window, moved, strict=True))
    truth = simulation.object[window]
    return ambiguity.relative_error(ambiguity.align(found[here], truth), truth)


def told(error: float | None) -> float:
    """Give an error, and all wrong where it is none."""
    return error if error is not None and np.isfinite(error) else ALL_WRONG
