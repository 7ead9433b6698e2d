"""The first object and the first probe."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.backend.views import Complex64
from hpcdaas.errors import InputError
from hpcdaas.params import Length, Parameters
from hpcdaas.ptycho.beam import fresnel_transfer, zone_plate
from hpcdaas.ptycho.frames import Cut
from hpcdaas.ptycho.geometry import Geometry, transfer
from hpcdaas.ptycho.tile import Tile
from hpcdaas.scan import PtychoScan
from hpcdaas.step import Axis, Step


class Start(Parameters):
    """Parameters of `start`."""

    probe: Literal["auto", "file", "mean", "pinhole", "zone_plate"] = Field(
        "auto", description="where the first probe is from; auto: the file, else the mean frame"
    )
    modes: int = Field(1, ge=1, le=32, description="modes of the probe: partial coherence")
    object_modes: int = Field(1, ge=1, le=8, description="modes of the object")
    mode_power: float = Field(0.2, gt=0, lt=1, description="of each mode after the first, share of the first's")
    diameter: Length | None = Field(None, gt=0, description="of the pinhole, m")
    outer_zone: Length | None = Field(None, gt=0, description="width of the zone plate's outermost zone, m")
    central_stop: float = Field(0.0, ge=0, lt=1, description="of the zone plate, share of its diameter")
    defocus: Length | None = Field(
        None,
        description="sample downstream of focus or pinhole, m (default: found, if the mean frame is the start; else 0)",
    )
    seed: int = Field(0, ge=0, description="of the further object modes")


def start(
    scan: PtychoScan, cut: Cut, geometry: Geometry, parameters: Start, tile: Tile | None = None
) -> tuple[Complex64, Complex64]:
    """Make an empty object and a first probe with as much light as the brightest frame.

    Parameters
    ----------
    scan : PtychoScan
    cut : Cut
        What is used of the frames.
    geometry : Geometry
    parameters : Start
    tile : Tile, optional
        This rank's part of the object; default: all of it.

    Returns
    -------
    object : ndarray, (mode, y, x), complex64
        This rank's part.
    probe : ndarray, (mode, n, n), complex64

    Raises
    ------
    InputError
        If the probe that is asked for isn't there, or of another shape.
    """
    p, n = parameters, geometry.n
    kind = p.probe if p.probe != "auto" else "file" if scan.probe is not None else "mean"
    given = {"file": _of_file, "mean": _of_mean, "pinhole": _pinhole, "zone_plate": _zone_plate}[kind](
        scan, cut, geometry, p
    )
    if not given.any():
        raise InputError("The first probe is empty.", "Choose another with -s start.probe=mean.")
    probe = _modes(given.astype(np.complex64), p)
    if p.defocus and kind in ("mean", "file"):
        rows, columns = (fresnel_transfer(n, pixel, scan.wavelength, p.defocus) for pixel in geometry.pixel)
        probe = np.fft.ifft2(np.fft.fft2(probe) * rows[:, :1] * columns[:1]).astype(np.complex64)
    probe *= np.float32(np.sqrt(cut.brightest / float((np.abs(probe) ** 2).sum(dtype=np.float64))))
    here = tile.box.slices if tile else (slice(None), slice(None))
    object_ = np.ones((p.object_modes, *(tile.shape if tile else geometry.shape)), np.complex64)
    rng = np.random.default_rng(p.seed)
    for mode in object_[1:]:
        turn = rng.random(geometry.shape, np.float32)[here]
        mode *= np.float32(0.1) * np.exp(np.complex64(2j * np.pi) * turn)
    return object_, np.ascontiguousarray(probe)


def _of_file(scan: PtychoScan, cut: Cut, geometry: Geometry, p: Start) -> Complex64:
    """Take the file's probe, which is of whole frames, and what is left of it where less of them is used.

    Fewer pixels of the detector are fewer frequencies in the far field, and larger ones a smaller window; in the near
    field it is the other way round.
    """
    if scan.probe is None:
        raise InputError(f"{scan.name} holds no probe.", "Choose another start with -s start.probe=mean.")
    probe, size, n = scan.probe, cut.size, geometry.n
    if scan.focus_distance is not None:
        here = probe[:, cut.row : cut.row + size, cut.column : cut.column + size]
        return here if n == size else _fewer_frequencies(here, n)
    coarse = probe if probe.shape[1:] == (size, size) else _fewer_frequencies(probe, size)
    return _inner(coarse, n)


def _inner(image: NDArray[Any], n: int) -> NDArray[Any]:
    """Give n × n pixels around index N // 2, which becomes index n // 2."""
    first = [length // 2 - n // 2 for length in image.shape[-2:]]
    return image[..., first[0] : first[0] + n, first[1] : first[1] + n]


def _fewer_frequencies(image: Complex64, n: int) -> Complex64:
    """Give the same window with n × n larger pixels."""
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(-2, -1))), axes=(-2, -1))
    inner = np.fft.ifftshift(_inner(spectrum, n), axes=(-2, -1))
    return np.fft.fftshift(np.fft.ifft2(inner), axes=(-2, -1)).astype(np.complex64)


