"""The object as it is shown: cropped to where light fell, without the ramp that no data can tell; no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcdaas.ptycho.registration import spectral_peak
from hpcdaas.view.grey import Image, thin
from hpcdaas.view.ptycho_file import PtychoFile, Wave

#: Share of the usual light that a pixel needs to count for crop and grey levels; below the second it isn't drawn.
LIT, DRAWN = 0.1, 0.01

#: Pixels along each side that the phase ramp is found from: the middle tells it for all.
ENOUGH = 1024


@dataclass(frozen=True)
class Region:
    """Where light fell on the object.

    Attributes
    ----------
    part : tuple of slice
        The rows and columns that are shown: what is lit, and a little margin.
    lit, drawn : ndarray, (y, x), bool
        Within that part: pixels that grey levels are taken from, and those that are drawn.
    """

    part: tuple[slice, slice]
    lit: NDArray[np.bool_]
    drawn: NDArray[np.bool_]


@dataclass(frozen=True)
class Shown:
    """A mode of the object, or a layer, as it is shown.

    Attributes
    ----------
    wave : ndarray, (y, x), complex64
        Within the region, its mean phase 0 and without ramp.
    region : Region
        Where that is.
    ramp : tuple of float
        (y, x), cycles per pixel, that was taken away.
    """

    wave: Wave
    region: Region
    ramp: tuple[float, float]

    @property
    def phase(self) -> Image:
        """Phase, rad; NaN where hardly any light fell."""
        return self._drawn(np.angle(self.wave))

    @property
    def amplitude(self) -> Image:
        """Amplitude; NaN where hardly any light fell."""
        return self._drawn(np.abs(self.wave))

    def thinned(self, longest: int) -> Shown:
        """Give the same with no side longer than `longest` pixels."""
        lit, drawn = (thin(mask.astype(np.float32), longest) >= 0.5 for mask in (self.region.lit, self.region.drawn))
        return Shown(thin_wave(self.wave, longest), Region(self.region.part, lit, drawn), self.ramp)

    def only_lit(self, image: Image) -> Image:
        """Give the values of an image where enough light fell to judge them."""
        return image[self.region.lit] if self.region.lit.any() else image.ravel()

    def _drawn(self, image: Image) -> Image:
        return np.where(self.region.drawn, image, np.float32(np.nan)).astype(np.float32)


def region_of(file: PtychoFile) -> Region:
    """Find where light fell; where the file doesn't say, everywhere."""
    light = file.light()
    total = 0.0 if light is None else float(light.sum(dtype=np.float64))
    if light is None or total <= 0:
        everywhere = np.ones(file.shape[1:], np.bool_)
        return Region((slice(0, file.shape[1]), slice(0, file.shape[2])), everywhere, everywhere)
    # the light of the pixel that a photon usually falls on: dark margins of any width don't move it
    usual = float(np.square(light, dtype=np.float64).sum()) / total
    lit = light > LIT * usual
    y, x = (_span(np.asarray(lit.any(axis=1 - axis))) for axis in (0, 1))
    return Region((y, x), lit[y, x], (light > DRAWN * usual)[y, x])


def _span(lit: NDArray[np.bool_]) -> slice:
    """Give the range from the first lit line to the last, with a little margin."""
    at = np.flatnonzero(lit)
    first, last = (int(at[0]), int(at[-1])) if at.size else (0, len(lit) - 1)
    margin = max(2, (last - first) // 40)
    return slice(max(first - margin, 0), min(last + 1 + margin, len(lit)))


def shown(file: PtychoFile, mode: int = 0, region: Region | None = None) -> Shown:
    """Read a mode of the object as it is shown.

    Parameters
    ----------
    file : PtychoFile
        The result.
    mode : int
        Which one.
    region : Region, optional
        From `region_of`, where it is known already.
    """
    region = region or region_of(file)
    wave = file.object(mode, region.part)
    ramp = _ramp(wave, region.lit)
    tilt(wave, ramp, -1)
    mean = complex(np.sum(wave, where=region.lit if region.lit.any() else True, dtype=np.complex128))
    wave *= np.complex64(np.conj(mean) / abs(mean) if mean else 1)
    return Shown(wave, region, ramp)


def tilt(wave: Wave, ramp: tuple[float, float], sign: int) -> None:
    """Multiply by exp(± 2πi ramp·r), r from the middle, along the last two axes; in place, since objects are large."""
    y, x = (
        np.exp(sign * 2j * np.pi * k * (np.arange(n) - n // 2)).astype(np.complex64)
        for n, k in zip(wave.shape[-2:], ramp, strict=True)
    )
    wave *= y[:, None]
    wave *= x


def _ramp(wave: Wave, lit: NDArray[np.bool_]) -> tuple[float, float]:
    """Find the linear phase, cycles per pixel, that most of a wave has."""
    middle = tuple(slice(max((n - ENOUGH) // 2, 0), max((n - ENOUGH) // 2, 0) + ENOUGH) for n in wave.shape)
    size = np.abs(wave[middle])
    counted = lit[middle] & (size > 0)
    if min(size.shape) < 4 or not counted.any():
        return 0.0, 0.0
    # phases alone: a few bright pixels must not decide
    return spectral_peak(np.where(counted, wave[middle] / np.where(counted, size, 1), 0).astype(np.complex128))


def thin_wave(wave: Wave, longest: int) -> Wave:
    """Average blocks of a wave, as `thin` does: of waves, since phases of a block may lie on both sides of the wrap."""
    real, imaginary = (thin(np.ascontiguousarray(part), longest) for part in (wave.real, wave.imag))
    return np.asarray(real + 1j * imaginary, np.complex64)
