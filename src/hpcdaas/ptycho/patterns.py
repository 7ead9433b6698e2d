"""Patterns of scan positions."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

#: Between neighbours of a spiral of Fermat, radians.
GOLDEN_ANGLE = pi * (3 - sqrt(5))


def fermat_spiral(count: int, step: float) -> Float64:
    """Place views on a spiral of Fermat: even in density, without a raster's periods.

    X. Huang et al., Opt. Express 22, 12634 (2014), eq. 1: r = c √n, θ = n · 137.508°. A view then
    has the area π c², which is step² here.

    Parameters
    ----------
    count : int
        Views.
    step : float
        Mean distance of neighbours.

    Returns
    -------
    ndarray, (count, 2), float64
        (y, x) about 0, in the unit of `step`.
    """
    n = np.arange(count) + 0.5
    r = step * np.sqrt(n / pi)
    return np.stack([r * np.sin(GOLDEN_ANGLE * n), r * np.cos(GOLDEN_ANGLE * n)], axis=1)


def raster(count: int, step: float, jitter: float, rng: np.random.Generator) -> Float64:
    """Place views on a square raster, row by row, each moved at random by up to half `jitter` steps along y and x.

    Returns
    -------
    ndarray, (count, 2), float64
        (y, x) about 0, in the unit of `step`.
    """
    columns = int(np.ceil(sqrt(count)))
    index = np.stack(np.divmod(np.arange(count), columns), axis=1)
    places = step * (index + jitter * rng.uniform(-0.5, 0.5, (count, 2)))
    return np.asarray(places - places.mean(axis=0))
