"""The views of the figures: random fields on a grid, and what the primitives of ptychography do with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcdaas.backend.views import Batch, Complex64, LsqStep, PieStep, Sums, Views

PIE, LSQ = PieStep(0.1, 1.0, 0.1, 0.1), LsqStep(0.1, 0.1, True, True)
DIFFERENCE_MAP = (-1.0, 1.0, 2.0)
GRADIENT, EVALUATE, PROJECT = "gradient, gaussian", "evaluate, gaussian", "difference map"


@dataclass
class ViewsJob:
    """Views on a grid, a sixth of a window apart, and what is found out from them."""

    n: int
    modes: int
    batch: Batch
    object: Complex64
    probe: Complex64
    waves: Complex64

    def parts(self) -> tuple[Batch, Batch]:
        """Give the views in their order, whose groups are compact, and shuffled, whose groups are sparse."""
        b, order = self.batch, np.random.default_rng(1).permutation(len(self.batch))
        assert b.slot is not None
        return b, Batch(b.frames, b.frame[order], b.corners[order], b.slot[order])


def make_views(n: int, side: int, modes: int) -> ViewsJob:
    """Make side × side views of random fields, their frames of 20 counts a pixel."""
    rng, count = np.random.default_rng(0), side * side
    corners = np.stack(np.divmod(np.arange(count), side), 1) * (n // 6) + rng.integers(0, 3, (count, 2))
    shape = (1, *(corners.max(axis=0) + n))
    object_ = np.exp(1j * rng.random(shape)).astype(np.complex64)
    probe = (rng.standard_normal((modes, n, n)) + 1j * rng.standard_normal((modes, n, n))).astype(np.complex64)
    index = np.arange(count, dtype=np.int32)
    batch = Batch(rng.poisson(20, (count, n, n)).astype(np.uint16), index, corners.astype(np.int32), index)
    return ViewsJob(n, modes, batch, object_, probe, np.zeros((count, modes, n, n), np.complex64))


def bounds(count: int, size: int) -> list[int]:
    """Give the bounds of batches."""
    return [*range(0, count, size), count]


def primitives(job: ViewsJob, views: Views) -> dict[str, Callable[[], Any]]:
    """Give the runs over all views. Fields move, and so each task that moves them has its own."""
    ordered, shuffled = job.parts()
    count = len(ordered)
    sums = Sums.zeros(job.object, job.probe)

    def move(run: Callable[..., Any], batch: Batch, size: int, *more: Any) -> Callable[[], Any]:
        fields = job.object.copy(), job.probe.copy()
        return lambda: run(batch, bounds(count, size), *fields, *more)

    tasks: dict[str, Callable[[], Any]] = {
        GRADIENT: lambda: views.gradient(ordered, job.object, job.probe, "gaussian", sums),
        "gradient, poisson": lambda: views.gradient(ordered, job.object, job.probe, "poisson", sums),
        EVALUATE: lambda: views.evaluate(ordered, job.object, job.probe, "gaussian"),
        PROJECT: lambda: views.project(ordered, job.object, job.probe, job.waves, DIFFERENCE_MAP, sums),
        "LSQ-ML, compact groups of 32": move(views.lsq, ordered, 32, LSQ, sums),
    }
    for size in (1, 16, 32):
        tasks[f"rPIE, batches of {size}"] = move(views.pie, shuffled, size, PIE)
    for size in (16, 64):
        tasks[f"LSQ-ML, sparse groups of {size}"] = move(views.lsq, shuffled, size, LSQ, None)
    views.exit_waves(ordered, job.object, job.probe, job.waves)
    return tasks
