"""What the symmetry of a full turn says about the rotation axis.

A projection and the one half a turn later are mirror images about the axis:
p(θ + π, c + u) = p(θ, c − u). Both methods here look for the c that makes it true.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are first used: after the first block has begun to be read
from numpy.typing import NDArray

from hpcdaas.backend import Float32, Float64

#: Angular frequencies beyond the wedge's edge that a sample of that radius still reaches.
MARGIN = 3
#: Radius of a sample that reaches beyond the window it is seen through, in half widths of the window.
WIDER = 2.0
#: Share of the energy that two mirrored projections must both see.
LEAST_SEEN = 0.02
#: Steps per column at which candidates are tried.
FINE = 32


@dataclass(frozen=True)
class Curve:
    """How badly each candidate for the axis fits.

    Attributes
    ----------
    centers : ndarray, (n,)
        Candidates, columns, ascending.
    misfit : ndarray, (row, n)
        From about 0 (the symmetry holds) to 1 (no more than by chance) and above.
    weight : ndarray, (row,)
        Energy that each row brings.
    samples : float
        How many independent values were compared, over all rows.
    """

    centers: Float64
    misfit: Float64
    weight: Float64
    samples: float

    def joint(self) -> Curve:
        """Give the curve of all rows together."""
        total = float(self.weight.sum())
        share = self.weight / total if total > 0 else np.full(len(self.weight), 1 / len(self.weight))
        return Curve(self.centers, (share @ self.misfit)[None], np.array([total]), self.samples)

    def within(self, low: float, high: float) -> Curve:
        """Give the part of the curve from one column up to, without, another."""
        some = (self.centers >= low) & (self.centers < high)
        return Curve(self.centers[some], self.misfit[:, some], self.weight, self.samples)

    def best(self, row: int = 0) -> Minimum:
        """Give a row's best candidate, refined by a parabola."""
        y, x = self.misfit[row], self.centers
        i = int(y.argmin())
        if not 0 < i < len(x) - 1:
            return Minimum(float(x[i]), float(y[i]), np.inf, True)
        step = x[i + 1] - x[i]
        bend = float(y[i - 1] - 2 * y[i] + y[i + 1]) / step**2
        if bend <= 0:
            return Minimum(float(x[i]), float(y[i]), np.inf, False)
        shift = (y[i - 1] - y[i + 1]) / (2 * bend * step)
        # least squares: twice the residual per sample over the curvature
        error = np.sqrt(2 * max(y[i], 0.0) / (self.samples * bend))
        return Minimum(float(x[i] + shift), float(y[i]), float(error), False)


@dataclass(frozen=True)
class Minimum:
    """Where a curve is lowest: column, misfit, standard error for white noise, whether at an end of the curve."""

    center: float
    misfit: float
    error: float
    at_end: bool


def high_pass(data: Float32) -> Float32:
    """Take the coarse structure along columns away: the edges of a cut sample would be all one sees."""
    width = max(2.0, data.shape[-1] / 40)
    return np.asarray(data - scipy.ndimage.gaussian_filter1d(data, width, axis=-1, mode="nearest"))


def window(columns: int, center: float) -> tuple[Float32, float]:
    """Give a Hann window about a column as wide as the detector allows, and its half width."""
    half = min(center, columns - 1 - center) + 0.5
    u = (np.arange(columns) - center) / half
    return np.where(np.abs(u) < 1, np.cos(np.pi / 2 * u) ** 2, 0).astype(np.float32), half


