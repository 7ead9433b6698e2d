"""Reading, computing and writing of a reconstruction, each alone: the limits of the whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from common import timed
from hpcdaas.backend import Float32
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.io import open_scan
from hpcdaas.recipe import default_recipe
from hpcdaas.step import Axis
from hpcdaas.tomo.filters import padded_length
from hpcdaas.tomo.plan import BATCH, Plan, make_plan
from hpcdaas.tomo.volume import Volume


class Nowhere:
    """Takes slices and forgets them."""

    def has(self, first: int, count: int) -> bool:
        """Have nothing."""
        return False

    def put(self, first: int, slices: Float32) -> None:
        """Forget them."""


class Parts:
    """The default recipe on a scan, in this process.

    Parameters
    ----------
    path : Path
        The scan.
    memory : int
        Budget in bytes, from which the size of a block follows.
    rows : range, optional
        Detector rows; default all.
    """

    def __init__(self, path: Path, memory: int, rows: range | None = None) -> None:
        self.scan = open_scan(path)
        angles, height, columns = self.scan.shape
        self.rows = rows or range(height)
        self.backend = CpuBackend()
        self.recipe = default_recipe()
        work = self.backend.fbp_bytes(columns, BATCH, angles, padded_length(columns, 2), 1e-3)
        self.block = make_plan(self.volume().load(work), memory).block

    def volume(self) -> Volume:
        """Give a fresh volume."""
        return Volume(self.scan, self.recipe.steps, self.backend, self.rows)

    def read(self) -> None:
        """Read all rows, block by block, as the pipeline does."""
        source = self.volume().source
        for i in range(0, len(self.rows), self.block):
            source.block(self.rows[i : i + self.block])

    def compute(self) -> float:
        """Hold the counts; then give the seconds that finding the centre and all slices take."""
        volume = self.volume()
        volume.hold()
        return timed(lambda: self._compute(volume))()

    def _compute(self, volume: Volume) -> None:
        finder = self.recipe.only(Axis.SCAN)[0]
        center = finder.step.apply(volume.center_block(), finder.parameters).center
        block = Plan(self.block, hold=True, passes=1, bytes=0)
        volume.run(block, center, Nowhere(), progress=lambda done: None, stop=lambda: None)

    def write(self, path: Path) -> None:
        """Write as many bytes as the result has, in the pipeline's pieces, each synced."""
        n = self.scan.shape[2]
        slices = np.ones((BATCH, n, n), np.float32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.posix_fallocate(descriptor, 0, len(self.rows) * slices[0].nbytes)
            for first in range(0, len(self.rows), BATCH):
                piece = memoryview(slices[: len(self.rows) - first]).cast("B")
                at = first * slices[0].nbytes
                while piece:
                    done = os.pwrite(descriptor, piece, at)
                    piece, at = piece[done:], at + done
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()
