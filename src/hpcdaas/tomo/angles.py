"""Weights of the angles in a back-projection, for any set of angles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A gap is a missing wedge where it is wider than this and than `WEDGE_RATIO` median gaps.
WEDGE = np.deg2rad(5.0)
WEDGE_RATIO = 3.0
#: Angles closer than this (radians) are the same angle measured twice.
SAME = 1e-9


def angular_weights(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each angle its share of the half-turn, for sums that stand for the integral over the angle.

    Angles are folded to half a turn, because θ and θ + 180° see the same lines. Each takes half
    the gap to its left and half the gap to its right on that circle. Each edge of a missing
    wedge takes half a median gap on that side instead: the wedge isn't filled with its edges.

    Parameters
    ----------
    angles : ndarray, (n,), float64
        Rotation angles in radians, in any order, also several half-turns.

    Returns
    -------
    ndarray, (n,), float64
        Weights in radians; they sum to π unless a wedge is missing.

    Notes
    -----
    An angle measured twice leaves a gap of zero, which counts for no median: otherwise all gaps
    of a coarse scan over a full turn would look like wedges beside a median of zero.
    """
    folded = np.mod(np.asarray(angles, np.float64), np.pi)
    order = np.argsort(folded, kind="stable")
    gaps = np.diff(folded[order], append=folded[order[0]] + np.pi)  # gaps[i] is to the right of i
    real = gaps[gaps > SAME]
    typical = float(np.median(real))
    gaps[(gaps > WEDGE) & (gaps > WEDGE_RATIO * typical)] = typical
    weights = np.empty_like(gaps)
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights
