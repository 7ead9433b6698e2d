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
from hpcdaas.parallel import Comm, Serial
from hpcdaas.parallel.split import split_rows
from hpcdaas.scan import Scan
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.field_of_view import output_columns
from hpcdaas.tomo.plan import BATCH, WAITING, Load, Plan
from hpcdaas.tomo.source import Rows, Source


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
    comm : Comm, optional
        Ranks that share the work: all of them call what is public here, in the same order.
    """

    def __init__(
        self, scan: Scan, parts: Sequence[Part], backend: Backend, rows: range, comm: Comm | None = None
    ) -> None:
        self.scan, self.backend, self.rows = scan, backend, rows
        self.comm = comm or Serial()
        self.parts = [p for p in parts if p.step.axis in (Axis.POINT, Axis.PROJECTION, Axis.SINOGRAM)]
        self.maker = next(p for p in parts if p.step.axis is Axis.SLICE)
        before = [p.step.axis for p in parts]
        self.before_center = parts[: before.index(Axis.SCAN)] if Axis.SCAN in before else []
        self.halo = sum(p.step.halo(p.parameters, scan) for p in self.parts)  # each uses what the one before it made
        self.source = Source(scan, backend, self.comm)
        self.clock = Clock()
        self.wide = next((p for p in parts if p.step.name == "extended"), None)
        #: Rotation centre, columns, once it is known.
        self.center: float | None = None
        self.held = False
        #: Sinogram of the middle row before and after correction, on the rank that came by it.
        self.middle: tuple[Float32, Float32] | None = None
        self._ahead: Future[Rows] | None = None

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
        ranks = self.comm.size
        kept = sum(-(-f.shape[0] // ranks) * f.shape[1] * columns * f.dtype.itemsize for f in fields if f.whole_frames)
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
            ranks=ranks,
            threads=self.backend.threads,
            row_work=max((p.step.row_work for p in self.parts), default=0) * angles * columns,
        )

    def hold(self) -> None:
        """Read all raw counts into memory."""
        self.held = True
        with self.clock.stage("read"):
            self.source.hold(range(self.rows.start, self.rows[-1] + 1), self.halo)

    def blocks(self, plan: Plan) -> list[range]:
        """Give the rows that all ranks have in memory at once, block after block."""
        tall = plan.block * self.comm.size
        return [self.rows[first : first + tall] for first in range(0, len(self.rows), tall)]

    def begin(self, plan: Plan) -> None:
        """Begin to read the first block; nothing else may be read before `run`: files have one reader at a time."""
        if not plan.hold:
            reader = ThreadPoolExecutor(1, "read")
            self._ahead = reader.submit(self._read, self.blocks(plan)[0])
            reader.shutdown(wait=False)

    def _first(self, rows: range) -> Rows:
        """Give what was read of the first block, which may have been done already."""
        ahead, self._ahead = self._ahead, None
        found = ahead.result() if ahead is not None else None
        if found is None or list(found.spans) != split_rows(rows, self.comm.size):
            return self._read(rows)
        return found

    def run(self, plan: Plan, sink: Sink, progress: Callable[[int], None], stop: Callable[[], None]) -> None:
        """Reconstruct all rows that the sink doesn't have yet.

        One thread reads the next block and one writes finished slices while this one computes.

        Parameters
        ----------
        plan : Plan
        sink : Sink
        progress : callable
            Told how many slices are done.
        stop : callable
            Asked at every boundary, on all ranks at the same; raises where the run is to end.

        Raises
        ------
        InputError
            If the data can't be used.
        """
        work, at = [], 0
        for rows in self.blocks(plan):
            if not sink.has(at, len(rows)):
                work.append((at, rows))
            at += len(rows)
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
                    read = coming.result()
                    stop()
                    block = self._exchanged(read)
                    coming = reader.submit(self._read, work[i + 1][1]) if i + 1 < len(work) else None
                    own = read.spans[self.comm.rank]
                    pause = stop if self.comm.size == 1 else _never
                    for at, slices, tally in self._slices(block, own, ring, pause) if len(own) else ():
                        place = self.rows.index(own[at])
                        writing.append(writer.submit(self._write, sink, place, slices, tally))
                        if self.comm.size == 1:
                            progress(first + at + len(slices))
                        while len(writing) > WAITING:
                            writing.pop(0).result()
                    progress(first + len(rows))
                for future in writing:
                    future.result()
            except BaseException:
                for future in writing:
                    future.cancel()
                raise
        middle = self.rows[len(self.rows) // 2]
        if self.wide is None and any(middle in rows for _, rows in work):
            self.source.release()  # nothing of it is looked at any more

    def _exchanged(self, read: Rows) -> Block:
        with self.clock.stage("exchange" if self.comm.size > 1 else "read"):
            return self.source.block(read, self.center)

    def _read(self, rows: range) -> Rows:
        with self.clock.stage("read"):
            return self.source.read(split_rows(rows, self.comm.size), self.halo, reuse=True)

    def _write(self, sink: Sink, first: int, slices: Float32, tally: Counter[str]) -> None:
        with self.clock.stage("write"):
            sink.put(first, slices, tally)

    def _slices(
        self, block: Block, rows: range, ring: Iterator[Float32], stop: Callable[[], None]
    ) -> Iterator[tuple[int, Float32, Counter[str]]]:
        """Correct a block and give its slices in batches, each with its place in the block and what was counted."""
        middle = self.rows[len(self.rows) // 2]
        raw = block.data[:, block.halo + rows.index(middle)].astype(np.float32) if middle in rows else None
        with self.clock.stage("compute"):
            block = self.prepared(block, self.parts)
            if raw is not None:
                self.middle = (raw, _part(block, rows.index(middle), 1).values()[:, 0].copy())
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

    def prepared(self, block: Block, parts: Sequence[Part]) -> Block:
        """Run steps on a block and cut off its halo."""
        held = self.held and self.comm.size == 1
        for part in parts:
            if held and part.step.axis is not Axis.POINT:
                block.data, held = block.data.copy(), False  # others look at the held counts too
            part.step.apply(block, part.parameters)
        if not block.halo:
            return block
        return _part(block, block.halo, block.data.shape[1] - 2 * block.halo, tally=block.tally)


def _never() -> None:
    """Where there are many ranks, they stop together: between blocks."""


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
