"""A scan: the raw data of one measurement with its geometry, lazy until it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.errors import InputError
from hpcdaas.params import Angle, Energy, Length, Parameters


class Frames(Protocol):
    """A lazy stack of detector frames (frame, row, column).

    Attributes
    ----------
    shape : tuple of int
        (frames, rows, columns).
    dtype : numpy.dtype
        As stored, in native byte order.
    whole_frames : bool
        True where the storage forces every read to decode whole frames (compressed chunks
        that span the rows). False where any rows can be read at their own cost.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    whole_frames: bool

    def read(self, frames: slice, rows: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read frames[start:stop] and rows[start:stop], all columns, into `out` if given.

        Slices have step 1 or None for `frames`; `rows` may have a step.

        Returns
        -------
        ndarray, (frames, rows, columns), `dtype`

        Raises
        ------
        InputError
            If the file is truncated or a chunk can't be decoded.
        """
        ...


@dataclass(frozen=True)
class FlatGroup:
    """Flat fields taken together.

    Attributes
    ----------
    frames : Frames
        The flat fields (frame, row, column).
    when : float
        The projection before which they were taken: 0 before the scan, n after n projections.
    """

    frames: Frames
    when: float


@dataclass(frozen=True)
class Scan:
    """Raw data of one tomographic measurement with its geometry; nothing is read before it is needed.

    Attributes
    ----------
    name : str
        The file's stem, or what the file calls itself.
    format : str
        What it was read as: ``nxtomo``, ``dxchange``, ``tiff stack``, ``tiff sinogram``.
    files : tuple of Path
        Every file that holds the scan's data, link targets too: they give the raw identity.
    projections : Frames
        The projections (angle, row, column), without flats, darks and invalid frames.
    angles : ndarray, (n,), float64
        Rotation angle of each projection in degrees.
    flats, darks
        Groups of flat fields in time order, and the darks; empty or None where there are none.
    pixel_size, energy, distance : float or None
        m, eV, m.
    center : float or None
        Rotation centre in columns of the detector, where the file or the user gives it.
    metadata : mapping
        What else the file says, for the catalogue: ``title, sample, proposal, instrument,
        start_time, end_time, owner`` ... as strings, numbers as {"value", "unit"}.
    understood : tuple of str
        One line per thing that was understood or assumed, for ``inspect``.
    transmission : bool
        True where the data are already corrected for flats and darks (1 means no sample).
    """

    name: str
    format: str
    files: tuple[Path, ...]
    projections: Frames
    angles: NDArray[np.float64]
    flats: tuple[FlatGroup, ...] = ()
    darks: Frames | None = None
    pixel_size: float | None = None
    energy: float | None = None
    distance: float | None = None
    center: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    understood: tuple[str, ...] = ()
    transmission: bool = False
    technique: str = "tomography"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(angles, rows, columns) of the projections."""
        return self.projections.shape


@dataclass(frozen=True)
class PtychoScan:
    """Raw data of one ptychographic measurement with its geometry; frames are read when they are needed.

    Attributes
    ----------
    name, format, files, metadata, understood
        As of `Scan`; format: ``cxi``, ``nxptycho``, ``ptyd``, ``ptychoshelves``, ``aps``, ``csaxs``.
    frames : Frames
        Diffraction frames (view, row, column) as stored: counts, the direct beam anywhere.
    positions : ndarray, (N, 2), float64
        Of the views' centres on the object (y, x), m, growing with its rows and columns. A constant
        offset is free. `orientation` is applied already.
    energy : float
        eV.
    distance : float
        Sample to detector, m.
    pixel_size : tuple of float
        Of a detector pixel (y, x), m.
    orientation : str
        How positions follow from the stored ones, `ORIENTATIONS` or ``auto``: two signed axes, for rows and columns.
    oriented : str
        What decided the orientation: ``file``, ``user``, or nothing (as stored).
    focus_distance : float or None
        Focus to sample, m, where the frames are of the near field; None in the far field.
    good : ndarray, (row, column), bool, or None
        False where a pixel of the detector can't be used, in the frames' order.
    dark : ndarray, (row, column), float32, or None
        Counts without beam.
    probe : ndarray, (mode, y, x), complex64, or None
        A first probe, of the frames' shape.
    beam_center : tuple of float or None
        Row and column of the direct beam, where the file or the user gives it.
    saturation : float or None
        Counts at and above this can't be trusted, where the file says so.
    """

    name: str
    format: str
    files: tuple[Path, ...]
    frames: Frames
    positions: NDArray[np.float64]
    energy: float
    distance: float
    pixel_size: tuple[float, float]
    orientation: str = "+y+x"
    oriented: str = ""
    focus_distance: float | None = None
    good: NDArray[np.bool_] | None = None
    dark: NDArray[np.float32] | None = None
    probe: NDArray[np.complex64] | None = None
    beam_center: tuple[float, float] | None = None
    saturation: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    understood: tuple[str, ...] = ()
    technique: str = "ptychography"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(views, rows, columns) of the frames."""
        return self.frames.shape

    @property
    def wavelength(self) -> float:
        """Wavelength of the photons, m."""
        return PLANCK_LIGHT / self.energy

    @property
    def magnification(self) -> float:
        """How much larger the detector sees the sample in the near field: (z1 + z2)/z1; 1 in the far field."""
        if self.focus_distance is None:
            return 1.0
        return abs((self.focus_distance + self.distance) / self.focus_distance)

    @property
    def object_pixel(self) -> tuple[float, float]:
        """Pixel of the object (y, x) where frames are used whole and unbinned, m."""
        if self.focus_distance is not None:
            return self.pixel_size[0] / self.magnification, self.pixel_size[1] / self.magnification
        rows, columns = self.shape[1:]
        far = self.wavelength * self.distance
        return far / (rows * self.pixel_size[0]), far / (columns * self.pixel_size[1])


#: h c, eV m (CODATA 2018).
PLANCK_LIGHT = 1.23984198433e-06
#: Signed stored axes that become the rows and the columns of positions.
ORIENTATIONS = ("+y+x", "-y-x", "+y-x", "-y+x", "+x+y", "-x-y", "+x-y", "-x+y")
Orientation = Literal["auto", "+y+x", "-y-x", "+y-x", "-y+x", "+x+y", "-x-y", "+x-y", "-x+y"]


def oriented(positions: NDArray[np.float64], orientation: str) -> NDArray[np.float64]:
    """Turn positions as a file stores them into those on the object's rows and columns.

    Parameters
    ----------
    positions : ndarray, (N, 2), float64
        As stored: (y, x).
    orientation : str
        Of `ORIENTATIONS`: the signed stored axes that are rows and columns. ``auto`` leaves them as stored.

    Returns
    -------
    ndarray, (N, 2), float64
        Along the object's rows and columns, in the same unit.

    Raises
    ------
    ValueError
        If there is no such orientation.
    """
    if orientation == "auto":
        return positions
    if orientation not in ORIENTATIONS:
        raise ValueError(f"no orientation: {orientation!r}")
    axes = [1 if axis == "x" else 0 for axis in orientation[1::2]]
    signs = [-1.0 if sign == "-" else 1.0 for sign in orientation[::2]]
    return positions[:, axes] * signs


class ScanTable(Parameters):
    """The recipe's ``[scan]`` table: what the file lacks; wins over the file."""

    center: float | None = Field(None, description="rotation centre, column of the detector")
    angles: str | tuple[Angle, ...] | None = Field(
        None, description="list in degrees, a path in the file, or a text, CSV or NumPy file"
    )
    angle_range: tuple[Angle, Angle] | None = Field(
        None, description="angles of the first and of the last projection, both included, degrees"
    )
    pixel_size: Length | None = Field(
        None, gt=0, description="at the sample (ptychography: of the detector), m or with a unit"
    )
    energy: Energy | None = Field(None, gt=0, description="eV or with a unit")
    distance: Length | None = Field(None, gt=0, description="sample to detector, m or with a unit")
    focus_distance: Length | None = Field(None, description="focus to sample, m or with a unit (ptychography)")
    flats: str | float | None = Field(None, description="a file, a path in the file, FILE:PATH, or one value")
    darks: str | float | None = Field(None, description="a file, a path in the file, FILE:PATH, or one value")
    positions: str | None = Field(
        None,
        description="scan positions (ptychography): a path in the file, FILE:PATH, a NumPy, text or CSV file; "
        "a unit may follow (FILE um)",
    )
    position_orientation: Orientation | None = Field(
        None, description="stored axes that are rows and columns, with signs; auto: found from the data (ptychography)"
    )
    rows: str | None = Field(None, pattern=r"^\d*:\d*(:\d+)?$", description="detector rows A:B or A:B:STEP")
    frames: str | None = Field(None, pattern=r"^\d*:\d*$", description="projections or views A:B, a part of all")
    paths: Mapping[str, str] = Field(
        default_factory=dict,
        description="where things are in the file: data, angles, image_key, flats, darks, pixel_size, energy, "
        "distance; for ptychography also positions, mask, probe (none leaves out the file's)",
    )


def parse_slice(text: str | None, length: int) -> slice:
    """Read ``A:B`` or ``A:B:STEP`` against a length; None is everything.

    Raises
    ------
    InputError
        If the range is empty or reaches beyond `length`.
    """
    if text is None:
        return slice(0, length, 1)
    numbers = [int(part) if part else None for part in text.split(":")]
    start, stop = numbers[0] or 0, length if numbers[1] is None else numbers[1]
    step = numbers[2] if len(numbers) > 2 and numbers[2] is not None else 1
    if not 0 <= start < stop <= length or step < 1:
        raise InputError(f"The range {text} is empty or outside 0:{length}.")
    return slice(start, stop, step)
