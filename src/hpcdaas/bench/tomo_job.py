"""The tomographic job of the figures: sinograms with a plan, and the float64 definition at single pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Correction, FbpPlan
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.filters import response
from hpcdaas.tomo.simulate import line_integrals, phantom

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

#: What a detector's counts of the raw job look like.
FLUX, DARK = 20000.0, 100.0


@dataclass(frozen=True)
class Job:
    """Sinograms: the first half of the rows a phantom at several heights, the second half white noise.

    Attributes
    ----------
    data : ndarray, (angle, row, column), float32
        Line integrals.
    plan : FbpPlan
        Its geometry, ramp filter, eps 1e-3, padding 2.
    """

    data: Float32
    plan: FbpPlan

    @property
    def slices(self) -> Float32:
        """Memory for the result (row, n, n), touched."""
        _, rows, n = self.data.shape
        return np.full((rows, n, n), np.nan, np.float32)

    def raw(self) -> tuple[NDArray[np.uint16], Correction]:
        """Give counts (angle, row, column), and the flat field and logarithm that make line integrals of them."""
        angles, rows, n = self.data.shape
        counts = np.rint(DARK + FLUX * np.exp(-np.clip(self.data, 0, 8))).astype(np.uint16)
        net = np.random.default_rng(1).normal(FLUX, FLUX / 100, (2, rows, n)).astype(np.float32)
        later = np.linspace(0, 1, angles, dtype=np.float32)
        dark = np.full((rows, n), DARK, np.float32)
        return counts, Correction(dark, net, np.zeros(angles, np.int32), later, log=True)


def make_job(columns: int, angles: int, rows: int) -> Job:
    """Make the job: angles over half a turn, a centre that is nothing special."""
    theta = np.arange(angles) * np.pi / angles
    center = (columns - 1) / 2 + 0.7
    u: Float64 = (np.arange(columns, dtype=np.float64) - center) * (2 / columns)
    z: Float64 = np.linspace(-0.4, 0.4, rows // 2) if rows > 2 else np.zeros(1)
    things = phantom(0.5)
    data = np.empty((angles, rows, columns), np.float32)
    for j, angle in enumerate(theta):
        data[j, : rows // 2] = line_integrals(things, angle, u, z)
    data[:, rows // 2 :] = np.random.default_rng(0).standard_normal((angles, rows - rows // 2, columns), np.float32)
    return Job(data, FbpPlan(theta, angular_weights(theta), response("ramp", columns, 2.0), center))


def random_pixels(n: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose pixels (row, column) of a slice inside the inscribed disc."""
    rng = np.random.default_rng(2)
    y, x = rng.integers(0, n, (2, 3 * count))
    inside = (x - (n - 1) / 2) ** 2 + (y - (n - 1) / 2) ** 2 <= ((n - 1) / 2) ** 2
    return y[inside][:count], x[inside][:count]


def definition(data: Float32, plan: FbpPlan, y: NDArray[np.int64], x: NDArray[np.int64]) -> Float64:
    """Evaluate the definition (contract, 5) in float64: Σ w q(θ, u), q a trigonometric polynomial.

    Parameters
    ----------
    data : ndarray, (angle, row, column), float32
    plan : FbpPlan
    y, x : ndarray, (pixel,), int
        Rows and columns of the slice.

    Returns
    -------
    ndarray, (row, pixel), float64
    """
    _, rows, n = data.shape
    padded, half = plan.padded, plan.padded // 2
    run = 64  # exp(i k φ) as a product of two short tables, so that the sum over k is a matrix product
    runs = -(-half // run)
    once = np.where(np.arange(half + 1) % half == 0, 1.0, 2.0) / padded  # k = 0 and P/2 are there once
    total = np.zeros((rows, len(x)))
    spectrum = np.zeros((rows, runs * run), np.complex128)
    for p, theta, weight in zip(data, plan.angles, plan.weights, strict=True):
        q = np.fft.rfft(p.astype(np.float64), padded, axis=1) * (plan.response * once)
        u = plan.center + (x - (n - 1) / 2) * np.cos(theta) + (y - (n - 1) / 2) * np.sin(theta)
        phase = 2j * np.pi / padded * u
        spectrum[:, :half] = q[:, :half]
        inner = spectrum.reshape(rows * runs, run) @ np.exp(np.arange(run)[:, None] * phase)
        outer = np.exp(np.arange(0, runs * run, run)[:, None] * phase)
        total += weight * (inner.reshape(rows, runs, -1) * outer).sum(axis=1).real
        total += weight * np.outer(q[:, half].real, np.cos(np.pi * u))
    return total * plan.scale


def relative_error(found: NDArray[np.floating], expected: Float64) -> float:
    """Give the relative L2 error."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
