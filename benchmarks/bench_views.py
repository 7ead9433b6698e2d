"""The primitives of ptychography, seconds per view and mode, against the bare transforms of the same view.

The floor is what no algorithm of its kind can do without: the complex64 transforms of a view's waves, in place, in the
cache, by the best plan that the FFT library finds (FFTW_PATIENT). Two of them for rPIE, LSQ-ML and a gradient, three
for an iteration of maximum likelihood (a gradient, and one look along the line). Difference map and RAAR also keep
their waves: one read and one write of a wave at the bandwidth of a copy of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyfftw

from common import Goal, Report, Rounds, interleave, options, per_piece, timed
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import Batch, LsqStep, PieStep, Sums, Views, ViewSetup

PIE, LSQ = PieStep(0.1, 1.0, 0.1, 0.1), LsqStep(0.1, 0.1, True, True)
DIFFERENCE_MAP = (-1.0, 1.0, 2.0)
GRADIENT, EVALUATE, PROJECT = "gradient, gaussian", "evaluate, gaussian", "difference map"
GOALS = {
    "rPIE, batches of 1": Goal(1.5, 1.2),
    "rPIE, batches of 16": Goal(1.5, 1.2),
    "rPIE, batches of 32": Goal(1.5, 1.2),
    GRADIENT: Goal(1.5, 1.2),
    "gradient, poisson": Goal(1.5, 1.2),
    "LSQ-ML, sparse groups of 16": Goal(2.2, 1.6),
    "LSQ-ML, sparse groups of 64": Goal(2.2, 1.6),
    "LSQ-ML, compact groups of 32": Goal(2.2, 1.6),
}
#: A batch of one view has nothing to share out.
SEQUENTIAL = "rPIE, batches of 1"


@dataclass
class Job:
    """Views on a grid, a sixth of a window apart, and what is found out from them."""

    n: int
    modes: int
    batch: Batch
    object: Any
    probe: Any
    waves: Any

    def parts(self) -> tuple[Batch, Batch]:
        """Give the views in their order, whose groups are compact, and shuffled, whose groups are sparse."""
        b, order = self.batch, np.random.default_rng(1).permutation(len(self.batch))
        return b, Batch(b.frames, b.frame[order], b.corners[order], b.slot[order])  # type: ignore[index]


def make_job(n: int, side: int, modes: int) -> Job:
    """Make side × side views of random fields, their frames of 20 counts a pixel."""
    rng, count = np.random.default_rng(0), side * side
    corners = np.stack(np.divmod(np.arange(count), side), 1) * (n // 6) + rng.integers(0, 3, (count, 2))
    shape = (1, *(corners.max(axis=0) + n))
    object_ = np.exp(1j * rng.random(shape)).astype(np.complex64)
    probe = (rng.standard_normal((modes, n, n)) + 1j * rng.standard_normal((modes, n, n))).astype(np.complex64)
    index = np.arange(count, dtype=np.int32)
    batch = Batch(rng.poisson(20, (count, n, n)).astype(np.uint16), index, corners.astype(np.int32), index)
    return Job(n, modes, batch, object_, probe, np.zeros((count, modes, n, n), np.complex64))


def bounds(count: int, size: int) -> list[int]:
    """Give the bounds of batches."""
    return [*range(0, count, size), count]


def own_tasks(job: Job, views: Views) -> dict[str, Callable[[], Any]]:
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


def floor_tasks(job: Job) -> dict[str, Callable[[], Any]]:
    """Give two bare transforms for each view and mode, and a copy of all waves."""
    square = pyfftw.zeros_aligned((job.n, job.n), "complex64", n=64)
    ways = [
        pyfftw.FFTW(square, square, axes=(0, 1), direction=way, flags=("FFTW_PATIENT",))
        for way in ("FFTW_FORWARD", "FFTW_BACKWARD")
    ]
    target = np.zeros_like(job.waves)

    def transforms() -> None:
        for _ in range(len(job.batch) * job.modes):
            for way in ways:
                way.execute()

    return {"two transforms": transforms, "copy of waves": lambda: np.copyto(target, job.waves)}


def measure(report: Report, job: Job, rounds: int) -> dict[str, list[float]]:
    """Add the figures of one size and number of modes; give the seconds of every round."""
    one, two = ("one thread", "two threads")
    setup = ViewSetup(job.n, job.modes, 1, np.ones((job.n, job.n), bool))
    what = f"{job.n}²" + (f", {job.modes} modes" if job.modes > 1 else "")

    def name(task: str, threads: str = "") -> str:
        return ", ".join(part for part in (task, what, threads) if part)

    tasks = {name(task): run for task, run in floor_tasks(job).items()}
    for threads, label in ((1, one), (2, two)):
        for task, run in own_tasks(job, CpuBackend(threads).views(setup)).items():
            tasks[name(task, label)] = run
    for run in tasks.values():
        run()
    pieces = len(job.batch) * job.modes
    found = interleave(per_piece({task: timed(run) for task, run in tasks.items()}, pieces), rounds)
    floor, three, kept = name("two transforms"), name("three transforms"), name("two transforms and a copy")
    found = found.sum(three, {floor: 1.5}).sum(kept, {floor: 1, name("copy of waves"): 1})
    for label in (one, two):
        look = {name(task, label): 1.0 for task in (GRADIENT, EVALUATE)}
        found = found.sum(name("iteration of ML", label), look)
    for task, goal in GOALS.items():
        report.compare(found, name(task, one), floor, goal)
    report.compare(found, name("iteration of ML", one), three, Goal(1.5, 1.2))
    report.compare(found, name(PROJECT, one), kept, Goal(1.6, 1.25))
    for task in (*GOALS, "iteration of ML", PROJECT):
        if task != SEQUENTIAL:
            report.compare(found, name(task, two), name(task, one), Goal(1.8, 1.95, at_least=True))
    return dict(found.seconds)


def main() -> None:
    parser = options(__doc__ or "", repeats=7)
    given = parser.parse_args()
    sizes, side = ((32,), 4) if given.quick else ((128, 256), 16)
    settings = {"views": side * side, "counts": "uint16", "step": "n/6", "rounds": given.repeats}
    report = Report("views", settings, notes=["Times are per view and mode."])
    seconds: dict[str, list[float]] = {}
    for n in sizes:
        for modes in (1, 2):
            seconds |= measure(report, make_job(n, side, modes), given.repeats)
    report.finish(given, Rounds(seconds))


if __name__ == "__main__":
    main()
