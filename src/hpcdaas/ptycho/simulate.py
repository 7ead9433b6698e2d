"""Simulated ptychographic scans whose truth is known: a sample, a partly coherent probe, and a photon counter.

The direct beam is at index n // 2 of both axes of a frame. In the far field the wave at the
detector is the unitary discrete Fourier transform, with exp(-2πi …), of the probe times the
object within the view's window; it is this that the frames hold, exactly. A position is that of
the view's centre, index n // 2 of its window, measured from the centre of object pixel (0, 0).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import pi
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hpcdaas.params import Energy, Length, Parameters
from hpcdaas.ptycho.beam import fresnel_transfer, modes_of, rough_beam, zone_plate
from hpcdaas.ptycho.patterns import fermat_spiral, raster
from hpcdaas.ptycho.phantom import sample
from hpcdaas.scan import PLANCK_LIGHT, PtychoScan

Complex128 = NDArray[np.complex128]
Float64 = NDArray[np.float64]
Uint16 = NDArray[np.uint16]

#: Object pixels outside of the outermost windows, on each side.
MARGIN = 4
#: What a pixel of the detector that can't count shows.
BAD = 65535


class SimulationParameters(Parameters):
    """What is simulated."""

    views: int = Field(250, ge=1, description="diffraction frames")
    size: int = Field(128, ge=16, description="rows and columns of a frame")
    step: Length = Field(0.28e-6, gt=0, description="mean distance of neighbouring views, m")
    pattern: Literal["fermat", "raster"] = Field("fermat", description="spiral of Fermat, or a raster with jitter")
    jitter: float = Field(0.3, ge=0, le=1, description="of the raster's positions, share of a step")
    subpixel: bool = Field(False, description="views between object pixels too; far field only")
    energy: Energy = Field(6200.0, gt=0, description="eV")
    distance: Length = Field(1.0, gt=0, description="sample to detector, m")
    pixel_size: Length = Field(75e-6, gt=0, description="of the detector, m")
    focus_distance: Length | None = Field(None, gt=0, description="focus to sample, m: frames of the near field")
    outer_zone: Length = Field(60e-9, gt=0, description="width of the zone plate's outermost zone, m; far field")
    central_stop: float = Field(0.35, ge=0, lt=1, description="its diameter, share of the zone plate's; far field")
    defocus: Length = Field(300e-6, description="sample downstream of the focus, m; far field")
    mode_powers: tuple[float, ...] = Field(
        (1.0,), min_length=1, max_length=10, description="powers of the probe's orthogonal modes, any unit"
    )
    photons: float = Field(1e6, gt=0, description="in the probe of a view")
    gap: int = Field(3, ge=0, description="columns between two modules of the detector, which measure nothing")
    dead: int = Field(5, ge=0, description="pixels that can't count")
    seed: int = Field(0, ge=0, description="of all random numbers")

    @model_validator(mode="after")
    def _possible(self) -> SimulationParameters:
        """Refuse what the model can't hold."""
        if min(self.mode_powers) <= 0:
            raise ValueError("the power of a mode must be more than 0")
        if self.focus_distance is not None:
            if self.subpixel:
                raise ValueError("views of the near field lie on object pixels: subpixel = true is for the far field")
        elif self.object_pixel >= self.outer_zone:
            raise ValueError("the frame doesn't hold the zone plate's cone: widen the outer zone or take more pixels")
        return self

    @property
    def wavelength(self) -> float:
        """Wavelength of the photons, m."""
        return PLANCK_LIGHT / self.energy

    @property
    def object_pixel(self) -> float:
        """Pixel of the object, m: λz/(NΔ) in the far field, in the near field that of the detector demagnified."""
        if self.focus_distance is None:
            return self.wavelength * self.distance / (self.size * self.pixel_size)
        return self.pixel_size * self.focus_distance / (self.focus_distance + self.distance)


