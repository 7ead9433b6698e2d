"""Reading, computing and writing of a reconstruction, each alone: the limits of the whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common import timed
from hpcdaas.backend import Float32
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.direct import DirectWriter, page_aligned
from hpcdaas.io import open_scan
from hpcdaas.pipeline.tomography import Tomography
from hpcdaas.recipe import default_recipe
from hpcdaas.tomo.plan import BATCH


class Nowhere:
    """Takes slices and forgets them."""

    def has(self, first: int, count: int) -> bool:
        """Have nothing."""
        return False

    def put(self, first: int, slices: Float32, tally: Mapping[str, int]) -> None:
        """Forget them."""


class Parts:
    """The default recipe on a scan, in this process.

    Parameters
    ----------
    path : Path
        The scan.
    memory : int
        Budget in bytes, from which the size of a block follows.
    rows : str, optional
        Detector rows ``A:B:STEP``; default all.
    """

    def __init__(self, path: Path, memory: int, rows: str | None = None) -> None:
        self.scan = open_scan(path)
        self.recipe = default_recipe().override([f'scan.rows="{rows}"'] if rows else [])
        self.backend = CpuBackend()
        self.memory = memory
        work = self.tomography()
        self.rows, self.plan = work.rows, work.plan()

    def tomography(self) -> Tomography:
        """Give a fresh one."""
        return Tomography(self.scan, self.recipe, self.backend, self.memory)

    def read(self) -> None:
        """Read all rows, block by block, as the pipeline does."""
        source = self.tomography().volume.source
        for i in range(0, len(self.rows), self.plan.block):
            source.block(source.read([self.rows[i : i + self.plan.block]]))

    def reconstruct(self, work: Tomography) -> None:
        """Find the centre and make all slices, which nobody keeps."""
        work.volume.center = work.find_center().center
        work.volume.run(self.plan, Nowhere(), progress=lambda done: None, stop=lambda: None)

    def compute(self) -> float:
        """Hold the counts; then give the seconds of `reconstruct`."""
        work = self.tomography()
        work.volume.hold()
        return timed(lambda: self.reconstruct(work))()

    def write(self, path: Path) -> None:
        """Write as many bytes as the result has, in the pipeline's pieces, each synced."""
        n = self.scan.shape[2]
        slices = page_aligned((BATCH, n, n), np.float32)
        slices[...] = 1
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        writer = DirectWriter(path, descriptor)
        try:
            os.posix_fallocate(descriptor, 0, len(self.rows) * slices[0].nbytes)
            for first in range(0, len(self.rows), BATCH):
                writer.write(slices[: len(self.rows) - first], first * slices[0].nbytes)
                os.fdatasync(descriptor)
        finally:
            writer.close()
            os.close(descriptor)
            path.unlink()
