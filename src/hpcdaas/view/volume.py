"""A result file as the pictures need it: planes of the volume, never the volume."""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.view.entry import Entry, Image, text_of

#: Longest side of a plane across x, of which each voxel is another read.
ACROSS = 400


class Axis(NamedTuple):
    """Coordinates along one axis of a volume: that of the first voxel and the step, in m or in pixels."""

    first: float
    step: float
    in_metres: bool


class ResultFile(Entry):
    """A result of a tomography run, open for reading; use it in a ``with`` block.

    Parameters
    ----------
    path : Path
        The result file.

    Attributes
    ----------
    shape : tuple of int
        (z, y, x) of the volume.
    units : str
        Of the volume's values.
    axes : tuple of Axis
        Where the voxels are along z, y, x.
    pixel_size : float or None
        m; None where the file doesn't know it.

    Raises
    ------
    InputError
        If the file can't be read or is no result of a tomography run.
    """

    def _open(self) -> None:
        data = self._file.get("entry/data/data")
        if not isinstance(data, h5py.Dataset) or data.ndim != 3 or 0 in data.shape or data.dtype.kind not in "uif":
            raise InputError(
                f"{self.path} holds no reconstructed volume (/entry/data/data).",
                "Give the result of 'hpcdaas reconstruct'.",
            )
        self._data = data
        self.shape: tuple[int, int, int] = data.shape
        self.dtype: np.dtype[Any] = data.dtype
        self.units = text_of(data.attrs.get("units", ""))
        self._scale, self._offset = float(data.attrs.get("scale", 1)), float(data.attrs.get("offset", 0))
        self.axes = self._axes()
        self.pixel_size = abs(self.axes[2].step) if self.axes[2].in_metres else None

    def plane(self, axis: int, index: int) -> Image:
        """Read one plane of the volume in its physical values.

        Parameters
        ----------
        axis : int
            The axis (z, y, x) that the plane is perpendicular to.
        index : int
            Where along it.

        Returns
        -------
        ndarray, float32
            The two other axes in their order. The plane across x comes thinned out to at most `ACROSS`
            voxels along each side, unless it is the middle one and the result holds a copy of it.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        if axis == 2 and index == self.shape[2] // 2:
            kept = self.image("cut_x")
            if kept is not None and kept.shape == self.shape[:2]:
                return kept
        try:
            stored = self._across(index) if axis == 2 else self._data[(slice(None),) * axis + (index,)]
        except OSError as error:
            raise InputError(f"The volume in {self.path} can't be read: the file is damaged or cut off.") from error
        return (stored * np.float32(self._scale) + np.float32(self._offset)).astype(np.float32, copy=False)

    def _across(self, index: int) -> NDArray[Any]:
        """Read the plane across x, as stored, thinned out."""
        z, y = (slice(None, None, -(-n // ACROSS)) for n in self.shape[:2])
        offset, size = self._data.id.get_offset(), self._data.size * self.dtype.itemsize
        if offset is None:
            return np.asarray(self._data[z, y, index])
        # HDF5 would read 64 KiB for each voxel; a map without read-ahead reads a page
        if self.path.stat().st_size < offset + size:
            raise InputError(f"{self.path} is cut off: its volume reaches beyond the end of the file.")
        with self.path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        pages.madvise(mmap.MADV_RANDOM)
        return np.ndarray(self.shape, self.dtype, pages, offset)[z, y, index].copy()

    def planes(self, count: int) -> list[int]:
        """Give the indices of `count` slices spread over the volume, first and last slice avoided where it is thick."""
        n = self.shape[0]
        return sorted({min(int((i + 0.5) * n / count), n - 1) for i in range(count)})

    def _axis(self, name: str, n: int) -> Axis:
        axis = self._file.get(f"entry/data/{name}")
        if not isinstance(axis, h5py.Dataset) or axis.shape != (n,):
            return Axis(0.0, 1.0, False)
        first, last = float(axis[0]), float(axis[-1])
        # one slice has no step: as thick as a pixel is wide
        step = (last - first) / (n - 1) if n > 1 else 0.0
        if not (np.isfinite(first) and np.isfinite(step)):
            return Axis(0.0, 1.0, False)
        return Axis(first, step, text_of(axis.attrs.get("units", "")) == "m")

    def _axes(self) -> tuple[Axis, Axis, Axis]:
        z, y, x = (self._axis(name, n) for name, n in zip("zyx", self.shape, strict=True))
        x = x if x.step else Axis(x.first, 1.0, False)
        y, z = (axis if axis.step else Axis(axis.first, x.step, axis.in_metres) for axis in (y, z))
        return z, y, x
