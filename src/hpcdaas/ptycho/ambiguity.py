"""What ptychography can't know, removed before two objects are compared: scale, phase, ramp and shift.

With every view's exit wave P(u) O(u + p) the same but for what the detector doesn't see, these
leave the frames as they are:

- a factor: c O with P / c;
- a linear phase on the object, e^{2πi k·r} O(r), with e^{-2πi k·u} P(u): each view is left with a
  phase e^{2πi k·p}. For the probe it is a shift of its spectrum;
- a shift of both, O(r − s) with P(u − s): the exit wave moves, and so the phase of its spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.ptycho.registration import (
    Complex,
    Complex128,
    Float64,
    Pair,
    inside,
    local_shifter,
    mirrored,
    periodic_shifter,
    register,
    shifted,
    spectral_peak,
    times_ramp,
)

#: The fit ends when shift (pixels) and ramp (cycles across the image) move by less.
STABLE = 1e-5
ROUNDS = 30
#: Pixels beside the lit ones that are still looked at.
NEAR = 4


@dataclass(frozen=True)
class Ambiguity:
    """How one image follows from another: found(r) ≈ factor · exp(2πi ramp·(r − middle)) · reference(r − shift).

    Attributes
    ----------
    shift : tuple of float
        (y, x), pixels.
    ramp : tuple of float
        (y, x), cycles per pixel.
    factor : complex
        Scale and global phase, at the middle, index n // 2 of both axes.
    """

    shift: Pair
    ramp: Pair
    factor: complex

    def undo(self, found: Complex, weight: NDArray[Any] | None = None) -> Complex:
        """Give a copy of an object that lies on the reference, (y, x), in its own dtype.

        Where the reference has no weight, values may be anything: they don't reach into the rest.
        Pixels that the shift takes from beyond a border mean nothing.
        """
        level = times_ramp(np.asarray(found, np.complex128), self.ramp, -1)
        if weight is not None:
            level = _without_dark(level, weight, self.shift)
        return np.asarray(shifted(level, self.shift) / self.factor).astype(found.dtype)

    def undo_probe(self, probe: Complex) -> Complex:
        """Give a copy of the probe, (..., y, x), that goes with the object of `undo`; its global phase stays free."""
        level = times_ramp(np.asarray(probe, np.complex128), self.ramp, +1)
        spectrum = scipy.fft.fft2(level) * periodic_shifter(level.shape, self.shift)
        return np.asarray(scipy.fft.ifft2(spectrum) * self.factor).astype(probe.dtype)


def align(found: Complex, reference: Complex, weight: NDArray[Any] | None = None) -> Complex:
    """Lay an object upon another: remove scale, global phase, linear phase ramp and sub-pixel shift.

    Parameters
    ----------
    found, reference : ndarray, (y, x), complex64 or complex128
        Two objects of the same shape, for example a reconstruction and the truth.
    weight : ndarray, (y, x), real or bool, optional
        What a pixel of the reference counts, for example its illumination; 1 if not given.

    Returns
    -------
    ndarray, (y, x), dtype of `found`

    Raises
    ------
    InputError
        As of `find_ambiguity`.
    """
    return find_ambiguity(found, reference, weight).undo(found, weight)


def relative_error(aligned: Complex, truth: Complex, weight: NDArray[Any] | None = None) -> float:
    """Give √(Σ w|aligned − truth|² / Σ w|truth|²).

    Parameters
    ----------
    aligned, truth : ndarray, (y, x), complex
        As `align` leaves them.
    weight : ndarray, (y, x), real or bool, optional
        1 if not given.
    """
    w = _weights(aligned, truth, weight)
    return float(np.sqrt(np.sum(w * np.abs(aligned - truth) ** 2) / np.sum(w * np.abs(truth) ** 2)))


def find_ambiguity(found: Complex, reference: Complex, weight: NDArray[Any] | None = None) -> Ambiguity:
    """Find by what two objects differ that no measurement could tell.

    The start doesn't need the ramp: products of neighbours, f(r + 1) f*(r), turn it into a
    constant, and are registered by cross-correlation. The ramp is then the peak of the spectrum
    of found · reference*. From there Gauss-Newton steps make Σ w |reference − a g|² least, g the
    found object without ramp and shift: ramp, shift and factor together, since each alters what
    is best for the others.

    Parameters
    ----------
    found, reference : ndarray, (y, x), complex64 or complex128
        Two objects of the same shape.
    weight : ndarray, (y, x), real or bool, optional
        What a pixel of the reference counts; 1 if not given.

    Returns
    -------
    Ambiguity

    Raises
    ------
    InputError
        If shapes differ, weights are negative or all zero, an image is zero where it counts, or not finite.
    """
    w = _weights(found, reference, weight)
    f, t = (np.asarray(image, np.complex128) for image in (found, reference))
    if not (np.isfinite(f).all() and np.isfinite(t).all()):
        raise InputError("The objects hold values that aren't finite.", "Compare the parts that were illuminated.")
    w = w / w.max()
    if not (np.any(w * np.abs(f)) and np.any(w * np.abs(t))):
        raise InputError("One of the objects is zero where they are compared.")
    shift, ramp = _start(f, t, w)
    level = _without_dark(times_ramp(f, ramp, -1), w, shift)
    best = _fit(level, t, w, shift)
    whole = best.ramp + np.array(ramp)
    return Ambiguity((float(best.shift[0]), float(best.shift[1])), (float(whole[0]), float(whole[1])), 1 / best.scale)


def _weights(found: NDArray[Any], reference: NDArray[Any], weight: NDArray[Any] | None) -> Float64:
    """Check shapes, and give the weights as float64."""
    if found.ndim != 2 or found.shape != reference.shape:
        raise InputError(f"Objects of the shapes {found.shape} and {reference.shape} can't be compared.")
    if weight is None:
        return np.ones(found.shape)
    if weight.shape != found.shape:
        raise InputError(f"Weights of the shape {weight.shape} don't fit objects of {found.shape}.")
    w = np.asarray(weight, np.float64)
    if not (np.isfinite(w).all() and w.min() >= 0 and w.max() > 0):
        raise InputError("Weights must be finite, not negative, and not all zero.")
    return w


def _start(f: Complex128, t: Complex128, w: Float64) -> tuple[Pair, Pair]:
    """Give a first shift and ramp: the best of several ways."""
    still = spectral_peak(f * np.conj(t) * w)
    level = times_ramp(f, still, -1)
    shifts = [(0.0, 0.0), _register_products(f, t, w), register(w * (level - _mean(level, w)), w * (t - _mean(t, w)))]
    best, score = (shifts[0], still), -1.0
    for shift in shifts:
        moved = shifted(f, shift)
        counted = w * inside(f.shape, shift)
        ramp = spectral_peak(moved * np.conj(t) * counted)
        flat = times_ramp(moved, ramp, -1)
        norm = np.sqrt(np.sum(counted * np.abs(flat) ** 2) * np.sum(counted * np.abs(t) ** 2))
        alike = np.abs(np.sum(counted * flat * np.conj(t))) / max(norm, np.finfo(float).tiny)
        if counted.sum() > 0.25 * w.sum() and alike > score:
            best, score = (shift, ramp), float(alike)
    return best


def _register_products(f: Complex128, t: Complex128, w: Float64) -> Pair:
    """Register products of neighbours, which a ramp alters by a phase only."""
    spectrum = 0.0
    for axis in range(2):
        pair = []
        for image in (f, t):
            product = np.conj(image) * np.roll(image, -1, axis)
            pair.append(scipy.fft.fft2(w * (product - _mean(product, w))))
        correlation = scipy.fft.ifft2(pair[0] * np.conj(pair[1]))
        spectrum = spectrum + np.abs(correlation) ** 2
    peak = np.unravel_index(np.argmax(spectrum), f.shape)
    y, x = (float((p + n // 2) % n - n // 2) for p, n in zip(peak, f.shape, strict=True))
    return y, x


def _without_dark(level: Complex128, weight: NDArray[Any], shift: Pair) -> Complex128:
    """Put the nearest value that was lit in place of what is far from all light: an interpolation would spread it."""
    near = scipy.ndimage.binary_dilation(weight > 0, iterations=NEAR)
    lit = np.roll(near, tuple(round(s) for s in shift), (0, 1))
    if lit.all():
        return level
    nearest = scipy.ndimage.distance_transform_edt(~lit, return_distances=False, return_indices=True)
    return np.asarray(level[tuple(nearest)])


def _mean(image: Complex128, w: Float64) -> complex:
    return complex(np.sum(w * image) / w.sum())


@dataclass(frozen=True)
class _Trial:
    """A shift and a ramp, and how well they do: all that a Gauss-Newton step from here needs."""

    shift: Float64
    ramp: Float64
    scale: complex
    cost: float
    normal: Float64
    right: Float64


def _try(f: Complex128, t: Complex128, w: Float64, shift: Float64, ramp: Float64) -> _Trial:
    """Work out g, its best factor a, Σ w |t − a g|², and the normal equations of a, shift and ramp."""
    padded, cut = mirrored(times_ramp(f, ramp, -1))
    spectrum = scipy.fft.fft2(padded) * local_shifter(padded.shape, shift)
    g = np.asarray(scipy.fft.ifft2(spectrum)[cut])
    along = [2j * pi * np.fft.fftfreq(n) for n in padded.shape]
    w = w * inside(f.shape, shift)
    a = complex(np.sum(w * np.conj(g) * t) / max(np.sum(w * np.abs(g) ** 2), np.finfo(float).tiny))
    error = t - a * g
    # the ramp in cycles across the image: its equations are then as large as those of the shift
    y, x = (-2j * pi / n * (np.arange(n) - n // 2 + s) for n, s in zip(f.shape, shift, strict=True))
    columns = np.empty((6, *f.shape), np.complex128)
    columns[0], columns[1] = g, 1j * g
    columns[2] = a * scipy.fft.ifft2(spectrum * along[0][:, None])[cut]
    columns[3] = a * scipy.fft.ifft2(spectrum * along[1])[cut]
    columns[4], columns[5] = a * g * y[:, None], a * g * x
    # the steps are real: real and imaginary parts are equations of their own
    columns *= np.sqrt(w)
    rows = columns.reshape(6, -1).view(np.float64)
    normal, right = rows @ rows.T, rows @ (np.sqrt(w) * error).reshape(-1).view(np.float64)
    # a shift that drops pixels must not look better for it
    cost = float(np.sum(w * np.abs(error) ** 2) / max(w.sum(), np.finfo(float).tiny))
    return _Trial(shift, ramp, a, cost, normal, right)


def _fit(f: Complex128, t: Complex128, w: Float64, shift: Pair) -> _Trial:
    """Make Σ w |t − a g|² least by Gauss-Newton steps, damped where they don't help (Levenberg and Marquardt)."""
    size = np.array(f.shape, np.float64)
    now, damping = _try(f, t, w, np.array(shift), np.zeros(2)), 0.0
    for _ in range(ROUNDS):
        matrix = now.normal + damping * np.diag(np.diag(now.normal))
        step = np.clip(np.linalg.lstsq(matrix, now.right, rcond=1e-12)[0][2:], -1, 1)
        then = _try(f, t, w, now.shift + step[:2], now.ramp + step[2:] / size)
        stable = bool(np.abs(step).max() < STABLE)
        if stable or then.cost <= now.cost:
            now, damping = then, damping / 10
        else:
            damping = max(10 * damping, 1e-2)
        if stable:
            break
    return now
