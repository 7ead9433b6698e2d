"""A volume: blocks of rows are read, corrected, turned into slices and handed on, all at the same time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any, Protocol

import numpy as np

from hpcdaas.backend import Backend, Float32
from hpcdaas.direct import page_aligned
from hpcdaas.scan import Scan
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.field_of_view import output_columns
from hpcdaas.tomo.plan import BATCH, WAITING, Load, Plan
from hpcdaas.tomo.source import Source


class Part(Protocol):
    """A step with its parameters, as a recipe holds it."""

    @property
    def step(self) -> Step:
        """The step."""
        ...

    @property
    def parameters(self) -> Any:
        """Its parameters."""
        ...


class Sink(Protocol):
    """Takes finished slices."""

    def has(self, first: int, count: int) -> bool:
        """Say whether these slices are there already, from before."""
        ...

    def put(self, first: int, slices: Float32, tally: Counter[str]) -> None:
        """Take slices first … (row, n, n) and what was counted with them; return when they are safe."""
        ...


@dataclass
class Clock:
    """Seconds by stage, added up over threads."""

    seconds: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time spent inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self.lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Volume:
    """One scan and one recipe on one backend.

    Parameters
    ----------
    scan : Scan
    parts : sequence of Part
        The recipe's steps in their order.
    backend : Backend
    rows : range
        Detector rows to be reconstructed.
    """

    def __init__(self, scan: Scan, parts: Sequence[Part], backend: Backend, rows: range) -> None:
        self.scan, self.backend, self.rows = scan, backend, rows
        self.parts = [p for p in parts if p.step.axis in (Axis.POINT, Axis.PROJECTION, Axis.SINOGRAM)]
        self.maker = next(p for p in parts if p.step.axis is Axis.SLICE)
        before = [p.step.axis for p in parts]
        self.before_center = parts[: before.index(Axis.SCAN)] if Axis.SCAN in before else []
        self.halo = sum(p.step.halo(p.parameters, scan) for p in self.parts)  # each uses what the one before it made
        self.source = Source(scan, backend)
        self.clock = Clock()
        self.wide = next((p for p in parts if p.step.name == "extended"), None)
        #: Rotation centre, columns, once it is known.
        self.center: float | None = None
        self.held = False
        self._middle: tuple[Float32, Float32] | None = None
        self._ahead: Future[Block] | None = None

    @property
    def size(self) -> int:
        """Pixels along an edge of a slice; before the centre is known, the most that there may be."""
        columns = self.scan.shape[2]
        if self.wide is None:
            return columns
        if self.center is None:
            return 2 * columns
        return output_columns(self.wide.parameters, self.scan, self.center)

    def load(self, work: int) -> Load:
        """Say what this asks of the memory; `work` is what the backend needs for a batch, in bytes."""
        angles, _, columns = self.scan.shape
        fields = [group.frames for group in self.scan.flats]
        fields += [self.scan.darks] if self.scan.darks is not None else []
        kept = sum(f.shape[0] * f.shape[1] * columns * f.dtype.itemsize for f in fields if f.whole_frames)
        whole = self.scan.projections.whole_frames
        changing = any(p.step.axis is not Axis.POINT for p in self.parts)
        return Load(
            angles=angles,
            rows=len(self.rows),
            columns=columns,
            itemsize=self.scan.projections.dtype.itemsize,
            slice_bytes=4 * self.size**2,
            fixed=work + kept,
            field_frames=sum(f.shape[0] for f in fields),
            field_bytes=4 + max((f.dtype.itemsize for f in fields), default=0),
            halo=self.halo,
            float_copies=(2 if changing else 0) + (3 if self.wide else 0),
            whole_frames=whole,
            step=self.rows.step,
            finds_center=self.scan.center is None,
        )

    def hold(self) -> None:
        """Read all raw counts into memory."""
        self.held = True
        with self.clock.stage("read"):
            self.source.hold(range(self.rows.start, self.rows[-1] + 1), self.halo)

    def begin(self, plan: Plan) -> None:
        """Begin to read the first block; nothing else may be read before `run`: files have one reader at a time."""
        if not plan.hold:
            reader = ThreadPoolExecutor(1, "read")
            self._ahead = reader.submit(self._read, self.rows[: plan.block])
            reader.shutdown(wait=False)

    def _first(self, rows: range) -> Block:
        """Give the block that work begins with, which may have been read already, without a centre."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or rows != self.rows[: len(rows)]:
            return self._read(rows)
        return replace(ahead.result(), center=self.center)

    def center_block(self, most: int = 5) -> Block:
        """Give the sinograms on which the centre is looked for: a few rows, every step before `center` done."""
        inner = self.rows[len(self.rows) // 10 : len(self.rows) - len(self.rows) // 10] or self.rows
        chosen = inner[:: max(1, (len(inner) - 1) // (most - 1))][:most]
        with self.clock.stage("center"):
            if self.halo:
                single = [self.source.block(range(row, row + 1), self.halo) for row in chosen]
                blocks = [self._prepared(block, self.before_center) for block in single]
                joined = np.concatenate([block.values() for block in blocks], axis=1)
                return replace(blocks[0], data=joined, rows=np.array(chosen), pending=None)
            return self._prepared(self.source.block(chosen), self.before_center)

    def run(self, plan: Plan, sink: Sink, progress: Callable[[int], None], stop: Callable[[], None]) -> None:
        """Reconstruct all rows that the sink doesn't have yet.

        One thread reads the next block and one writes finished slices while this one computes.

        Parameters
        ----------
        plan : Plan
        sink : Sink
        progress : callable
            Told how many slices were made.
        stop : callable
            Asked at every boundary; raises where the run is to end.

        Raises
        ------
        InputError
            If the data can't be used.
        """
        blocks = [self.rows[i : i + plan.block] for i in range(0, len(self.rows), plan.block)]
        firsts = range(0, len(self.rows), plan.block)
        work = [(f, rows) for f, rows in zip(firsts, blocks, strict=True) if not sink.has(f, len(rows))]
        writing: list[Future[None]] = []
        # One batch is computed while others wait to be written; memory that was touched once is used again.
        ring = cycle(
            [page_aligned((min(BATCH, plan.block), self.size, self.size), np.float32) for _ in range(1 + WAITING)]
        )
        with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
            try:
                coming = reader.submit(self._first, work[0][1]) if work else None
                for i, (first, rows) in enumerate(work):
                    assert coming is not None
                    block = coming.result()
                    coming = reader.submit(self._read, work[i + 1][1]) if i + 1 < len(work) else None
                    for at, slices, tally in self._slices(block, rows, ring, stop):
                        writing.append(writer.submit(self._write, sink, first + at, slices, tally))
                        progress(len(slices))
                        while len(writing) > WAITING:
                            writing.pop(0).result()
                for future in writing:
                    future.result()
            except BaseException:
                for future in writing:
                    future.cancel()
                raise

    def middle(self) -> tuple[Float32, Float32]:
        """Give the sinogram of the middle row before and after correction, each (angle, column)."""
        if self._middle is None:  # it went through in an attempt before this one
            row = self.rows[len(self.rows) // 2]
            block = self.source.block(range(row, row + 1), self.halo, self.center)
            raw = block.data[:, block.halo].astype(np.float32)
            self._middle = (raw, self._prepared(block, self.parts).values()[:, 0])
        return self._middle

    def trial(self, center: float) -> Float32:
        """Reconstruct the middle row with some centre: (n, n)."""
        if self.wide is None:
            block = replace(self.source.empty(), data=self.middle()[1][:, None], center=center)
        else:  # how the halves are joined depends on the centre
            row = self.rows[len(self.rows) // 2]
            block = self._prepared(self.source.block(range(row, row + 1), self.halo, center), self.parts)
        size = block.data.shape[2]
        out = np.empty((1, size, size), np.float32)
        self.maker.step.apply(block, self.maker.parameters, out)
        first: Float32 = out[0]
        return first

    def _read(self, rows: range) -> Block:
        with self.clock.stage("read"):
            return self.source.block(rows, self.halo, self.center, reuse=not self.held)

    def _write(self, sink: Sink, first: int, slices: Float32, tally: Counter[str]) -> None:
        with self.clock.stage("write"):
            sink.put(first, slices, tally)

    def _slices(
        self, block: Block, rows: range, ring: Iterator[Float32], stop: Callable[[], None]
    ) -> Iterator[tuple[int, Float32, Counter[str]]]:
        """Correct a block and give its slices in batches, each with its place in the block and what was counted."""
        stop()
        middle = self.rows[len(self.rows) // 2]
        raw = block.data[:, block.halo + rows.index(middle)].astype(np.float32) if middle in rows else None
        with self.clock.stage("compute"):
            block = self._prepared(block, self.parts)
            if raw is not None:
                self._middle = (raw, _part(block, rows.index(middle), 1).values()[:, 0].copy())
        for at in range(0, len(rows), BATCH):
            stop()
            with self.clock.stage("compute"):
                part = _part(block, at, min(BATCH, len(rows) - at))
                slices = next(ring)[: part.data.shape[1]]
                self.maker.step.apply(part, self.maker.parameters, slices)
            # what was counted for the whole block goes with its first slices
            if at == 0:
                part.tally.update(block.tally)
            yield at, slices, part.tally

    def _prepared(self, block: Block, parts: Sequence[Part]) -> Block:
        """Run steps on a block and cut off its halo."""
        held = self.held
        for part in parts:
            if held and part.step.axis is not Axis.POINT:
                block.data, held = block.data.copy(), False  # others look at the held counts too
            part.step.apply(block, part.parameters)
        if not block.halo:
            return block
        return _part(block, block.halo, block.data.shape[1] - 2 * block.halo, tally=block.tally)


def _part(block: Block, first: int, count: int, tally: Counter[str] | None = None) -> Block:
    """Some rows of a block, as a view."""
    here = slice(first, first + count)
    pending = block.pending
    if pending is not None:
        pending = replace(pending, dark=pending.dark[here], net=pending.net[:, here])
    return replace(
        block,
        data=block.data[:, here],
        darks=block.darks[:, here],
        flats=[(when, frames[:, here]) for when, frames in block.flats],
        rows=block.rows[here],
        halo=0,
        pending=pending,
        tally=tally if tally is not None else Counter(),
    )