class Simulation:
    """A ptychographic scan of a sample, made view by view.

    Each view has random numbers of its own, so that the order and the threads don't alter it.

    Parameters
    ----------
    parameters : SimulationParameters, optional
        What is simulated.

    Attributes
    ----------
    parameters : SimulationParameters
        What is simulated.
    object : ndarray, (y, x), complex64
        Transmission of the sample; matter has negative phase.
    probe : ndarray, (mode, y, x), complex64
        Orthogonal modes, strongest first; Σ|P|² is the number of photons that fall on a view.
    positions_pixels : ndarray, (view, 2), float64
        Of the views' centres (y, x), object pixels.
    positions : ndarray, (view, 2), float64
        The same in m.
    corners : ndarray, (view, 2), int64
        First object pixel (y, x) of each view's window.
    good : ndarray, (row, column), bool
        False where the detector measures nothing.
    energy, distance, wavelength, object_pixel : float
        eV, m, m, m.
    pixel_size : tuple of float
        Of the detector (y, x), m.
    """

    def __init__(self, parameters: SimulationParameters | None = None) -> None:
        self.parameters = p = parameters or SimulationParameters()
        self.energy, self.distance, self.pixel_size = p.energy, p.distance, (p.pixel_size, p.pixel_size)
        self.wavelength, self.object_pixel = p.wavelength, p.object_pixel
        self.positions_pixels = self._places()
        self.positions = self.positions_pixels * self.object_pixel
        self._nearest = np.rint(self.positions_pixels).astype(np.int64)
        self.corners = self._nearest - p.size // 2
        rows, columns = (int(n) for n in self.corners.max(axis=0) + p.size + MARGIN)
        reach = np.ptp(self.positions_pixels, axis=0).min() / 2
        self.object = sample((rows, columns), p.seed, max(0.7 * float(reach), p.size / 6))
        self.probe = self._beam().astype(np.complex64)
        if p.focus_distance is not None:
            effective = p.focus_distance * p.distance / (p.focus_distance + p.distance)
            self._transfer = fresnel_transfer(p.size, self.object_pixel, self.wavelength, effective)
        self.good, self._faulty = self._detector()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(views, rows, columns) of the frames."""
        return self.parameters.views, self.parameters.size, self.parameters.size

    def exit_waves(self, view: int) -> Complex128:
        """Give the waves behind the sample, (mode, y, x): a shift by less than a pixel moves the probe."""
        probe = self.probe.astype(np.complex128)
        moved = self.positions_pixels[view] - self._nearest[view]
        if moved.any():
            ramp = [np.exp(-2j * pi * np.fft.fftfreq(self.parameters.size) * d) for d in moved]
            probe = np.fft.ifft2(np.fft.fft2(probe) * (ramp[0][:, None] * ramp[1]))
        y, x = self.corners[view]
        return np.asarray(probe * self.object[y : y + self.parameters.size, x : x + self.parameters.size])

    def intensity(self, view: int) -> Float64:
        """Give the photons that a view's frame expects in each pixel, (row, column), float64, without detector faults.

        In the far field |DFT(P O)|², in the near field |IDFT(H DFT(P O))|² with Fresnel's
        transfer function H = exp(-iπλz k²), z = z₁z₂/(z₁ + z₂); summed over modes.
        """
        spectra = np.fft.fft2(self.exit_waves(view), norm="ortho")
        if self.parameters.focus_distance is not None:
            return np.asarray((np.abs(np.fft.ifft2(spectra * self._transfer, norm="ortho")) ** 2).sum(axis=0))
        return np.asarray(np.fft.fftshift((np.abs(spectra) ** 2).sum(axis=0)))

    def frames(self, first: int = 0, last: int | None = None, threads: int = 1) -> Uint16:
        """Count photons.

        Parameters
        ----------
        first, last : int
            Views first … last − 1; all of them if not given.
        threads : int
            Cores to use.

        Returns
        -------
        ndarray, (view, row, column), uint16
            Poisson's counts; 0 in the gap, 65535 where a pixel is dead.
        """
        index = range(self.parameters.views)[first:last]
        block = np.empty((len(index), *self.shape[1:]), np.uint16)

        def measure(place: int) -> None:
            rng = np.random.default_rng((self.parameters.seed, 1, index[place]))
            counts = rng.poisson(self.intensity(index[place]))
            block[place] = np.where(self.good, np.minimum(counts, BAD), self._faulty)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(measure, range(len(index))))
        return block

    def scan(self) -> PtychoScan:
        """Give the scan as a reader would, its frames made when they are read."""
        return PtychoScan(
            name="simulation",
            format="simulation",
            files=(),
            frames=SimulatedFrames(self),
            positions=self.positions,
            energy=self.energy,
            distance=self.distance,
            pixel_size=self.pixel_size,
            oriented="file",
            focus_distance=self.parameters.focus_distance,
            good=self.good,
        )

    def illumination(self) -> NDArray[np.float32]:
        """Add up the probe's intensity over all views on the object, (y, x), float32, photons per pixel."""
        power, n = (np.abs(self.probe) ** 2).sum(axis=0), self.parameters.size
        total = np.zeros(self.object.shape, np.float32)
        for y, x in self.corners:
            total[y : y + n, x : x + n] += power
        return total

    def truth_region(self, share: float = 0.1) -> NDArray[np.bool_]:
        """Give the object pixels, (y, x), that get more than a share of the median light between the views."""
        light = self.illumination()
        y, x = self._nearest.T
        return np.asarray(light > share * np.median(light[y, x]))

    def truth_window(self, share: float = 0.1) -> tuple[slice, slice]:
        """Give the largest window about the middle of the scan, of the scan's shape, within `truth_region`."""
        lit = self.truth_region(share)
        low, high = self.positions_pixels.min(axis=0), self.positions_pixels.max(axis=0)
        middle, half = (low + high) / 2, (high - low) / 2
        window = None
        for part in np.linspace(0.1, 1.5, 141):
            first, last = (np.rint(middle + sign * part * half).astype(int) for sign in (-1, 1))
            inside = (first >= 0).all() and (last < lit.shape).all()
            if not inside or not lit[first[0] : last[0] + 1, first[1] : last[1] + 1].all():
                break
            window = (slice(int(first[0]), int(last[0]) + 1), slice(int(first[1]), int(last[1]) + 1))
        if window is None:
            raise ValueError("no part of the object about the middle of the scan is lit")
        return window

    def _places(self) -> Float64:
        """Give the views' centres in object pixels, all windows within the object."""
        p = self.parameters
        step = p.step / self.object_pixel
        if p.pattern == "fermat":
            places = fermat_spiral(p.views, step)
        else:
            places = raster(p.views, step, p.jitter, np.random.default_rng((p.seed, 2)))
        if not p.subpixel:
            places = np.rint(places)
        return np.asarray(places + (p.size // 2 + MARGIN - np.floor(places.min(axis=0))))

    def _beam(self) -> Complex128:
        """Make the probe's modes."""
        p = self.parameters
        if p.focus_distance is None:
            spectrum = zone_plate(p.size, self.object_pixel, p.outer_zone, p.central_stop)
            spectrum = spectrum * fresnel_transfer(p.size, self.object_pixel, self.wavelength, p.defocus)
        else:
            spectrum = rough_beam(p.size, np.random.default_rng((p.seed, 3)))
        powers = np.array(p.mode_powers) * (p.photons / sum(p.mode_powers))
        return modes_of(spectrum, tuple(powers))

    def _detector(self) -> tuple[NDArray[np.bool_], Uint16]:
        """Make the mask, and what a frame shows where it is False."""
        p = self.parameters
        good, shown = np.ones(self.shape[1:], np.bool_), np.zeros(self.shape[1:], np.uint16)
        # beside the direct beam, as two modules are placed
        first = 5 * p.size // 8
        good[:, first : first + p.gap] = False
        where = np.random.default_rng((p.seed, 4)).choice(good.size, min(p.dead, good.size), replace=False)
        good.flat[where], shown.flat[where] = False, BAD
        return good, shown


class SimulatedFrames:
    """The frames of a simulation as a lazy stack (view, row, column)."""

    whole_frames = True
    dtype: np.dtype[Any] = np.dtype(np.uint16)

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.shape = simulation.shape

    def read(self, frames: slice, rows: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Make frames[start:stop] and give their rows, into `out` if given."""
        made = self._simulation.frames(*frames.indices(self.shape[0])[:2])[:, rows]
        if out is None:
            return made
        out[...] = made
        return out
