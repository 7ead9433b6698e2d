"""A result of ptychography as the pictures need it; without matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.view.entry import PTYCHOGRAPHY, Entry, Image, text_of

Wave = NDArray[np.complex64]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A number per iteration, for the iterations of one step of the recipe that give it.

    Attributes
    ----------
    step : int
        Which step, from 0.
    label : str
        The step's name.
    iterations : ndarray, (k,), int64
        Counted from 1 over the whole run.
    values : ndarray, (k,), float64
        All finite.
    """

    step: int
    label: str
    iterations: NDArray[np.int64]
    values: Float64


@dataclass(frozen=True)
class Rings:
    """Fourier ring correlation of two halves.

    Attributes
    ----------
    frequency : ndarray, (k,), float64
        1/m.
    frc, half_bit, one_bit : ndarray, (k,), float64
        The correlation and the two curves that it is held against.
    resolution : float or None
        m, as the file says.
    """

    frequency: Float64
    frc: Float64
    half_bit: Float64
    one_bit: Float64
    resolution: float | None

    @property
    def crossing(self) -> float | None:
        """Frequency at which the correlation first falls below the half-bit curve, 1/m; None if it never does."""
        above = self.frc - self.half_bit
        # the innermost ring holds too few pixels to tell anything
        below = np.flatnonzero(above[1:] < 0) + 1
        if not below.size:
            return None
        last = int(below[0])
        before, after = float(above[last - 1]), float(above[last])
        part = before / (before - after) if before > 0 else 1.0
        low, high = float(self.frequency[last - 1]), float(self.frequency[last])
        return low + part * (high - low)


class PtychoFile(Entry):
    """A result of a ptychography run, open for reading; use it in a ``with`` block.

    Parameters
    ----------
    path : Path
        The result file.

    Attributes
    ----------
    shape : tuple of int
        (mode, y, x) of the object.
    pixel_size : tuple of float or None
        Of the object (y, x), m; None where the file doesn't know it.
    layers : bool
        Whether the first axis is that of layers along the beam instead of modes.

    Raises
    ------
    InputError
        If the file can't be read or is no result of a ptychography run.
    """

    def _open(self) -> None:
        data = self._file.get(PTYCHOGRAPHY)
        if not isinstance(data, h5py.Dataset) or data.ndim != 3 or 0 in data.shape or data.dtype.kind != "c":
            raise InputError(
                f"{self.path} holds no reconstructed object (/{PTYCHOGRAPHY}).",
                "Give the result of 'hpcdaas reconstruct'.",
            )
        self.shape: tuple[int, int, int] = data.shape
        self.layers = self._names("object", "axes")[:1] == ["layer"]
        size = self._array("object/pixel_size", np.float64)
        known = size is not None and size.shape == (2,) and np.isfinite(size).all() and (size > 0).all()
        self.pixel_size = (float(size[0]), float(size[1])) if size is not None and known else None

    def object(self, mode: int, part: Sequence[slice] = (slice(None), slice(None))) -> Wave:
        """Read one mode of the object, or a part (y, x) of it; what isn't finite is 0."""
        found = self._array("object/data", np.complex64, (slice(mode, mode + 1), *part))
        assert found is not None  # checked when the file was opened
        return _finite(found[0])

    def light(self) -> Image | None:
        """Give the light that fell on each pixel of the object, (y, x), counts; None where it is missing."""
        found = self._array("object/light", np.float32)
        return _finite(found) if found is not None and found.shape == self.shape[1:] else None

    def probe(self) -> Wave | None:
        """Give the probe, (mode, y, x); None where it is missing."""
        found = self._array("probe/data", np.complex64)
        return _finite(found) if found is not None and found.ndim == 3 and found.size else None

    def positions(self) -> Float64 | None:
        """Give the views' centres (view, 2), m, from the centre of the object's pixel (0, 0); None where missing."""
        found = self._array("positions", np.float64)
        if found is None or found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).any():
            return None
        return found

    def curves(self) -> dict[str, tuple[list[Curve], str]]:
        """Give ``{name: (one curve per step that has one, units)}`` of ``/entry/metrics``."""
        group = self._file.get("entry/metrics")
        part = self._array("metrics/part", np.float64)
        if not isinstance(group, h5py.Group):
            return {}
        labels = self._names("metrics", "parts")
        curves = {}
        for name, item in group.items():
            values = None if name == "part" else self._array(f"metrics/{name}", np.float64)
            if values is None or values.ndim != 1:
                continue
            steps = part if part is not None and part.shape == values.shape else np.zeros(len(values))
            found = []
            for step in np.unique(steps[np.isfinite(steps)]).astype(int).tolist():
                at = np.flatnonzero((steps == step) & np.isfinite(values))
                label = labels[step] if 0 <= step < len(labels) else f"step {step + 1}"
                if at.size:
                    found.append(Curve(step, label, at + 1, values[at]))
            if found:
                curves[name] = (found, text_of(item.attrs.get("units", "")))
        return curves

    def quality(self) -> dict[str, tuple[Any, str]]:
        """Give ``{name: (value, units)}`` of ``/entry/quality``."""
        return self._values("quality")

    def rings(self) -> Rings | None:
        """Give the Fourier ring correlation, or None where no halves were made."""
        found = [self._array(f"frc/{name}", np.float64) for name in ("frequency", "frc", "half_bit", "one_bit")]
        curves = [curve for curve in found if curve is not None and curve.ndim == 1 and curve.size > 1]
        if len(curves) < 4 or len({curve.shape for curve in curves}) != 1:
            return None
        resolution = self._attribute("frc", "resolution")
        known = isinstance(resolution, float | np.floating) and np.isfinite(resolution) and resolution > 0
        frequency, frc, half_bit, one_bit = curves
        return Rings(frequency, frc, half_bit, one_bit, float(resolution) if known else None)

    def _names(self, group: str, attribute: str) -> list[str]:
        found = self._attribute(group, attribute)
        return [] if found is None else [text_of(name) for name in np.ravel(found)]


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Put 0 where a value isn't finite."""
    return np.asarray(np.nan_to_num(values, copy=False, nan=0, posinf=0, neginf=0))
