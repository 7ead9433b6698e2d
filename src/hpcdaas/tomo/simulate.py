"""Simulated scans whose truth is known: ellipsoids, their exact line integrals, and a detector with its faults.

All lengths of a phantom are shares of half the detector's width, measured from the rotation axis
(x, y) and from the middle row (z). Geometry and signs are those of every reconstruction here:
p(θ, u) is the integral along x cos θ + y sin θ = u − centre, x growing with the column and y
with the row of a slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.params import Energy, Length, Parameters

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Uint16 = NDArray[np.uint16]

#: Above this many photons a normal deviate of the same mean and variance stands in for Poisson's: 5 times faster.
MANY = 100.0
#: The matrix of the sample: its half axes.
MATRIX = (0.78, 0.72)
#: Within this radius small things lie in the sample.
INSIDE = 0.64
PROJECTION, FLAT, DARK = 0, 1, 2


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid whose axis c stands upright.

    Attributes
    ----------
    x, y, z : float
        Its middle.
    a, b, c : float
        Half axes; with c = inf it is a cylinder.
    angle : float
        Of a against x, radians.
    density : float
        What it adds to the attenuation; the matrix of the sample has 1.
    """

    x: float
    y: float
    z: float
    a: float
    b: float
    c: float
    angle: float
    density: float

    def section(self, z: Float64) -> Float64:
        """Give s², the square of the factor by which the section at height `z` is smaller; negative beyond the ends."""
        return np.asarray(1 - ((z - self.z) / self.c) ** 2)

    def holds(self, x: float, y: float, margin: float) -> bool:
        """Say whether (x, y) is in its shadow from above, or nearer to it than about `margin`."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along, across = (x - self.x) * cos + (y - self.y) * sin, (y - self.y) * cos - (x - self.x) * sin
        return bool((along / (self.a + margin)) ** 2 + (across / (self.b + margin)) ** 2 < 1)


def phantom(height: float, seed: int = 0) -> tuple[Ellipsoid, ...]:
    """Make a sample: a cylinder with two inclusions, a crack, bright grains and pores.

    Parameters
    ----------
    height : float
        Half its height, in half widths of the detector: rows / columns.
    seed : int
        Tells the places of grains and pores.

    Returns
    -------
    tuple of Ellipsoid
        All within radius 0.78; grains and pores overlap with nothing but the matrix.
    """
    tall = 0.25 + 0.7 * height
    large = [
        Ellipsoid(0.30, 0.22, 0.2 * height, 0.22, 0.15, tall, 1.0, 0.6),
        Ellipsoid(-0.34, 0.12, -0.3 * height, 0.13, 0.27, tall, 0.3, -0.45),
        Ellipsoid(0.06, -0.36, 0.0, 0.34, 0.007, 2 * tall, 0.2, -1.0),
    ]
    rng = np.random.default_rng((seed, 0))
    small: list[Ellipsoid] = []
    wanted = 40 + int(min(60, 60 * height))
    for _ in range(50 * wanted):
        radius = 0.05 * rng.uniform(0.3, 1) ** 1.5
        distance, turn = INSIDE * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        x, y, z = distance * np.cos(turn), distance * np.sin(turn), height * rng.uniform(-1, 1)
        near = any((x - s.x) ** 2 + (y - s.y) ** 2 + (z - s.z) ** 2 < (radius + s.a + 0.01) ** 2 for s in small)
        if not near and not any(thing.holds(x, y, radius + 0.01) for thing in large):
            small.append(Ellipsoid(x, y, z, radius, radius, radius, 0.0, -1.0 if len(small) % 4 else 1.5))
        if len(small) == wanted:
            break
    return (Ellipsoid(0.0, 0.0, 0.0, *MATRIX, inf, 0.3, 1.0), *large, *small)


def line_integrals(ellipsoids: Sequence[Ellipsoid], angle: float, u: Float64, z: Float64) -> Float64:
    """Integrate ellipsoids along the lines x cos θ + y sin θ = u at heights z, exactly.

    A. C. Kak and M. Slaney, Principles of Computerized Tomographic Imaging (IEEE Press 1988),
    eq. 3.5 and 3.6: an ellipse with half axes a, b has 2ρab √(w² − t²) / w², where
    w² = a² cos² + b² sin² of the angle between θ and a, and t is the distance of the line from
    the middle. The section of an ellipsoid is such an ellipse, smaller by s: w² becomes s² w²
    below the root and nothing else changes.

    Parameters
    ----------
    ellipsoids : sequence of Ellipsoid
        Their densities add up where they overlap.
    angle : float
        θ, radians.
    u, z : ndarray, (column,) and (row,), float64
        Ascending.

    Returns
    -------
    ndarray, (row, column), float64
        In units of length of the ellipsoids.
    """
    total = np.zeros((len(z), len(u)))
    for e in ellipsoids:
        width2 = (e.a * np.cos(angle - e.angle)) ** 2 + (e.b * np.sin(angle - e.angle)) ** 2
        middle = e.x * np.cos(angle) + e.y * np.sin(angle)
        # only the lines that can meet it: most things are small
        reach = np.sqrt(width2)
        columns = slice(*np.searchsorted(u, (middle - reach, middle + reach)))
        rows = slice(*np.searchsorted(z, (e.z - e.c, e.z + e.c)))
        chord2 = (e.section(z[rows]) * width2)[:, None] - (u[columns] - middle) ** 2
        np.sqrt(np.maximum(chord2, 0, out=chord2), out=chord2)
        chord2 *= 2 * e.density * e.a * e.b / width2
        total[rows, columns] += chord2
    return total


class SimulationParameters(Parameters):
    """What is simulated."""

    angles: int = Field(720, ge=1, description="projections")
    rows: int = Field(64, ge=1, description="detector rows")
    columns: int = Field(512, ge=16, description="detector columns")
    turn: float = Field(180.0, gt=0, description="degrees from the first projection to the one after the last")
    shift: float = Field(7.3, description="rotation centre right of the detector's middle, columns")
    pixel_size: Length = Field(2e-6, gt=0, description="m")
    energy: Energy = Field(25e3, gt=0, description="eV")
    distance: Length = Field(0.05, gt=0, description="sample to detector, m")
    absorption: float = Field(1.5, gt=0, description="line integral of the attenuation across the matrix")
    flux: float = Field(20000.0, gt=0, description="photons in a pixel where the beam is brightest")
    flats: int = Field(20, ge=1, description="flat fields before the scan, and as many after it")
    darks: int = Field(20, ge=1, description="dark fields, before the scan")
    dark_level: float = Field(100.0, ge=0, description="counts without light")
    read_noise: float = Field(3.0, ge=0, description="standard deviation of the counts without light")
    drift: float = Field(
        0.05, ge=0, lt=1, description="share of the beam that is lost, and by which it tilts, in the scan"
    )
    stripes: float = Field(0.02, ge=0, description="standard deviation of the gain errors of columns that have one")
    zingers: float = Field(1e-5, ge=0, le=0.1, description="share of the pixels that a zinger hits")
    seed: int = Field(0, ge=0, description="of all random numbers")


class Simulation:
    """A scan of a phantom, made frame by frame: darks, flats, projections, flats, as a beamline takes them.

    Each frame has random numbers of its own, so that batches and threads don't alter it.

    Parameters
    ----------
    parameters : SimulationParameters, optional
        What is simulated.

    Attributes
    ----------
    ellipsoids : tuple of Ellipsoid
        The sample.
    center : float
        True rotation centre, columns.
    angles : ndarray, (angle,), float64
        Of the projections, degrees.
    attenuation : float
        Of the matrix, 1/m.
    image_key : ndarray, (frame,), uint8
        0 projection, 1 flat, 2 dark.
    rotation_angle : ndarray, (frame,), float64
        Of every frame, degrees.
    """

    def __init__(self, parameters: SimulationParameters | None = None) -> None:
        self.parameters = p = parameters or SimulationParameters()
        self.ellipsoids = phantom(p.rows / p.columns, p.seed)
        self.center = (p.columns - 1) / 2 + p.shift
        self.angles = np.arange(p.angles) * (p.turn / p.angles)
        self.attenuation = p.absorption / (2 * MATRIX[0] * self._unit)
        counts = (p.darks, p.flats, p.angles, p.flats)
        self.image_key = np.repeat(np.array([DARK, FLAT, PROJECTION, FLAT], np.uint8), counts)
        still = (np.zeros(p.darks + p.flats), self.angles, np.full(p.flats, self.angles[-1]))
        self.rotation_angle = np.concatenate(still)
        self._u = (np.arange(p.columns, dtype=np.float64) - self.center) * (2 / p.columns)
        self._z = (np.arange(p.rows, dtype=np.float64) - (p.rows - 1) / 2) * (2 / p.columns)
        self._before, self._after = self._beam()
        rng = np.random.default_rng((p.seed, 1))
        wrong = rng.uniform(size=p.columns) < 0.05
        self._gain = np.where(wrong, 1 + p.stripes * rng.standard_normal(p.columns), 1).astype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, rows, columns) of the whole scan, darks and flats included."""
        return len(self.image_key), self.parameters.rows, self.parameters.columns

    @property
    def _unit(self) -> float:
        """Half the detector's width, m."""
        return float(self.parameters.columns / 2 * self.parameters.pixel_size)

    def line_integrals(self, angle: int) -> Float64:
        """Give the exact line integrals of the attenuation that projection number `angle` measures, (row, column)."""
        theta = np.deg2rad(self.angles[angle])
        return line_integrals(self.ellipsoids, theta, self._u, self._z) * (self.attenuation * self._unit)

    def truth(self, row: int, oversampling: int = 4) -> Float32:
        """Give the slice that a reconstruction of a detector row should show.

        Parameters
        ----------
        row : int
            Detector row.
        oversampling : int
            A voxel is the mean over this many points along x and y each.

        Returns
        -------
        ndarray, (column, column), float32
            Attenuation, 1/m.
        """
        n, m = self.parameters.columns, oversampling
        points = ((np.arange(n * m) + 0.5) / m - n / 2) * (2 / n)
        fine = np.zeros((n * m, n * m), np.float32)
        for e in self.ellipsoids:
            section = float(e.section(self._z[row]))
            if section <= 0:
                continue
            reach = max(e.a, e.b)
            columns = slice(*np.searchsorted(points, (e.x - reach, e.x + reach)))
            rows = slice(*np.searchsorted(points, (e.y - reach, e.y + reach)))
            x, y = points[columns] - e.x, points[rows, None] - e.y
            cos, sin = np.cos(e.angle), np.sin(e.angle)
            within = ((x * cos + y * sin) / e.a) ** 2 + ((y * cos - x * sin) / e.b) ** 2 <= section
            fine[rows, columns] += np.float32(e.density) * within
        voxels = fine.reshape(n, m, n, m).mean(axis=(1, 3))
        return np.asarray(voxels * np.float32(self.attenuation))

    def frames(self, batch: int = 16, threads: int = 1) -> Iterator[Uint16]:
        """Measure the scan, `batch` frames at a time, in order.

        Parameters
        ----------
        batch : int
            Frames that are in memory at once.
        threads : int
            Cores to use.

        Yields
        ------
        ndarray, (frame, row, column), uint16
        """
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, self.shape[0], batch):
                index = range(first, min(first + batch, self.shape[0]))
                block = np.empty((len(index), *self.shape[1:]), np.uint16)
                list(pool.map(partial(self._measure, out=block, first=first), index))
                yield block

    def _measure(self, frame: int, out: Uint16, first: int) -> None:
        """Write a frame of the scan into its place in a block that begins with frame `first`."""
        p, key = self.parameters, self.image_key[frame]
        rng = np.random.default_rng((p.seed, 2, frame))
        number = frame - p.darks - p.flats
        if key == DARK:
            photons = np.zeros(self.shape[1:], np.float32)
        else:
            late = np.float32(np.clip((number + 0.5) / p.angles, 0, 1))
            photons = self._before + late * (self._after - self._before)
        if key == PROJECTION:
            # what both flats and projections see cancels in their ratio: only an error of the projections makes stripes
            photons *= self._gain * np.exp(-self.line_integrals(number).astype(np.float32))
        counts = self._noisy(photons, rng)
        if key != DARK:
            hits = rng.poisson(p.zingers * counts.size)
            counts.flat[rng.integers(counts.size, size=hits)] += rng.uniform(0.5, 3, hits) * p.flux
        np.rint(np.clip(counts, 0, 65535, out=counts), out=counts)
        out[frame - first] = counts

    def _noisy(self, photons: Float32, rng: np.random.Generator) -> Float32:
        """Draw counts: Poisson noise of the photons, the detector's offset and its read noise."""
        p = self.parameters
        counts = rng.standard_normal(photons.shape, np.float32)
        few = photons < MANY
        spread2 = np.where(few, np.float32(p.read_noise**2), photons + np.float32(p.read_noise**2))
        counts *= np.sqrt(spread2, out=spread2)
        counts += photons
        counts += np.float32(p.dark_level)
        if few.any():
            counts[few] += rng.poisson(photons[few]) - photons[few]
        return counts

    def _beam(self) -> tuple[Float32, Float32]:
        """Give the beam before and after the scan: uneven, then weaker and tilted; and how its pixels answer."""
        p = self.parameters
        rng = np.random.default_rng((p.seed, 3))
        row, column = np.linspace(-1, 1, p.rows)[:, None], np.linspace(-1, 1, p.columns)
        beam = np.exp(-((row / 1.8) ** 2) - (column / 2.2) ** 2)
        beam *= 1 + 0.03 * np.sin(9 * row + 2 * column) + 0.02 * np.sin(23 * column)
        beam *= 1 + 0.02 * rng.standard_normal((p.rows, p.columns))
        beam *= p.flux / beam.max()
        later = beam * (1 - p.drift) * (1 + p.drift * column)
        return beam.astype(np.float32), later.astype(np.float32)
