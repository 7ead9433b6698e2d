"""Where views lie on the object, and how waves travel: pixels of the object, windows, the near field's transfer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcdaas.ptycho.beam import fresnel_transfer
from hpcdaas.scan import ORIENTATIONS, PtychoScan

#: Object pixels beyond the outermost windows, on each side.
MARGIN = 2


@dataclass(frozen=True)
class Geometry:
    """Pixels of a reconstruction.

    Attributes
    ----------
    n : int
        Edge of frame and probe.
    pixel : tuple of float
        Of object and probe (y, x), m.
    places : ndarray, (view, 2), float64
        Of the views' centres (row, column) on the object, from the centre of its pixel (0, 0).
    shape : tuple of int
        Rows and columns of the object.
    """

    n: int
    pixel: tuple[float, float]
    places: NDArray[np.float64]
    shape: tuple[int, int]

    @property
    def corners(self) -> NDArray[np.int32]:
        """First row and column of each view's window, (view, 2)."""
        return np.rint(self.places - self.n // 2).astype(np.int32)

    @property
    def positions(self) -> NDArray[np.float64]:
        """`places` in m."""
        return np.asarray(self.places * np.asarray(self.pixel))


def object_pixel(scan: PtychoScan, n: int, bin_: int = 1) -> tuple[float, float]:
    """Give the pixel of the object (y, x), m: λz/(nΔ) in the far field, Δ demagnified in the near field.

    The cone of the near field is taken as a parallel beam of the demagnified pixel (D. Paganin, Coherent X-Ray
    Optics (2006), app. B: the Fresnel scaling theorem).
    """
    if scan.focus_distance is not None:
        return scan.object_pixel[0] * bin_, scan.object_pixel[1] * bin_
    reach = scan.wavelength * scan.distance / (n * bin_)
    return reach / scan.pixel_size[0], reach / scan.pixel_size[1]


def make_geometry(scan: PtychoScan, n: int, bin_: int = 1) -> Geometry:
    """Lay the views of a scan on an object as small as holds them.

    Parameters
    ----------
    scan : PtychoScan
    n : int
        Edge of a frame as it is used, pixels.
    bin_ : int
        Detector pixels along an edge of one of them.
    """
    pixel = object_pixel(scan, n, bin_)
    places = scan.positions / np.asarray(pixel)
    places = places - places.min(axis=0) + (n // 2 + MARGIN)
    last = np.rint(places.max(axis=0) - n // 2).astype(int) + n + MARGIN
    return Geometry(n, pixel, places, (int(last[0]), int(last[1])))


def transfer(scan: PtychoScan, n: int, pixel: tuple[float, float]) -> NDArray[np.complex64] | None:
    """Give what the spectrum of a wave is multiplied with on its way to a near detector; None in the far field."""
    if scan.focus_distance is None:
        return None
    # z₁z₂/(z₁ + z₂): before the focus, where z₁ < 0, the wave seems to go back
    distance = scan.focus_distance * scan.distance / (scan.focus_distance + scan.distance)
    rows, columns = (fresnel_transfer(n, p, scan.wavelength, distance) for p in pixel)
    # the transfer is a product of one factor for each axis, which stands where the other frequency is 0
    return np.asarray(rows[:, :1] * columns[:1, :], np.complex64)


def by_place(corners: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """Give the views in an order in which neighbours follow each other: strips of the object, back and forth."""
    strip = corners[:, 0] // max(1, n // 2)
    along = np.where(strip % 2 == 0, corners[:, 1], -corners[:, 1])
    return np.lexsort((corners[:, 0], along, strip)).astype(np.int32)


def far_field_orientations() -> tuple[str, ...]:
    """Orientations that far-field data can tell apart; each stands for itself and all its signs turned."""
    return tuple(name for name in ORIENTATIONS if name.startswith("+"))
