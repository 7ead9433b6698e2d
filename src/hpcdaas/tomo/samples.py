"""Rows that are looked at beside the run: for the centre, for pictures of a sinogram, for trial slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hpcdaas.backend import Float32
from hpcdaas.parallel.split import shares
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.volume import Volume


class Samples:
    """Some rows of a volume. All ranks call what is public here, in the same order.

    Parameters
    ----------
    volume : Volume
    """

    def __init__(self, volume: Volume) -> None:
        self.volume, self.comm = volume, volume.comm
        self._raw_middle: Block | None = None

    def _of_first(self, rows: range) -> Block:
        """Give a block of some rows to rank 0, and an empty one to the others."""
        spans = [rows, *[range(0)] * (self.comm.size - 1)]
        return self.volume.source.block(self.volume.source.read(spans, self.volume.halo))

    def center_block(self, most: int = 5) -> Block | None:
        """Give the sinograms on which the centre is looked for: a few rows, every step before `center` done.

        Rank 0 gets them, the others None.
        """
        volume, rows = self.volume, self.volume.rows
        inner = rows[len(rows) // 10 : len(rows) - len(rows) // 10] or rows
        chosen = inner[:: max(1, (len(inner) - 1) // (most - 1))][:most]
        with volume.clock.stage("center"):
            blocks = [self._of_first(some) for some in (_singly(chosen) if volume.halo else [chosen])]
            if self.comm.rank:
                return None
            blocks = [volume.prepared(block, volume.before_center) for block in blocks]
            if not volume.halo:
                return blocks[0]
            joined = np.concatenate([block.values() for block in blocks], axis=1)
            return replace(blocks[0], data=joined, rows=np.array(chosen), pending=None)

    def middle(self) -> tuple[Float32, Float32]:
        """Give the sinogram of the middle row before and after correction, each (angle, column)."""
        volume = self.volume
        kept = [found for found in self.comm.gather(volume.middle) if found is not None]
        if not kept:  # it went through in an attempt before this one, or nothing did yet
            block, made = self._middle_block(), None
            if self.comm.rank == 0:
                raw = block.data[:, block.halo].astype(np.float32)
                corrected = volume.prepared(replace(block, center=volume.center), volume.parts)
                made = (raw, corrected.values()[:, 0])
            kept = [self.comm.from_first(made)]
        volume.middle = kept[0]
        return kept[0]

    def _middle_block(self) -> Block:
        """Give the block of the middle row to rank 0."""
        if self._raw_middle is None:
            rows = self.volume.rows
            self._raw_middle = self._of_first(_singly(rows)[len(rows) // 2])
        return self._raw_middle

    def trials(self, centers: Sequence[float], edge: int) -> list[Float32]:
        """Reconstruct the middle row with some centres; give the middle of each slice, at most edge × edge."""
        if self.volume.wide is None:
            sinogram = self.middle()[1][:, None]
            blocks = [replace(self.volume.source.empty(), data=sinogram, center=center) for center in centers]
            mine = shares(len(centers), self.comm.size)[self.comm.rank]
        else:  # how the halves are joined depends on the centre, and rank 0 has them
            raw = self._middle_block()
            blocks = [replace(raw, data=raw.data.copy(), center=center) for center in centers]
            mine = range(0 if self.comm.rank else len(centers))
        own = [self._trial(blocks[i], edge) for i in mine]
        return [slice_ for some in self.comm.gather(own) for slice_ in some]

    def _trial(self, block: Block, edge: int) -> Float32:
        volume = self.volume
        prepared = block if volume.wide is None else volume.prepared(block, volume.parts)
        size = prepared.data.shape[2]
        out = np.empty((1, size, size), np.float32)
        volume.maker.step.apply(prepared, volume.maker.parameters, out)
        return middle_of(out[0], edge)


def _singly(rows: range) -> list[range]:
    return [range(row, row + 1) for row in rows]


def middle_of(image: Float32, edge: int) -> Float32:
    """Give the middle of an image, at most edge × edge."""
    start = max(0, (len(image) - edge) // 2)
    return image[start : start + edge, start : start + edge].copy()
