"""How slices are stored: type, crop, and whether as TIFF too."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hpcdaas.backend import Float32
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.scan import parse_slice
from hpcdaas.step import Axis, Step


class Store(Parameters):
    """Parameters of `store`."""

    dtype: Literal["float32", "uint16", "uint8"] = Field("float32", description="type of a voxel")
    low: float | None = Field(None, description="value that becomes 0 (default: found on a middle slice)")
    high: float | None = Field(None, description="value that becomes the largest number (default: found likewise)")
    y: str | None = Field(None, pattern=r"^\d*:\d*$", description="rows of the slice to keep, A:B")
    x: str | None = Field(None, pattern=r"^\d*:\d*$", description="columns of the slice to keep, A:B")
    tiff: bool = Field(False, description="write a TIFF stack beside the result too")

    @model_validator(mode="after")
    def _ordered(self) -> Store:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        return self

    def window(self, n: int) -> tuple[slice, slice]:
        """Give the kept rows and columns of slices of n×n.

        Raises
        ------
        InputError
            If they reach beyond the slice.
        """
        return parse_slice(self.y, n), parse_slice(self.x, n)

    @property
    def largest(self) -> int:
        """The largest stored number of an integer type."""
        return int(np.iinfo(self.dtype).max)


def store(slices: Float32, parameters: Store, low: float, high: float) -> NDArray[np.generic]:
    """Crop slices and turn them into the type in which they are stored.

    Integers hold round((value − low) / (high − low) × largest), clipped.

    Parameters
    ----------
    slices : ndarray, (row, n, n), float32
    parameters : Store
    low, high : float
        Values of 0 and of the largest number; of no use for float32.

    Returns
    -------
    ndarray, (row, y, x)
        A view where nothing changes.
    """
    y, x = parameters.window(slices.shape[1])
    kept = slices[:, y, x]
    if parameters.dtype == "float32":
        return kept
    scaled = (kept - np.float32(low)) * np.float32(parameters.largest / (high - low))
    return np.clip(np.rint(scaled, out=scaled), 0, parameters.largest, out=scaled).astype(parameters.dtype)


def limits(one: Float32, parameters: Store) -> tuple[float, float]:
    """Give the values of 0 and of the largest number, those not asked for from a slice.

    They are the 0.1 and 99.9 percentiles inside the inscribed disc, widened by a quarter on each side.

    Raises
    ------
    InputError
        If the slice is flat, so that nothing can be found on it.
    """
    if parameters.dtype == "float32":
        return 0.0, 1.0
    x = np.arange(len(one)) - (len(one) - 1) / 2
    a, b = np.percentile(one[x[:, None] ** 2 + x**2 <= x[-1] ** 2], (0.1, 99.9))
    margin = (b - a) / 4
    low = float(a - margin) if parameters.low is None else parameters.low
    high = float(b + margin) if parameters.high is None else parameters.high
    if not low < high:
        raise InputError("The grey levels for integers can't be found.", "Give -s store.low=... and -s store.high=...")
    return low, high


STEP = Step(name="store", apply=store, parameters=Store, axis=Axis.RESULT, place=90)
