"""Ellipses with exact line integrals, for tests of tomography."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ellipse:
    """Centre, half axes (shares of the radius of the field), angle in radians, and density."""

    x: float
    y: float
    a: float
    b: float
    angle: float
    density: float


#: All within radius 0.95.
HEAD = (
    Ellipse(0.05, -0.03, 0.85, 0.70, 0.4, 1.0),
    Ellipse(0.30, 0.20, 0.25, 0.15, 1.0, 0.7),
    Ellipse(-0.35, 0.10, 0.12, 0.30, 0.3, -0.6),
    Ellipse(-0.10, -0.40, 0.08, 0.06, 0.0, 1.5),
    Ellipse(0.20, -0.35, 0.03, 0.05, 2.0, 2.0),
    Ellipse(0.55, -0.10, 0.04, 0.04, 0.0, 1.0),
)


def sinogram(
    ellipses: tuple[Ellipse, ...],
    angles: NDArray[np.float64],
    columns: int,
    center: float,
    radius: float,
) -> NDArray[np.float64]:
    """Line integrals along x cos θ + y sin θ = column − center, in units of the radius.

    Returns
    -------
    ndarray, (angle, column), float64
    """
    u = (np.arange(columns)[None, :] - center) / radius
    theta = np.asarray(angles)[:, None]
    total = np.zeros((len(angles), columns))
    for e in ellipses:
        width2 = (e.a * np.cos(theta - e.angle)) ** 2 + (e.b * np.sin(theta - e.angle)) ** 2
        offset = u - e.x * np.cos(theta) - e.y * np.sin(theta)
        total += 2 * e.density * e.a * e.b * np.sqrt(np.maximum(width2 - offset**2, 0)) / width2
    return total
