"""Rows of a scan as blocks: each rank reads its share of the frames, and gets all frames of its own rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Backend
from hpcdaas.parallel import Comm
from hpcdaas.parallel.reslice import Reslice
from hpcdaas.parallel.split import rows_to_read, shares
from hpcdaas.scan import Frames, Scan
from hpcdaas.tomo.block import Block


@dataclass
class Rows:
    """What this rank has read of a block.

    Attributes
    ----------
    spans : sequence of range
        The detector rows of each rank.
    halo : int
        Rows at each end of them.
    frames : list of ndarray, (own frame, row, column)
        Of projections, flats by group, darks: all ranks' rows.
    reuse : bool
        Whether the block before this one is over when this one is made.
    """

    spans: Sequence[range]
    halo: int
    frames: list[NDArray[Any]]
    reuse: bool = False


class Source:
    """Gives blocks of a scan, with the flats and darks of their rows.

    Parameters
    ----------
    scan : Scan
    backend : Backend
    comm : Comm
    """

    def __init__(self, scan: Scan, backend: Backend, comm: Comm) -> None:
        self.scan, self.backend, self.comm = scan, backend, comm
        self.angles = np.deg2rad(scan.angles)
        fields = [group.frames for group in scan.flats] + ([scan.darks] if scan.darks is not None else [])
        self._projections = _Stack(scan.projections, comm)
        self._fields = [_Stack(frames, comm) for frames in fields]

    def hold(self, rows: range, halo: int) -> None:
        """Read this rank's frames of some rows, in the order of the file, and keep them."""
        self._projections.hold(rows, halo)

    def release(self) -> None:
        """Give back the memory of counts that are held, and of blocks."""
        for stack in (self._projections, *self._fields):
            stack.release()

    def read(self, spans: Sequence[range], halo: int = 0, reuse: bool = False) -> Rows:
        """Read this rank's frames of a block; nothing is exchanged yet.

        Parameters
        ----------
        spans : sequence of range
            Detector rows of each rank; with a step only where `halo` is 0 or each is a single row.
        halo : int
            Rows at each end for PROJECTION steps; beyond the detector its edge rows are repeated.
        reuse : bool
            Use the memory of the block before the last one, which is over then: fresh memory costs as much as
            reading does.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        for field in self._fields:
            if field.frames.whole_frames:  # decoded once
                field.hold(range(self.scan.shape[1]), 0)
        reads, _ = rows_to_read(spans, halo)
        frames = [self._projections.read(reads, reuse), *(field.read(reads) for field in self._fields)]
        return Rows(spans, halo, frames, reuse)

    def block(self, rows: Rows, center: float | None = None) -> Block:
        """Make the block of this rank's rows, with all ranks' frames; called by all of them.

        Parameters
        ----------
        rows : Rows
        center : float, optional
            Rotation centre, once it is known.
        """
        _, places = rows_to_read(rows.spans, rows.halo)
        stacks = [self._projections, *self._fields]
        data, *fields = (
            stack.exchange(frames, places, rows.reuse) for stack, frames in zip(stacks, rows.frames, strict=True)
        )
        own, halo = rows.spans[self.comm.rank], rows.halo
        darks = fields.pop() if self.scan.darks is not None else np.empty((0, *data.shape[1:]), np.float32)
        return replace(
            self.empty(),
            data=data,
            darks=darks,
            flats=[(group.when, frames) for group, frames in zip(self.scan.flats, fields, strict=True)],
            rows=np.arange(own.start - halo, own[-1] + halo + 1) if halo and len(own) else np.array(own, np.int64),
            halo=halo,
            center=center,
        )

    def empty(self) -> Block:
        """Give a block with the scan's geometry and no rows."""
        scan = self.scan
        nothing = np.empty((0, 0, scan.shape[2]), np.float32)
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


class _Stack:
    """Frames of which this rank reads a share."""

    def __init__(self, frames: Frames, comm: Comm) -> None:
        self.frames = frames
        parts = shares(frames.shape[0], comm.size)
        self.mine = parts[comm.rank]
        self._reslice = Reslice(comm, parts)
        self._held: NDArray[Any] | None = None
        self._first_held = 0
        self._ring: deque[NDArray[Any]] = deque(maxlen=2)

    def hold(self, rows: range, halo: int) -> None:
        """Read this rank's frames of some rows, unless they are held already."""
        if self._held is None:
            first, stop = max(0, rows.start - halo), min(self.frames.shape[1], rows.stop + halo)
            self._held = self._from_file(slice(first, stop), None)
            self._first_held = first

    def release(self) -> None:
        """Give all memory back."""
        self._held = None
        self._ring.clear()
        self._reslice.release()

    def read(self, reads: Sequence[range], reuse: bool = False) -> NDArray[Any]:
        """Give this rank's frames of rows, one run after the other; rows off the detector repeat those at its edge."""
        height = self.frames.shape[1]
        if len(reads) == 1 and reads[0].start >= 0 and reads[0][-1] < height:
            rows = slice(reads[0].start, reads[0].stop, reads[0].step)
            if self._held is None:
                return self._from_file(rows, self._memory(len(reads[0])) if reuse else None)
            first = self._first_held
            # A view: kernels load the counts from where they are. Steps that write copy it first.
            return self._held[:, rows.start - first : rows.stop - first : rows.step]
        if self._held is not None:
            wanted = np.concatenate([np.arange(run.start, run.stop) for run in reads]) if reads else np.arange(0)
            return self._held[:, np.clip(wanted, 0, height - 1) - self._first_held]
        out = np.empty((len(self.mine), sum(map(len, reads)), self.frames.shape[2]), self.frames.dtype)
        at = 0
        for run in reads:
            self._padded(run, out[:, at : at + len(run)])
            at += len(run)
        return out

    def _padded(self, run: range, out: NDArray[Any]) -> None:
        first, stop = max(0, run.start), min(self.frames.shape[1], run.stop)
        above = first - run.start
        inner = out[:, above : above + stop - first]
        self._from_file(slice(first, stop), inner)
        out[:, :above] = inner[:, :1]
        out[:, above + stop - first :] = inner[:, -1:]

    def _from_file(self, rows: slice, out: NDArray[Any] | None) -> NDArray[Any]:
        return self.frames.read(slice(self.mine.start, self.mine.stop), rows, out)

    def _memory(self, rows: int) -> NDArray[Any]:
        """Give memory for a block: that of the block before the last one where it is large enough."""
        shape = (len(self.mine), rows, self.frames.shape[2])
        size = int(np.prod(shape, dtype=np.int64))
        old = self._ring[0] if len(self._ring) == 2 else np.empty(0, self.frames.dtype)
        self._ring.append(old if old.size >= size else np.empty(size, self.frames.dtype))
        return self._ring[-1][:size].reshape(shape)

    def exchange(self, frames: NDArray[Any], places: Sequence[slice], reuse: bool) -> NDArray[Any]:
        """Give all frames of this rank's rows."""
        return self._reslice.exchange(frames, places, reuse)
