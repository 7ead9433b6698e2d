"""A sample for simulated ptychography: a Siemens star of metal over cells with granules, as a complex transmission."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

Complex128 = NDArray[np.complex128]
Float64 = NDArray[np.float64]

#: Periods of the Siemens star.
SPOKES = 18
#: Where the band limit begins and where it ends, cycles per pixel.
BAND = (0.44, 0.5)


@dataclass(frozen=True)
class Material:
    """How a material alters the wave where its thickness is 1.

    Attributes
    ----------
    phase : float
        Retardation, radians: the transmission's phase is its negative.
    attenuation : float
        Of the amplitude: exp(-attenuation) is left.
    """

    phase: float
    attenuation: float


METAL, CELL, NUCLEUS, GRANULE = Material(1.1, 0.30), Material(0.7, 0.03), Material(0.35, 0.03), Material(0.5, 0.12)


def siemens_star(shape: tuple[int, int], radius: float) -> Float64:
    """Draw a Siemens star with a gap in its spokes at half the radius.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns); the star is at index n // 2 of both axes.
    radius : float
        Of the star, pixels.

    Returns
    -------
    ndarray, (row, column), float64
        Share of each pixel that is covered, 0 to 1; spokes narrower than a pixel tend to 1/2.
    """
    y, x = (np.arange(n, dtype=np.float64) - n // 2 for n in shape)
    r = np.hypot(y[:, None], x)
    # the distance to the nearest edge of a spoke is an arc: positive inside
    edge = r * np.arcsin(np.sin(SPOKES * np.arctan2(y[:, None], x))) / SPOKES
    rings = np.minimum(radius - r, np.abs(r - radius / 2) - 0.02 * radius)
    return np.asarray(_covered(edge) * _covered(rings))


def _covered(inside: Float64) -> Float64:
    """Turn the distance to an edge, positive inside, into the share of a pixel that is covered."""
    return np.clip(inside + 0.5, 0, 1)


def _cells(shape: tuple[int, int], rng: np.random.Generator, size: float) -> tuple[Float64, Float64]:
    """Draw cells, thick in the middle and with a wall, and their nuclei: two maps of thickness, (row, column)."""
    bodies, nuclei = np.zeros(shape), np.zeros(shape)
    placed: list[tuple[float, float, float]] = []
    for _ in range(int(30 * shape[0] * shape[1] / size**2)):
        a = size * rng.uniform(0.5, 1.2)
        middle = rng.uniform(0, 1, 2) * shape
        b, turn = a * rng.uniform(0.6, 1), rng.uniform(0, pi)
        if any(np.hypot(middle[0] - y, middle[1] - x) < 0.85 * (a + other) for y, x, other in placed):
            continue
        placed.append((middle[0], middle[1], a))
        window, y, x = _around(shape, middle, a + 2)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        s = np.hypot(u / a, v / b)
        wall = _covered((1 - s) * b) * _covered((s - 1) * b + 2)
        bodies[window] += 0.75 * np.sqrt(np.maximum(1 - s**2, 0)) + 0.25 * wall
        nuclei[window] += _covered(0.35 * b - np.hypot(u - 0.2 * a, v))
    return bodies, nuclei


def _granules(shape: tuple[int, int], rng: np.random.Generator) -> Float64:
    """Draw discs of one to three pixels' radius, at most one thick: a map of thickness, (row, column)."""
    drawn = np.zeros(shape)
    for _ in range(shape[0] * shape[1] // 150):
        radius = 1 + 2 * rng.uniform() ** 3
        window, y, x = _around(shape, rng.uniform(0, 1, 2) * shape, radius + 2)
        np.maximum(drawn[window], _covered(radius - np.hypot(y, x)), out=drawn[window])
    return drawn


def _around(
    shape: tuple[int, int], middle: NDArray[np.float64], reach: float
) -> tuple[tuple[slice, slice], Float64, Float64]:
    """Give the part of the canvas within `reach` of a point, and the coordinates y (n, 1) and x (m,) from it there."""
    first = np.maximum(np.floor(middle - reach), 0).astype(int)
    last = np.minimum(np.ceil(middle + reach) + 1, shape).astype(int)
    y, x = (np.arange(i, j, dtype=np.float64) - c for i, j, c in zip(first, last, middle, strict=True))
    return (slice(first[0], last[0]), slice(first[1], last[1])), y[:, None], x


def band_limit(image: Complex128) -> Complex128:
    """Remove what lies beyond the circle of half a cycle per pixel, with a soft edge.

    Parameters
    ----------
    image : ndarray, (row, column), complex128
        It is taken as periodic.

    Returns
    -------
    ndarray, (row, column), complex128
    """
    fy, fx = (np.fft.fftfreq(n) for n in image.shape)
    f = np.hypot(fy[:, None], fx)
    passed = (1 + np.cos(pi * np.clip((f - BAND[0]) / (BAND[1] - BAND[0]), 0, 1))) / 2
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * passed))


def sample(shape: tuple[int, int], seed: int = 0, radius: float | None = None) -> NDArray[np.complex64]:
    """Make the transmission of a sample: cells with granules everywhere, a Siemens star in the middle.

    Matter retards the wave: its phase is negative, down to about -2.6 radians where everything
    lies on top of each other. The transmission is limited to the circle of half a cycle per
    pixel, so its modulus may pass 1 by a few per cent beside a sharp edge.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns).
    seed : int
        Tells the places of cells and granules.
    radius : float, optional
        Of the star, pixels; a fifth of the shorter side if not given.

    Returns
    -------
    ndarray, (row, column), complex64
        1 in vacuum.
    """
    rng = np.random.default_rng((seed, 0))
    margin = 16  # the band limit is periodic: what it carries over the borders is cut off
    canvas = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    reach = radius if radius is not None else min(shape) / 5
    bodies, nuclei = _cells(canvas, rng, max(8.0, min(shape) / 15))
    maps = (siemens_star(canvas, reach), bodies, nuclei, _granules(canvas, rng))
    exponent = np.zeros(canvas, np.complex128)
    for material, thickness in zip((METAL, CELL, NUCLEUS, GRANULE), maps, strict=True):
        exponent -= complex(material.attenuation, material.phase) * thickness
    limited = band_limit(np.exp(exponent))
    # n // 2 of the canvas is n // 2 of the object: the margin is even
    return limited[margin:-margin, margin:-margin].astype(np.complex64)
