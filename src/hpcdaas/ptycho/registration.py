"""Registration of images to a fraction of a pixel, and shifts by a fraction of one."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Complex = NDArray[np.complexfloating[Any, Any]]
Complex128 = NDArray[np.complex128]
Float64 = NDArray[np.float64]
Pair = tuple[float, float]

#: Reach of the interpolation, pixels: what is dark or beyond a border reaches no farther.
REACH = 24
#: Of Kaiser's window on the interpolation: 1e-3 up to 0.46 cycles per pixel.
KAISER = 6.0


def register(found: Complex, reference: Complex, upsampling: int = 100) -> Pair:
    """Find the shift between two images at the peak of their cross-correlation.

    M. Guizar-Sicairos, S. T. Thurman and J. R. Fienup, Opt. Lett. 33, 156 (2008): the peak of the
    FFT's cross-correlation, then the correlation about it on a grid finer by `upsampling`, as a
    product of three matrices.

    Parameters
    ----------
    found, reference : ndarray, (y, x), complex or real
        Of one shape, taken as periodic.
    upsampling : int
        The answer is a multiple of 1 / upsampling.

    Returns
    -------
    tuple of float
        (y, x) in pixels: found(r) ≈ reference(r − shift).
    """
    product = scipy.fft.fft2(found) * np.conj(scipy.fft.fft2(reference))
    peak = np.unravel_index(np.argmax(np.abs(scipy.fft.ifft2(product))), product.shape)
    coarse = [float((p + n // 2) % n - n // 2) for p, n in zip(peak, product.shape, strict=True)]
    places = [np.asarray(np.fft.fftfreq(n), np.float64) for n in product.shape]
    return _finer(product, places, coarse, 1.0, upsampling, +1)


def spectral_peak(product: Complex128) -> Pair:
    """Find the frequency, cycles per pixel, at which the spectrum of an image has its peak."""
    peak = np.unravel_index(np.argmax(np.abs(scipy.fft.fft2(product))), product.shape)
    coarse = [float(np.fft.fftfreq(n)[p]) for p, n in zip(peak, product.shape, strict=True)]
    places = [np.linspace(-(n // 2), (n - 1) // 2, n) for n in product.shape]
    first = _finer(product, places, coarse, 1 / min(product.shape), 20, -1)
    return _finer(product, places, list(first), 0.05 / min(product.shape), 20, -1)


def _finer(values: Complex128, places: list[Float64], coarse: list[float], reach: float, steps: int, sign: int) -> Pair:
    """Find where |Σ values e^{± 2πi places·u}| is largest within `reach` of a coarse u, on a grid of reach / steps."""
    offsets = np.arange(-steps, steps + 1) * (reach / steps)
    left, right = (
        np.exp(sign * 2j * pi * np.outer(c + offsets, place)) for c, place in zip(coarse, places, strict=True)
    )
    i, j = np.unravel_index(np.argmax(np.abs(left @ values @ right.T)), (len(offsets), len(offsets)))
    return float(coarse[0] + offsets[i]), float(coarse[1] + offsets[j])


def shifted(image: Complex128, shift: Pair | Float64) -> Complex128:
    """Give image(r + shift), (y, x), by a sinc under Kaiser's window; beyond its borders the image is mirrored."""
    padded, cut = mirrored(image)
    return np.asarray(scipy.fft.ifft2(scipy.fft.fft2(padded) * local_shifter(padded.shape, shift))[cut])


def times_ramp(image: Complex128, ramp: Pair | Float64, sign: int) -> Complex128:
    """Multiply by exp(± 2πi ramp·(r − middle)) along the last two axes."""
    y, x = (np.exp(sign * 2j * pi * k * (np.arange(n) - n // 2)) for n, k in zip(image.shape[-2:], ramp, strict=True))
    return np.asarray(image * (y[:, None] * x))


def periodic_shifter(shape: tuple[int, ...], shift: Pair | Float64) -> Complex128:
    """Give the factors on a spectrum that make image(r + shift) of a periodic image, for its last two axes."""
    factors = []
    for n, s in zip(shape[-2:], shift, strict=True):
        along = np.exp(2j * pi * np.fft.fftfreq(n) * s)
        if n % 2 == 0:
            # half a cycle per pixel stands for both of its signs
            along[n // 2] = np.cos(pi * s)
        factors.append(along)
    return np.asarray(factors[0][:, None] * factors[1])


def local_shifter(shape: tuple[int, ...], shift: Pair | Float64) -> Complex128:
    """Give the factors on a spectrum that make image(r + shift) by an interpolation that reaches `REACH` pixels.

    A shift of the periodic image would be exact for a band-limited one, but a jump at a border,
    or between what was lit and what wasn't, would then ring through all of it.
    """
    factors = []
    for n, s in zip(shape, shift, strict=True):
        # convolution with k(d) = h(d + s), h the interpolation's kernel
        d = np.arange(-REACH, REACH + 1) - round(s)
        at = d + s
        window = np.i0(KAISER * np.sqrt(np.maximum(1 - (at / (REACH + 1)) ** 2, 0))) / np.i0(KAISER)
        kernel = np.zeros(n)
        np.add.at(kernel, d % n, np.sinc(at) * window)
        factors.append(scipy.fft.fft(kernel))
    return np.asarray(factors[0][:, None] * factors[1])


def mirrored(image: Complex128) -> tuple[Complex128, tuple[slice, slice]]:
    """Mirror an image beyond its borders, to lengths that transform fast; and say where it is in that."""
    before = [REACH, REACH]
    after = [scipy.fft.next_fast_len(n + 2 * REACH) - n - REACH for n in image.shape]
    padded = np.pad(image, list(zip(before, after, strict=True)), mode="symmetric")
    return padded, (slice(before[0], before[0] + image.shape[0]), slice(before[1], before[1] + image.shape[1]))


def inside(shape: tuple[int, ...], shift: Pair | Float64) -> Float64:
    """Say where r + shift lies within the image, (y, x): 1 or 0."""
    y, x = ((np.arange(n) + s >= -0.5) & (np.arange(n) + s <= n - 0.5) for n, s in zip(shape, shift, strict=True))
    return np.asarray(y[:, None] * x, np.float64)
