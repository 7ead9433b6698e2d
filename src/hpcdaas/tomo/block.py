"""A block: the rows of a scan that are in memory at once, and what steps may do with it.

Functions of steps, by axis:

========== ==========================================================================
POINT      ``f(block, parameters)``: changes the block
PROJECTION ``f(block, parameters)``: changes the block; `block.halo` rows at each end
           of the row axis are there to be used and are cut off when all are done
SINOGRAM   ``f(block, parameters)``: changes the block, each row by itself
SCAN       ``f(block, parameters)``: gives what it found (the centre)
SLICE      ``f(block, parameters, out)``: writes slices into `out` (row, y, x) float32
========== ==========================================================================
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Backend, Correction


@dataclass
class Block:
    """Projections of some detector rows, all angles.

    Attributes
    ----------
    data : ndarray, (angle, row, column)
        Raw counts in their stored type while corrections are pending, else float32.
    angles : ndarray, (angle,), float64
        Radians.
    backend : Backend
        Gives the primitives.
    flats : list of (when, ndarray (frame, row, column))
        Groups of flat fields of these rows, and the projection before which each was taken.
    darks : ndarray, (frame, row, column)
        The dark frames of these rows; may be empty.
    first_projection : int
        Index in the scan of `data[0]`, for flats interpolated in time.
    rows : ndarray, (row,), int
        Detector row of each row here.
    halo : int
        Rows at each end that are there for PROJECTION steps only.
    center : float or None
        Rotation centre in columns, once it is known.
    pixel_size, energy, distance : float or None
        m, eV, m.
    pending : Correction or None
        Flat field and logarithm that the next kernel applies while it loads the counts.
    tally : Counter
        What was counted on the way, for the result's metrics (``nonpositive``, ``zingers`` ...).
    """

    data: NDArray[Any]
    angles: NDArray[np.float64]
    backend: Backend
    darks: NDArray[Any]
    flats: list[tuple[float, NDArray[Any]]]
    first_projection: int
    rows: NDArray[np.int64]
    halo: int = 0
    center: float | None = None
    pixel_size: float | None = None
    energy: float | None = None
    distance: float | None = None
    pending: Correction | None = None
    tally: Counter[str] = field(default_factory=Counter)

    def values(self) -> NDArray[np.float32]:
        """Apply what is pending and give the block's data as float32 (angle, row, column), to be changed in place."""
        if self.pending is not None or self.data.dtype != np.float32:
            corrected, nonpositive = self.backend.correct(self.data, self.pending or Correction.none(self.data.shape))
            self.tally["nonpositive"] += nonpositive
            self.data, self.pending = corrected, None
        return self.data
