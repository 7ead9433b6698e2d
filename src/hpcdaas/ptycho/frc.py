"""Fourier ring correlation: up to which spatial frequency two objects agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.ptycho.ambiguity import align
from hpcdaas.ptycho.registration import Complex, Float64

#: Share of an edge over which images fade out, on each side.
SOFT = 0.25
#: The innermost rings hold few pixels and the window's own spectrum.
INNERMOST = 3
#: Smallest image, pixels along an edge.
SMALLEST = 16


@dataclass(frozen=True)
class RingCorrelation:
    """How two images agree, ring by ring of their spectra.

    Attributes
    ----------
    frequency : ndarray, (k,), float64
        Middle of each ring, 1/m; the last one is at the Nyquist frequency.
    frc : ndarray, (k,), float64
        Correlation: 1 for the same, about 0 for nothing in common.
    half_bit, one_bit : ndarray, (k,), float64
        Thresholds: where a ring holds half a bit, or one bit, of information per pixel.
    resolution : float
        Half a period, m, at which `frc` first falls below `half_bit`; a pixel where it never does.
    """

    frequency: Float64
    frc: Float64
    half_bit: Float64
    one_bit: Float64
    resolution: float


def ring_correlation(first: Complex, second: Complex, pixel: tuple[float, float]) -> RingCorrelation:
    """Correlate two images of the same place over rings of their spectra.

    FRC(f) = Re Σ F₁F₂* / √(Σ|F₁|² Σ|F₂|²) over a ring, after scale, phase, ramp and sub-pixel shift are removed and
    the edges faded out: W. O. Saxton, W. Baumeister, J. Microsc. 127, 127 (1982). Thresholds for n independent pixels
    in a ring: M. van Heel, M. Schatz, J. Struct. Biol. 151, 250 (2005), eqs. 12 to 17.

    Parameters
    ----------
    first, second : ndarray, (y, x), complex
        Of the same shape, at least 16 × 16.
    pixel : tuple of float
        (y, x), m.

    Returns
    -------
    RingCorrelation

    Raises
    ------
    InputError
        If the shapes differ or are too small, or an image is empty.
    """
    if first.shape != second.shape or min(first.shape) < SMALLEST:
        raise InputError(f"Images of {first.shape} and {second.shape} pixels can't be correlated ring by ring.")
    window = _window(first.shape)
    spectra = [_spectrum(image, window) for image in (first, align(second, first))]
    ring, step = _rings(first.shape, pixel)
    count = int(ring[ring >= 0].max()) + 1
    inside = ring >= 0

    def add(values: NDArray[Any]) -> Float64:
        return np.asarray(np.bincount(ring[inside], values[inside], count)[1:], np.float64)

    both = add((spectra[0] * spectra[1].conj()).real)
    powers = [add(np.abs(spectrum) ** 2) for spectrum in spectra]
    frc = np.asarray(both / np.sqrt(np.maximum(powers[0] * powers[1], np.finfo(np.float64).tiny)))
    # a window makes neighbouring pixels of the spectrum alike
    share = float((window**2).sum() ** 2 / (window**4).sum()) / window.size
    root = np.sqrt(np.maximum(add(np.ones(ring.shape)) * share, 1.0))
    half_bit, one_bit = _threshold(0.5, root), _threshold(1.0, root)
    frequency = np.asarray(step * np.arange(1, count), np.float64)
    return RingCorrelation(frequency, frc, half_bit, one_bit, _resolution(frequency, frc - half_bit))


def _threshold(bits: float, root: Float64) -> Float64:
    """Give the correlation of two images whose sum holds some bits per pixel, for √n of n pixels in a ring."""
    snr = (2.0**bits - 1) / 2  # of one image: two halves together have twice as much
    chance = 1 / root
    return np.asarray((snr + 2 * np.sqrt(snr) * chance + chance) / (snr + 1 + 2 * np.sqrt(snr) * chance), np.float64)


def _window(shape: tuple[int, ...]) -> Float64:
    """Give weights that fade out towards the edges (Tukey's window)."""
    edges = []
    for n in shape:
        place = (np.arange(n) + 0.5) / n
        depth = np.minimum(np.minimum(place, 1 - place) / SOFT, 1)
        edges.append(np.sin(np.pi / 2 * depth) ** 2)
    return np.asarray(edges[0][:, None] * edges[1])


def _spectrum(image: Complex, window: Float64) -> NDArray[np.complex128]:
    values = image.astype(np.complex128)
    return np.asarray(np.fft.fft2((values - (values * window).sum() / window.sum()) * window))


def _rings(shape: tuple[int, ...], pixel: tuple[float, float]) -> tuple[NDArray[np.int64], float]:
    """Give the ring of each pixel of a spectrum, −1 beyond the Nyquist frequency, and the rings' distance in 1/m."""
    step = 1 / min(n * p for n, p in zip(shape, pixel, strict=True))
    y, x = (np.fft.fftfreq(n, p) for n, p in zip(shape, pixel, strict=True))
    ring = np.rint(np.hypot(y[:, None], x) / step).astype(np.int64)
    return np.where(ring * step <= 0.5 / max(pixel) * (1 + 1e-9), ring, -1), step


def _resolution(frequency: Float64, above: Float64) -> float:
    """Give half a period where the curve first goes below its threshold for more than one ring."""
    for i in range(INNERMOST, len(above) - 1):
        if above[i] < 0 and above[i + 1] < 0:
            share = above[i - 1] / (above[i - 1] - above[i]) if above[i - 1] > 0 else 0.0
            return float(0.5 / (frequency[i - 1] + share * (frequency[i] - frequency[i - 1])))
    return float(0.5 / frequency[-1])
