"""Frames on their way to the primitives: held in memory, or read again in pieces while others are computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.views import Batch, Int32
from hpcdaas.errors import InputError
from hpcdaas.ptycho.frames import Cut
from hpcdaas.scan import PtychoScan

#: Bytes of frames, as the file has them, that are read at once.
AT_ONCE = 64 << 20


class Source:
    """The frames of a scan as they are used.

    Parameters
    ----------
    scan : PtychoScan
    cut : Cut
        What is used of a frame.
    corners : ndarray, (view, 2), int32
        Windows of the views that are used here.
    piece : int or None
        Views that are in memory at once; None where all are.
    views : ndarray, (view,), int32, optional
        Their numbers in the scan, ascending; default: all.

    Raises
    ------
    InputError
        If a frame can't be read or holds values that are not finite.
    """

    def __init__(
        self, scan: PtychoScan, cut: Cut, corners: Int32, piece: int | None = None, views: Int32 | None = None
    ) -> None:  # fmt: skip
        self.scan, self.cut, self.corners, self.piece = scan, cut, corners, piece
        self.views = np.arange(len(corners), dtype=np.int32) if views is None else views
        frame = int(np.prod(scan.frames.shape[1:])) * scan.frames.dtype.itemsize
        self._at_once = max(1, AT_ONCE // frame)
        self._held = self._hold() if piece is None else None

    def at(self, corners: Int32) -> Source:
        """Give the same frames with their views elsewhere on the object."""
        other = copy(self)
        other.corners = corners
        return other

    def __len__(self) -> int:
        return len(self.corners)

    def batches(self, order: Int32, bounds: Sequence[int] | None = None) -> Iterator[tuple[Batch, list[int]]]:
        """Give views in an order, as many at once as may be in memory.

        Parameters
        ----------
        order : ndarray, (k,), int32
            Views, counted among those that are used here.
        bounds : sequence of int, optional
            Groups that stay whole: views ``order[bounds[i]:bounds[i + 1]]``.

        Yields
        ------
        batch : Batch
        bounds : list of int
            Of the groups in it, from 0.
        """
        edges = list(bounds) if bounds is not None else [0, len(order)]
        if self._held is not None:
            yield Batch(self._held, order, self.corners[order], order), edges
            return
        pieces = list(self._pieces(len(order), edges, whole=bounds is not None))
        with ThreadPoolExecutor(1, "read") as reader:
            coming = reader.submit(self._read, order[slice(*pieces[0][:2])])
            for i, (first, last, inner) in enumerate(pieces):
                frames = coming.result()
                if i + 1 < len(pieces):
                    coming = reader.submit(self._read, order[slice(*pieces[i + 1][:2])])
                views = order[first:last]
                yield Batch(frames, np.arange(last - first, dtype=np.int32), self.corners[views], views), inner

    def _pieces(self, count: int, edges: list[int], whole: bool) -> Iterator[tuple[int, int, list[int]]]:
        """Cut the order into pieces (first, last, inner bounds), between groups where these stay whole."""
        assert self.piece is not None
        if not whole:
            for first in range(0, count, self.piece):
                last = min(first + self.piece, count)
                yield first, last, [0, last - first]
            return
        start = 0
        while start < len(edges) - 1:
            stop = start + 1
            while stop + 1 < len(edges) and edges[stop + 1] - edges[start] <= self.piece:
                stop += 1
            yield edges[start], edges[stop], [edge - edges[start] for edge in edges[start : stop + 1]]
            start = stop

    def _hold(self) -> NDArray[Any]:
        return self._read(np.arange(len(self), dtype=np.int32))

    def _read(self, views: Int32) -> NDArray[Any]:
        """Read some views, in the order of the file where that helps."""
        n, stored = self.cut.n, self.scan.frames.dtype
        out = np.empty((len(views), n, n), self.cut.dtype(stored))
        numbers = self.views[views]
        sorting = np.argsort(numbers)
        runs = np.split(sorting, np.flatnonzero(np.diff(numbers[sorting]) != 1) + 1)
        for run in runs:
            for start in range(0, len(run), self._at_once):
                part = run[start : start + self._at_once]
                first = int(numbers[part[0]])
                out[part] = self._checked(self._read_run(first, first + len(part)), first)
        return out

    def _read_run(self, first: int, last: int) -> NDArray[Any]:
        return self.cut.apply(self.scan.frames.read(slice(first, last), slice(None)))

    def _checked(self, frames: NDArray[Any], first: int) -> NDArray[Any]:
        if frames.dtype.kind == "f" and not np.isfinite(frames).all():
            wrong = first + int(np.flatnonzero(~np.isfinite(frames).all(axis=(1, 2)))[0])
            raise InputError(f"Frame {wrong} holds values that are not finite.")
        return frames