def wedge(data: Float32, radius: float) -> tuple[Curve, Curve]:
    """Measure the energy that a mirrored half-turn brings outside the double wedge, for every axis.

    The Fourier transform of a full turn of projections vanishes where the angular frequency
    |k| exceeds 2πf times the sample's radius; half a turn, completed with its mirror image about
    a wrong axis, has a seam and leaks there (N. T. Vo et al., Opt. Express 22, 19078 (2014)).
    The leak is measured here as an energy, Σ |A + B exp(−4πifc)|² over the outside, A being the
    transform of the half-turn and B of its mirror image about column 0. In c that is a constant
    and a Fourier series, so that one inverse FFT gives it for all c at once. For white noise it is
    the least-squares answer.

    Whatever doesn't turn (rings, a background) is mirrored like the rest, and is a square wave
    over the full turn. In the second curve that is taken off A and B first: it is blind to
    everything static, and less exact where there is nothing static.

    Parameters
    ----------
    data : ndarray, (row, angle, column), float32
        Half a turn at even angles, the end left out; zero towards both sides.
    radius : float
        Of the sample, columns.

    Returns
    -------
    all, turning : Curve
    """
    rows, half, columns = data.shape
    padded = scipy.fft.next_fast_len(2 * columns, real=True)
    k = np.abs(scipy.fft.fftfreq(2 * half) * 2 * half).round()
    last = min(padded // 2, int(half / (2 * np.pi * radius) * padded))  # beyond, all is inside
    f = np.arange(last + 1) / padded
    outside = k[:, None] > 2 * np.pi * f * radius + MARGIN
    outside[:, 0] = False  # a constant has no axis
    square = scipy.fft.fft(np.repeat(np.array([1, -1], np.complex64), half))
    power = np.abs(square) ** 2 @ outside
    scale = np.divide(1, power, out=np.zeros(last + 1), where=power > 0)
    cross = np.empty((2, rows, last + 1), np.complex128)
    energy = np.empty((2, rows))
    for row in range(rows):
        a = scipy.fft.fft(scipy.fft.rfft(data[row], padded, axis=1)[:, : last + 1], 2 * half, axis=0)
        # mirrored columns conjugate f, so B(k) is conj A(−k); half a turn later is a factor (−1)^k
        b = np.conj(np.roll(a[::-1], 1, axis=0)) * np.where(k % 2, -1, 1).astype(np.float32)[:, None]
        a, b = a * outside, b * outside
        static_a, static_b = np.conj(square) @ a, np.conj(square) @ b
        cross[0, row] = np.einsum("kf,kf->f", np.conj(a), b)
        cross[1, row] = cross[0, row] - np.conj(static_a) * static_b * scale
        energy[0, row] = np.linalg.norm(a) ** 2
        energy[1, row] = energy[0, row] - float(((np.abs(static_a) ** 2 + np.abs(static_b) ** 2) * scale).sum()) / 2
    samples = rows * columns * float(np.count_nonzero(outside)) / padded
    return _series(cross[0], energy[0], padded, samples), _series(cross[1], energy[1], padded, samples)


def _series(cross: NDArray[np.complex128], energy: Float64, padded: int, samples: float) -> Curve:
    """Sum 1 + Re cross · exp(−4πifc) / energy over f, for all c."""
    length = scipy.fft.next_fast_len(FINE // 2 * padded, real=True)
    # twice the positive frequencies is what the inverse real transform sums
    wave = scipy.fft.irfft(np.conj(cross), length, axis=1) * length / 2
    misfit = 1 + np.divide(wave, energy[:, None], out=np.zeros_like(wave), where=energy[:, None] > 0)
    return Curve(np.arange(length) * padded / length / 2, misfit, energy, samples)


def local(data: Float32, middles: Float64) -> tuple[Curve, Curve]:
    """Give the curves of `wedge` from what lies near the axis: for each candidate a window about it.

    Parameters
    ----------
    data : ndarray, (row, angle, column), float32
        Half a turn, high-passed.
    middles : ndarray, (n,)
        Middles of the windows, evenly spaced; each stands for the candidates nearest to it.

    Returns
    -------
    all, turning : Curve
    """
    columns = data.shape[2]
    step = middles[1] - middles[0] if len(middles) > 1 else 0.04 * columns
    pieces: tuple[list[Curve], list[Curve]] = ([], [])
    bounds = middles[0] + step * (np.arange(len(middles) + 1) - 0.5)  # shared, so that no candidate comes twice
    for middle, low, high in zip(middles, bounds[:-1], bounds[1:], strict=True):
        shape, half = window(columns, middle)
        for piece, curve in zip(pieces, wedge(data * shape, WIDER * half), strict=True):
            piece.append(curve.within(low, high))
    both = [
        Curve(
            np.concatenate([c.centers for c in piece]),
            np.concatenate([c.misfit for c in piece], axis=1),
            np.mean([c.weight for c in piece], axis=0),
            float(np.mean([c.samples for c in piece])),
        )
        for piece in pieces
    ]
    return both[0], both[1]


def mirror(left: Float32, right: Float32, low: float, high: float) -> Curve:
    """Compare projections with the mirror images of those half a turn later, over the columns both see.

    The normalized correlation, on fractions of a column by FFT as in M. Guizar-Sicairos et al.,
    Opt. Lett. 33, 156 (2008); what a shift moves off the detector counts for neither side.

    Parameters
    ----------
    left, right : ndarray, (row, pair, column), float32
        Projections and those half a turn later.
    low, high : float
        Candidates, columns.

    Returns
    -------
    Curve
        misfit is 1 − correlation.
    """
    columns = left.shape[2]
    padded = scipy.fft.next_fast_len(2 * columns, real=True)
    product = (scipy.fft.rfft(left, padded, axis=2) * scipy.fft.rfft(right, padded, axis=2)).sum(axis=1)
    length = FINE // 2 * padded
    convolution = scipy.fft.irfft(product, length, axis=1) * (length / padded)  # at 2c, in steps of 2 / FINE columns
    centers = np.arange(length) / FINE
    some = (centers >= low) & (centers <= high)
    centers = centers[some]
    # with u' = 2c − u the columns that both see are first … last
    first, last = np.maximum(0, 2 * centers - (columns - 1)), np.minimum(columns - 1, 2 * centers)
    edges = np.arange(columns + 1) - 0.5
    seen, whole = np.ones((len(left), len(centers))), np.ones(len(left))
    for side in (left, right):
        for row, energy in enumerate((side.astype(np.float64) ** 2).sum(axis=1)):
            below = np.concatenate([[0.0], np.cumsum(energy)])
            both = np.interp(last + 0.5, edges, below) - np.interp(first - 0.5, edges, below)
            seen[row] *= np.maximum(both, 0)
            whole[row] *= below[-1]
    # where hardly anything of the sample is seen, correlations are chance
    scale = np.sqrt(np.maximum(seen, LEAST_SEEN**2 * whole[:, None]))
    correlation = np.divide(convolution[:, some], scale, out=np.zeros_like(scale), where=scale > 0)
    return Curve(centers, 1 - correlation, np.sqrt(whole), float(left.size))
