"""The primitives of ptychography, seconds per view and mode, against the bare transforms of the same view.

The floor is what no algorithm of its kind can do without: the complex64 transforms of a view's waves, in place, in the
cache, by the best plan that the FFT library finds (FFTW_PATIENT). Two of them for rPIE, LSQ-ML and a gradient, three
for an iteration of maximum likelihood (a gradient, and one look along the line). Difference map and RAAR also keep
their waves: one read and one write of a wave at the bandwidth of a copy of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyfftw

from common import Goal, Report, Rounds, interleave, options, per_piece, timed
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import ViewSetup
from hpcdaas.bench.views_job import EVALUATE, GRADIENT, PROJECT, ViewsJob, make_views, primitives

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


def floor_tasks(job: ViewsJob) -> dict[str, Callable[[], Any]]:
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


def measure(report: Report, job: ViewsJob, rounds: int) -> dict[str, list[float]]:
    """Add the figures of one size and number of modes; give the seconds of every round."""
    one, two = ("one thread", "two threads")
    setup = ViewSetup(job.n, job.modes, 1, np.ones((job.n, job.n), bool))
    what = f"{job.n}²" + (f", {job.modes} modes" if job.modes > 1 else "")

    def name(task: str, threads: str = "") -> str:
        return ", ".join(part for part in (task, what, threads) if part)

    tasks = {name(task): run for task, run in floor_tasks(job).items()}
    for threads, label in ((1, one), (2, two)):
        for task, run in primitives(job, CpuBackend(threads).views(setup)).items():
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
            seconds |= measure(report, make_views(n, side, modes), given.repeats)
    report.finish(given, Rounds(seconds))


if __name__ == "__main__":
    main()
