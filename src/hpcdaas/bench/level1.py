"""Level 1: each primitive and algorithm, and its ratio to the floor that level 0 sets in the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import numpy as np

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import ViewSetup
from hpcdaas.bench import steps_job, tomo_job, views_job, work
from hpcdaas.bench.cores import Cores, threads_in_words
from hpcdaas.bench.figures import Goal
from hpcdaas.bench.ptycho_job import GROUP, Job, make_algorithm, simulation_job
from hpcdaas.bench.rounds import Rounds, Task, per_piece, timed, timed_again
from hpcdaas.bench.run import Run
from hpcdaas.bench.work import Work
from hpcdaas.tomo import steps
from hpcdaas.tomo.stripes import Stripes

#: Slices of a batch, sinograms of another, and pixels at which `fbp` is held against its definition.
SLICES, SINOGRAMS, PIXELS = 16, 2, 40
#: What is shown of the views' primitives, and whose work each is.
VIEWS = {
    views_job.EVALUATE: "evaluate",
    views_job.GRADIENT: "gradient",
    "rPIE, batches of 16": "rPIE",
    "LSQ-ML, sparse groups of 16": "LSQ-ML",
    "LSQ-ML, compact groups of 32": "LSQ-ML",
    views_job.PROJECT: "difference map",
}
#: Algorithms by their names in a recipe, and whose work an iteration is.
ALGORITHMS = {
    "dm": "difference map", "raar": "difference map", "rpie": "rPIE", "lsqml": "LSQ-ML", "ml": "iteration of ML",
}  # fmt: skip
BATCHED = {"rpie": {"batch": GROUP}, "lsqml": {"group": GROUP}}


def measure(run: Run) -> None:
    """Add the figures of primitives and algorithms."""
    _fbp(run, *((128, 90) if run.quick else (2048, 1500)))
    _rays(run, *((128, 90) if run.quick else (1024, 750)))
    _projections(run, *((24, 32, 2) if run.quick else (512, 1024, 6)))
    _sinograms(run, *((64, 48) if run.quick else (1024, 750)))
    for n, modes in ((32, 1),) if run.quick else ((128, 1), (128, 2), (256, 1)):
        _views(run, n, modes)
    _algorithms(run, *((40, 64) if run.quick else (256, 128)))


def _against_floors(
    run: Run, group: str, tasks: Mapping[int, Mapping[str, Task]], works: Mapping[str, Work]
) -> None:  # fmt: skip
    """Run tasks (by threads and name) in turns with what sets their floors, and add them with their ratios."""
    lengths = tuple(sorted({n for name in next(iter(tasks.values())) for n in works[name].lines}))
    every = [Cores(threads, run.quick) for threads in tasks]
    together: dict[str, Task] = {}
    for cores in every:
        together |= cores.tasks(lengths)
    for threads, named in tasks.items():
        together |= {f"{name}, {threads_in_words(threads)}": task for name, task in named.items()}
    rounds = run.interleave(group, together)
    for cores in every:
        cores.close()
    for threads, named in tasks.items():
        for name in named:
            _add(run, rounds, group, (name, threads), works[name])


def _add(run: Run, rounds: Rounds, group: str, which: tuple[str, int], piece: Work) -> None:
    name, threads = which
    task, floor = f"{name}, {threads_in_words(threads)}", "floor"
    held = piece.floor(rounds, floor, threads)
    run.report.compare(
        held, task, floor, group=group, bytes=piece.bytes, flops=piece.flops,
        limit=f"floor: {piece.bound(rounds, threads)}",
    )  # fmt: skip


def _fbp(run: Run, columns: int, angles: int) -> None:
    """The gridding primitive, from line integrals and from counts, and what makes one of the other."""
    group = f"tomography, slices of {columns}², {angles} angles"
    run.teller.begin(f"{group}: preparing", 1)
    job = tomo_job.make_job(columns, angles, SLICES)
    counts, correction = job.raw()
    out = job.slices
    tasks: dict[int, dict[str, Task]] = {}
    for threads in run.threads:
        plain, raw = CpuBackend(threads), CpuBackend(threads)

        def all_three(plain: CpuBackend = plain, raw: CpuBackend = raw) -> dict[str, Task]:
            return {
                "correct": timed_again(lambda: plain.correct(counts, correction)),
                "fbp": timed(lambda: plain.fbp(job.data, None, job.plan, out)),
                "fbp of raw counts": timed(lambda: raw.fbp(counts, correction, job.plan, out)),
            }

        tasks[threads] = per_piece(all_three(), SLICES)
    _against_floors(run, group, tasks, work.slices(columns, angles))
    some = [SLICES // 2 - 1, SLICES - 1]
    y, x = tomo_job.random_pixels(columns, PIXELS)
    CpuBackend().fbp(job.data, None, job.plan, out)
    error = tomo_job.relative_error(out[some][:, y, x], tomo_job.definition(job.data[:, some], job.plan, y, x))
    run.report.add(
        "residual of fbp", error, "", limit="eps", limit_value=job.plan.eps, ratio=error / job.plan.eps,
        goal=Goal(1), group=group, residual=True,
    )  # fmt: skip


def _rays(run: Run, columns: int, angles: int) -> None:
    """The ray sum over pixels, with and without filter, and its adjoint."""
    group = f"tomography, slices of {columns}², {angles} angles"
    run.teller.begin(f"{group}: preparing", 1)
    job = tomo_job.make_job(columns, angles, SLICES)
    out, lines = job.slices, np.empty_like(job.data)
    image = np.random.default_rng(3).standard_normal(out.shape, np.float32)
    theta, center = job.plan.angles, job.plan.center
    tasks: dict[int, dict[str, Task]] = {}
    for threads in run.threads:

        def all_three(backend: CpuBackend) -> dict[str, Callable[[], Any]]:
            return {
                "backproject": lambda: backend.filtered_backprojection(job.data, None, job.plan, out),
                "ray sum": lambda: backend.backproject(job.data, theta, center, out),
                "projector": lambda: backend.project(image, theta, center, lines),
            }

        named = all_three(CpuBackend(threads))
        tasks[threads] = per_piece({name: timed(work) for name, work in named.items()}, SLICES)
    _against_floors(run, group, tasks, work.slices(columns, angles))


def _projections(run: Run, rows: int, columns: int, angles: int) -> None:
    """The steps that go over projections: zingers and phase."""
    group = f"tomography, projections of {rows} × {columns}"
    run.teller.begin(f"{group}: preparing", 1)
    counts = steps_job.make_block(rows, columns, angles)
    known = steps()
    light = steps_job.corrected(counts, "flatfield")
    tasks: dict[int, dict[str, Task]] = {}
    for threads in run.threads:
        named = {
            "outliers": steps_job.step_task(counts, threads, known["outliers"]),
            "phase": steps_job.step_task(light, threads, known["phase"], delta_beta=steps_job.DELTA_BETA),
        }
        tasks[threads] = per_piece(named, angles)
    _against_floors(run, group, tasks, work.projections(rows, columns, steps_job.margin(light)))


def _sinograms(run: Run, columns: int, angles: int) -> None:
    """The step that goes over sinograms: stripes."""
    group = f"tomography, sinograms of {columns} columns, {angles} angles"
    run.teller.begin(f"{group}: preparing", 1)
    lines = steps_job.corrected(steps_job.make_block(SINOGRAMS, columns, angles), "flatfield", "minus_log")
    found = {threads: {"stripes": steps_job.step_task(lines, threads, steps()["stripes"])} for threads in run.threads}
    tasks = {threads: per_piece(named, SINOGRAMS) for threads, named in found.items()}
    usual = Stripes()
    _against_floors(run, group, tasks, work.sinograms(columns, angles, usual.size, usual.large_size))


def _views(run: Run, n: int, modes: int) -> None:
    """The primitives of ptychography."""
    group = f"ptychography, views of {n}²" + (f", {modes} modes" if modes > 1 else "")
    run.teller.begin(f"{group}: preparing", 1)
    job = views_job.make_views(n, 4 if run.quick else 16, modes)
    setup, pieces = ViewSetup(n, modes, 1, np.ones((n, n), bool)), len(job.batch) * modes
    tasks = {}
    for threads in run.threads:
        found = views_job.primitives(job, CpuBackend(threads).views(setup))
        tasks[threads] = per_piece({name: timed(found[name]) for name in VIEWS}, pieces)
    known = work.views(n, modes, job.object.size / len(job.batch))
    _against_floors(run, group, tasks, {name: known[kind] for name, kind in VIEWS.items()})


def _algorithms(run: Run, views: int, size: int) -> None:
    """Iterations of whole algorithms over a simulated scan, past the first ones, which leave the probe as it is."""
    group = f"ptychography, iterations over {views} views of {size}²"
    run.teller.begin(f"{group}: preparing", 1)
    job = simulation_job(views, size)
    tasks = {}
    for threads in run.threads:
        named = {name: _iterations(job, threads, name) for name in ALGORITHMS}
        tasks[threads] = per_piece(named, views)
    known = work.views(job.cut.n, 1, float(np.prod(job.geometry.shape)) / views)
    _against_floors(run, group, tasks, {name: known[kind] for name, kind in ALGORITHMS.items()})


def _iterations(job: Job, threads: int, name: str) -> Task:
    algorithm = make_algorithm(job.model(threads), name, probe_from=0, **BATCHED.get(name, {}))
    number = count()
    return timed(lambda: algorithm.iterate(next(number)))