def _of_mean(scan: PtychoScan, cut: Cut, geometry: Geometry, p: Start) -> Complex64:
    """Send the mean frame's amplitude back with a flat phase: the focus, or the shadow's beam in the near field."""
    amplitude = np.sqrt(cut.mean)
    near = transfer(scan, geometry.n, geometry.pixel)
    if near is not None:
        return np.fft.ifft2(np.fft.fft2(amplitude) * near.conj())[None].astype(np.complex64)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(amplitude)))[None].astype(np.complex64)


def _pinhole(scan: PtychoScan, cut: Cut, geometry: Geometry, p: Start) -> Complex64:
    """Give a disc with an edge soft over a pixel, and let it travel."""
    if p.diameter is None:
        raise InputError("A pinhole needs its diameter.", '-s start.diameter="3 um"')
    n, pixel = geometry.n, geometry.pixel
    y, x = ((np.arange(n) - n // 2) * size for size in pixel)
    edge = p.diameter / 2 - np.hypot(y[:, None], x)
    disc = np.clip(edge / max(pixel) + 0.5, 0, 1)
    rows, columns = (fresnel_transfer(n, size, scan.wavelength, p.defocus or 0.0) for size in pixel)
    return np.fft.ifft2(np.fft.fft2(disc) * rows[:, :1] * columns[:1])[None].astype(np.complex64)


def _zone_plate(scan: PtychoScan, cut: Cut, geometry: Geometry, p: Start) -> Complex64:
    """Give the cone behind a zone plate at some distance from its focus."""
    if p.outer_zone is None:
        raise InputError("A zone plate needs the width of its outermost zone.", '-s start.outer_zone="60 nm"')
    n, pixel = geometry.n, geometry.pixel
    spectrum = zone_plate(n, max(pixel), p.outer_zone, p.central_stop)
    rows, columns = (fresnel_transfer(n, size, scan.wavelength, p.defocus or 0.0) for size in pixel)
    return np.fft.fftshift(np.fft.ifft2(spectrum * rows[:, :1] * columns[:1]))[None].astype(np.complex64)


def _modes(probe: Complex64, p: Start) -> Complex64:
    """Give as many modes as are asked for: those of the file, then the first one times low polynomials of the place.

    Products of a mode with coordinates around its middle are what a vibration or a second coherent source makes of it.
    """
    if len(probe) >= p.modes:
        return probe[: p.modes].copy()
    n = probe.shape[-1]
    power = np.abs(probe[0]) ** 2
    y, x = (np.arange(n) - n // 2)[:, None], np.arange(n) - n // 2
    middle = [float((power * c).sum() / power.sum()) for c in (y, x)]
    width = float(np.sqrt((power * ((y - middle[0]) ** 2 + (x - middle[1]) ** 2)).sum() / power.sum()))
    u, v = (y - middle[0]) / width, (x - middle[1]) / width
    modes = list(probe)
    degrees = ((a, total - a) for total in range(1, 33) for a in range(total + 1))
    while len(modes) < p.modes:
        a, b = next(degrees)
        more = (probe[0] * u**a * v**b).astype(np.complex64)
        for one in modes:
            more -= np.vdot(one, more) / np.vdot(one, one) * one
        modes.append(more * np.sqrt(p.mode_power * power.sum() / (np.abs(more) ** 2).sum()))
    return np.stack(modes).astype(np.complex64)


STEP = Step(name="start", apply=start, parameters=Start, axis=Axis.START, place=20)
