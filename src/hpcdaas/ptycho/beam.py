"""Beams for simulated ptychography: the cone of a zone plate out of focus, a rough beam, and the modes of either.

Spectra are in the order of the discrete Fourier transform (frequency 0 first), waves have their
middle at index n // 2. Waves go on as exp(+ikz), so a transmission retards with negative phase.
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

Complex128 = NDArray[np.complex128]
Float64 = NDArray[np.float64]


def frequencies(size: int, pixel: float) -> Float64:
    """Give the square of the spatial frequency, (size, size), float64, in 1/m² for a pixel in m."""
    f2 = np.fft.fftfreq(size, pixel) ** 2
    return np.asarray(f2[:, None] + f2)


def fresnel_transfer(size: int, pixel: float, wavelength: float, distance: float) -> Complex128:
    """Give Fresnel's transfer function, the angular spectrum's phase to second order.

    J. W. Goodman, Introduction to Fourier Optics (3rd ed., 2005), eq. 4-21: H = exp(-iπλz k²),
    without the constant phase exp(2πiz/λ).

    Parameters
    ----------
    size : int
        Rows and columns.
    pixel, wavelength, distance : float
        m; a negative distance goes back.

    Returns
    -------
    ndarray, (size, size), complex128
    """
    return np.asarray(np.exp(-1j * pi * wavelength * distance * frequencies(size, pixel)))


def zone_plate(size: int, pixel: float, outer_zone: float, central_stop: float) -> Complex128:
    """Give the spectrum of the focus of a zone plate: a ring whose edges are soft over one frequency.

    D. Attwood, Soft X-Rays and Extreme Ultraviolet Radiation (1999), eq. 9.29: the numerical
    aperture is λ/(2Δr), so frequencies up to 1/(2Δr) pass, Δr the width of the outermost zone.

    Parameters
    ----------
    size : int
        Rows and columns.
    pixel : float
        Of the object, m.
    outer_zone : float
        Δr, m.
    central_stop : float
        Its diameter over the zone plate's.

    Returns
    -------
    ndarray, (size, size), complex128
    """
    k = np.sqrt(frequencies(size, pixel)) * (size * pixel)  # in steps of the spectrum
    edge = size * pixel / (2 * outer_zone)
    stopped = np.clip(central_stop * edge - k + 0.5, 0, 1) if central_stop else 0.0
    return np.asarray(np.clip(edge - k + 0.5, 0, 1) - stopped, np.complex128)


def rough_beam(size: int, rng: np.random.Generator) -> Complex128:
    """Give the spectrum of a beam that fills the frame behind a diffuser: near-field data need structure in it.

    Parameters
    ----------
    size : int
        Rows and columns.
    rng : numpy.random.Generator
        Makes the diffuser.

    Returns
    -------
    ndarray, (size, size), complex128
        Of a wave that falls to zero at the frame's borders, with phases smooth over some pixels.
    """
    grain = np.exp(-2 * (pi * 2.5) ** 2 * frequencies(size, 1.0))
    height = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * grain).real
    from_border = 0.5 - np.abs((np.arange(size) - size // 2) / size)
    window = np.sin(0.5 * pi * np.clip(from_border / 0.15, 0, 1)) ** 2
    beam = window[:, None] * window * np.exp(1.5j * height / height.std())
    soft = np.exp(-2 * (pi * 0.7) ** 2 * frequencies(size, 1.0))
    return np.asarray(np.fft.fft2(np.fft.ifftshift(beam)) * soft)


def modes_of(spectrum: Complex128, powers: tuple[float, ...]) -> Complex128:
    """Make orthogonal modes of a partly coherent beam from the spectrum of the coherent one.

    A source of finite size gives shifted copies of one probe (P. Thibault and A. Menzel, Nature
    494, 68 (2013)): its spectrum A(k) times linear phases. The leading combinations of these are
    A times the polynomials 1, x, y, x², xy, y², … of k, made orthogonal in this order.

    Parameters
    ----------
    spectrum : ndarray, (size, size), complex128
        Frequency 0 first.
    powers : tuple of float
        Of the modes, at most 10.

    Returns
    -------
    ndarray, (mode, size, size), complex128
        Waves with their middle at index n // 2, orthogonal, Σ|P_m|² = `powers` in falling order.
    """
    size = len(spectrum)
    k = 2 * np.fft.fftfreq(size)
    orders = [(i, total - i) for total in range(4) for i in range(total + 1)][: len(powers)]
    columns = [(spectrum * (k[:, None] ** i * k**j)).ravel() for i, j in orders]
    basis, triangle = np.linalg.qr(np.stack(columns, axis=1))
    # the factors are unique up to phases: these leave every mode in phase with its polynomial
    phases = np.diag(triangle) / np.abs(np.diag(triangle))
    basis = basis * phases * np.sqrt(sorted(powers, reverse=True))
    modes = np.fft.ifft2(basis.T.reshape(-1, size, size), norm="ortho")
    return np.asarray(np.fft.fftshift(modes, axes=(-2, -1)))
