"""Extended field of view: the axis near the detector's edge, and a full turn for what half a turn misses."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Float32, Float64
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.scan import Scan
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.center import CenterEstimate, find_center


class Extended(Parameters):
    """`extended` has no parameters: everything follows from the centre."""


def extended(block: Block, parameters: Extended) -> None:
    """Give sinograms about twice the width, where the axis is near the detector's edge and the scan a full turn.

    Every line through the sample is seen from one side, and lines near the axis from both: for
    those the projection at θ and its mirror image at θ + 180° share the weight, changing linearly
    over the columns that both see (N. T. Vo et al., Opt. Express 29, 17849 (2021)). The halves
    aren't put together to one projection, because back-projection adds them up anyway: each stays
    where it is on a detector that is wide enough, times its weight, and nothing is interpolated.

    Parameters
    ----------
    block : Block
        Line integrals over a full turn, `center` known. Its data, angles and center are replaced:
        the columns are `output_columns`, the amplitude stays right with `angular_weights`.
    parameters : Extended

    Raises
    ------
    InputError
        If the angles don't cover a full turn, or the centre isn't known or off the detector.
    """
    columns = block.data.shape[2]
    if block.center is None or not 0 <= block.center <= columns - 1:
        where = "isn't known" if block.center is None else f"is off the detector ({block.center:.1f} of {columns})"
        raise InputError(f"Step 'extended' needs the centre, and it {where}.", "Give it with -s scan.center=COLUMN.")
    keep, share = turn_weights(block.angles)
    weights = column_weights(columns, block.center)
    values, before = block.values(), _columns_before(columns, block.center)
    wide = np.zeros((len(keep), values.shape[1], _width(columns, block.center)), np.float32)
    for target, source, factor in zip(wide, keep, share, strict=True):
        np.multiply(values[source], np.float32(factor) * weights, out=target[:, before : before + columns])
    block.data, block.angles, block.center = wide, block.angles[keep], block.center + before


def output_columns(parameters: Extended, scan: Scan, center: float) -> int:
    """Give the columns, and so the width of the slices, that `extended` makes.

    Parameters
    ----------
    parameters : Extended
    scan : Scan
    center : float
        Rotation centre on the detector, columns.
    """
    return _width(scan.shape[2], center)


def find_axis(block: Block) -> CenterEstimate:
    """Find the axis on the detector for `extended`; else as step ``center`` does."""
    rows = slice(block.halo, block.data.shape[1] - block.halo)
    return find_center(np.ascontiguousarray(block.values()[:, rows]), block.angles, extended=True)


def turn_weights(angles: Float64) -> tuple[NDArray[np.intp], Float64]:
    """Say what each projection of a full turn counts, over what `angular_weights` gives it in half a turn.

    Parameters
    ----------
    angles : ndarray, (n,), float64
        Radians.

    Returns
    -------
    keep : ndarray, (m,)
        The projections to be used: of those at the same angle, only the first.
    share : ndarray, (m,), float64
        2 where the angles are even.

    Raises
    ------
    InputError
        If the angles don't cover a full turn.
    """
    folded = np.mod(angles, 2 * np.pi)
    # a scan from 0° to 360° ends where it began; rounding must not part the two
    folded[folded > 2 * np.pi - 1e-6] = 0
    _, keep = np.unique(np.round(folded, 6), return_index=True)  # in the order of the angles
    gaps = np.diff(folded[keep], append=folded[keep[0]] + 2 * np.pi)
    if gaps.max() > max(5 * float(np.median(gaps)), np.deg2rad(2)):
        covered = 360 - np.rad2deg(gaps.max() - np.median(gaps))
        raise InputError(
            f"Step 'extended' needs a scan over 360°, and this one covers {covered:.0f}°.", "Leave the step out."
        )
    whole = (gaps + np.roll(gaps, 1)) / 2
    half = angular_weights(angles[keep])
    return keep, np.divide(whole, half, out=np.zeros_like(whole), where=half > 0)


def column_weights(columns: int, center: float) -> Float32:
    """Give each column's share in the lines it sees: w(u) + w(2 center − u) = 1 where both are on the detector.

    Parameters
    ----------
    columns : int
    center : float

    Returns
    -------
    ndarray, (columns,), float32
        1 beyond the overlap, falling linearly to 0 over it.
    """
    side = -1.0 if center > (columns - 1) / 2 else 1.0  # where the sample is seen from one side only
    u = side * (np.arange(columns) - center)
    overlap = max(min(center, columns - 1 - center), 0.5)
    return np.asarray(np.clip((overlap + u) / (2 * overlap), 0, 1), np.float32)


def _columns_before(columns: int, center: float) -> int:
    """Columns put before the detector's first one, to reach as far on that side of the axis as on the other."""
    return max(0, math.ceil(columns - 1 - 2 * center))


def _width(columns: int, center: float) -> int:
    """Columns of the wide detector."""
    return max(columns, math.ceil(2 * center) + 1) + _columns_before(columns, center)


STEP = Step(name="extended", apply=extended, parameters=Extended, axis=Axis.SINOGRAM, place=65)
