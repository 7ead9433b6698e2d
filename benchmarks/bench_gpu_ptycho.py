"""Iterations of ptychography on a GPU, against the bare transforms of the same views there.

The floor is a pair of complex64 transforms of all views' waves as one batch of cuFFT's, in place. Object, probe, waves
and frames are on the device: in the primitives' runs, and in whole iterations of the algorithms as a recipe runs them.
Before anything is measured, the results of some views are held against the C++ backend.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import numpy as np

from common import Goal, Report, Rounds, interleave, options
from gpu_device import copy_task, find_gpu, timed_on
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import Batch, Sums, ViewSetup
from hpcdaas.bench.ptycho_job import Job, make_algorithm, simulation_job
from hpcdaas.bench.views_job import DIFFERENCE_MAP, LSQ, ViewsJob, bounds, make_views

GROUP = 64
#: Algorithms whose whole iterations are measured, with their parameters.
WHOLE: dict[str, dict[str, Any]] = {"dm": {}, "lsqml": {"group": GROUP}}
GOALS = {"difference map": Goal(1.6, 1.25), "LSQ-ML": Goal(2.5, 1.8), "dm": Goal(1.6, 1.25), "lsqml": Goal(2.5, 1.8)}
#: Relative error against the C++ backend.
ERROR = 1e-4


def part(job: ViewsJob, views: int) -> ViewsJob:
    """Give a job of the first views."""
    b = job.batch
    assert b.slot is not None
    batch = Batch(b.frames[:views], b.frame[:views], b.corners[:views], b.slot[:views])
    return ViewsJob(job.n, job.modes, batch, job.object, job.probe, job.waves[:views].copy())


def results(job: ViewsJob, views: Any) -> list[Any]:
    """Run both iterations on the host's arrays."""
    waves, sums = job.waves.copy(), Sums.zeros(job.object, job.probe)
    views.exit_waves(job.batch, job.object, job.probe, waves)
    views.project(job.batch, job.object, job.probe, waves, DIFFERENCE_MAP, sums)
    object_, probe = job.object.copy(), job.probe.copy()
    views.lsq(job.batch, bounds(len(job.batch), GROUP), object_, probe, LSQ, None)
    return [waves, sums.object, sums.probe, object_, probe]


def add_errors(report: Report, job: ViewsJob, gpu: Any, setup: ViewSetup) -> None:
    """Compare the results of some views with those of C++."""
    some = part(job, min(len(job.batch), 128))
    pairs = zip(results(some, gpu.views(setup)), results(some, CpuBackend().views(setup)), strict=True)
    worst = max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)
    what = f"largest error, {job.modes} modes"
    report.add(what, worst, "", limit="error allowed", limit_value=ERROR, ratio=worst / ERROR, goal=Goal(1))


def tasks(job: ViewsJob, gpu: Any, setup: ViewSetup) -> dict[str, Any]:
    """Give the iterations, and what they are held against."""
    device, views = gpu.device, gpu.views(setup)
    object_, probe, waves = (views.put(a) for a in (job.object, job.probe, job.waves))
    sums = Sums.zeros(object_, probe)
    moving, copy = (object_.copy(), probe.copy()), waves.copy()
    _, shuffled = job.parts()
    views.exit_waves(job.batch, object_, probe, waves)

    def difference_map() -> None:
        sums.clear()
        views.project(job.batch, object_, probe, waves, DIFFERENCE_MAP, sums)
        for field, total, weight in ((object_, sums.object, sums.weight), (probe, sums.probe, sums.probe_weight)):
            field += np.float32(0.5) * (total - weight * field) / (weight + np.float32(1e-3) * weight.max())

    def transforms() -> None:
        device.fft(copy, 2, inverse=False)
        device.fft(copy, 2, inverse=True)
        copy[...] *= np.float32(1 / job.n**2)

    found = {
        "difference map": difference_map,
        "LSQ-ML": lambda: views.lsq(shuffled, bounds(len(job.batch), GROUP), *moving, LSQ, None),
        "two transforms": transforms,
    }
    for run in found.values():
        run()
    found = {name: timed_on(device, run) for name, run in found.items()}
    return found | {"a copy of all waves": copy_task(device, job.waves.nbytes)}


def whole(job: Job, gpu: Any, modes: int) -> dict[str, Any]:
    """Give whole iterations of runs that go on, past the first ones, which leave the probe as it is."""
    tasks = {}
    for name, parameters in WHOLE.items():
        algorithm, number = make_algorithm(job.model(1, modes, gpu), name, **parameters), count()
        for _ in range(3):
            algorithm.iterate(next(number))
        tasks[name] = timed_on(gpu.device, partial(_next, algorithm, number))
    return tasks


def _next(algorithm: Any, number: Any) -> None:
    algorithm.iterate(next(number))


def main() -> None:
    parser = options(__doc__ or "", repeats=7)
    given = parser.parse_args()
    n, side = (48, 4) if given.quick else (256, 64)
    settings = {"views": side * side, "n": n, "counts": "uint16", "step": "n/6", "LSQ-ML group": GROUP}
    report = Report("gpu_ptycho", settings)
    gpu = find_gpu(report, given)
    if gpu is None:
        return
    seconds: dict[str, list[float]] = {}
    scan = simulation_job(side * side, n)
    for modes in (1, 4):
        job = make_views(n, side, modes)
        setup = ViewSetup(n, modes, 1, np.ones((n, n), bool))
        add_errors(report, job, gpu, setup)
        runs = tasks(job, gpu, setup) | whole(scan, gpu, modes)
        rounds = interleave({f"{k}, {modes} modes": run for k, run in runs.items()}, given.repeats)
        for name, goal in GOALS.items():
            report.compare(rounds, f"{name}, {modes} modes", f"two transforms, {modes} modes", goal)
        report.compare(rounds, f"two transforms, {modes} modes", f"a copy of all waves, {modes} modes")
        seconds |= rounds.seconds
        gpu.device.release()
    report.finish(given, Rounds(seconds))


if __name__ == "__main__":
    main()
