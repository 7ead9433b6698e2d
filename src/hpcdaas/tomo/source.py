"""Rows of a scan as blocks: read by themselves, or from counts that are held in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Backend
from hpcdaas.scan import Frames, Scan
from hpcdaas.tomo.block import Block


class Source:
    """Gives blocks of a scan, with the flats and darks of their rows.

    Parameters
    ----------
    scan : Scan
    backend : Backend
    """

    def __init__(self, scan: Scan, backend: Backend) -> None:
        self.scan = scan
        self.backend = backend
        self.angles = np.deg2rad(scan.angles)
        self._held: NDArray[Any] | None = None
        self._first_held = 0
        self._fields: dict[int, NDArray[Any]] = {}
        self._ring: deque[NDArray[Any]] = deque(maxlen=2)

    def hold(self, rows: range, halo: int) -> None:
        """Read the counts of some rows, all frames in the order of the file, and keep them."""
        first, stop = max(0, rows.start - halo), min(self.scan.shape[1], rows.stop + halo)
        self._held = self.scan.projections.read(slice(None), slice(first, stop))
        self._first_held = first

    def block(self, rows: range, halo: int = 0, center: float | None = None, reuse: bool = False) -> Block:
        """Read the rows of a block.

        Parameters
        ----------
        rows : range
            Detector rows; with a step only where `halo` is 0 or it is a single row.
        halo : int
            Rows at each end for PROJECTION steps; beyond the detector its edge rows are repeated.
        center : float, optional
            Rotation centre, once it is known.
        reuse : bool
            Read into the memory of the block before the last one, which is over then: fresh memory costs as
            much as reading does.

        Returns
        -------
        Block

        Raises
        ------
        InputError
            If the file is damaged.
        """
        if len(rows) == 1:
            rows = range(rows.start, rows.start + 1)
        if halo and rows.step > 1:
            raise ValueError("rows that are apart come one by one where there is a halo")
        scan = self.scan
        return replace(
            self.empty(),
            data=self._read(scan.projections, rows, halo, held=True, out=self._memory(rows, halo) if reuse else None),
            darks=self._field(scan.darks, rows, halo) if scan.darks is not None else self._none(rows, halo),
            flats=[(group.when, self._field(group.frames, rows, halo)) for group in scan.flats],
            rows=np.arange(rows.start - halo, rows.stop + halo, rows.step),
            halo=halo,
            center=center,
        )

    def empty(self) -> Block:
        """Give a block with the scan's geometry and no rows."""
        scan = self.scan
        nothing = self._none(range(0), 0)
        return Block(
            data=nothing,
            angles=self.angles,
            backend=self.backend,
            darks=nothing,
            flats=[],
            first_projection=0,
            rows=np.empty(0, np.int64),
            pixel_size=scan.pixel_size,
            energy=scan.energy,
            distance=scan.distance,
        )

    def _none(self, rows: range, halo: int) -> NDArray[Any]:
        return np.empty((0, len(rows) + 2 * halo, self.scan.shape[2]), np.float32)

    def _field(self, frames: Frames, rows: range, halo: int) -> NDArray[Any]:
        """Rows of flats or darks; where storage gives whole frames only, they are decoded once and kept."""
        if not frames.whole_frames:
            return self._read(frames, rows, halo, held=False)
        if id(frames) not in self._fields:
            self._fields[id(frames)] = frames.read(slice(None), slice(None))
        return self._fields[id(frames)][:, self._clipped(rows, halo)]

    def _memory(self, rows: range, halo: int) -> NDArray[Any]:
        """Give memory for a block: that of the block before the last one where it is large enough."""
        shape = (self.scan.shape[0], len(rows) + 2 * halo, self.scan.shape[2])
        size = int(np.prod(shape, dtype=np.int64))
        old = self._ring[0] if len(self._ring) == 2 else np.empty(0, self.scan.projections.dtype)
        self._ring.append(old if old.size >= size else np.empty(size, self.scan.projections.dtype))
        return self._ring[-1][:size].reshape(shape)

    def _read(
        self, frames: Frames, rows: range, halo: int, held: bool, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        height = self.scan.shape[1]
        if held and self._held is not None:
            if halo == 0:
                first = self._first_held
                # A view: kernels load the counts from where they are. Steps that write copy it first.
                return self._held[:, rows.start - first : rows.stop - first : rows.step]
            return self._held[:, self._clipped(rows, halo) - self._first_held]
        if halo == 0:
            return frames.read(slice(None), slice(rows.start, rows.stop, rows.step), out)
        first, stop = max(0, rows.start - halo), min(height, rows.stop + halo)
        if out is None:
            out = np.empty((frames.shape[0], rows.stop - rows.start + 2 * halo, frames.shape[2]), frames.dtype)
        above = first - (rows.start - halo)
        inner = out[:, above : above + stop - first]
        frames.read(slice(None), slice(first, stop), inner)
        out[:, :above] = inner[:, :1]
        out[:, above + stop - first :] = inner[:, -1:]
        return out

    def _clipped(self, rows: range, halo: int) -> NDArray[np.int64]:
        wanted = np.arange(rows.start, rows.stop, rows.step)
        if halo:
            wanted = np.arange(rows.start - halo, rows.stop + halo)
        return np.clip(wanted, 0, self.scan.shape[1] - 1)
