"""`backproject` (filtered) against ASTRA's CPU FBP and a core's peak, and its matched forward projector.

The limit beside the peer: a pixel takes two multiply-adds for each angle and slice (a linear
interpolation and a sum), which is compared with the same number of multiply-adds in NumPy's
matrix product on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from common import Goal, Report, interleave, options, per_piece, timed
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.bench.tomo_job import Job, make_job
from peers import Peers, peer_options, write_sinograms

ONE, TWO = "filtered, one thread", "filtered, two threads"
PEER = "ASTRA FBP"
BACK, PROJECT, PEAK = "ray sum alone, one thread", "forward projector, one thread", "multiply-adds at peak"


def own_tasks(job: Job) -> dict[str, Callable[[], float]]:
    """Give our runs, warm."""
    out, one, two = job.slices, CpuBackend(1), CpuBackend(2)
    theta, center = job.plan.angles, job.plan.center
    lines = np.empty_like(job.data)
    image = np.random.default_rng(3).standard_normal(out.shape, np.float32)
    tasks = {
        ONE: timed(lambda: one.filtered_backprojection(job.data, None, job.plan, out)),
        TWO: timed(lambda: two.filtered_backprojection(job.data, None, job.plan, out)),
        BACK: timed(lambda: one.backproject(job.data, theta, center, out)),
        PROJECT: timed(lambda: one.project(image, theta, center, lines)),
    }
    for backend in (one, two):  # plans, threads
        backend.filtered_backprojection(job.data[:, :2], None, job.plan, out[:2])
    return tasks


def peak_task(multiply_adds: float) -> Callable[[], float]:
    """Time a matrix product, and answer for as many multiply-adds as the job has."""
    n = 1024
    a, b = np.random.default_rng(4).standard_normal((2, n, n), np.float32)
    out = np.empty_like(a)
    np.matmul(a, b, out=out)
    times = 4
    run = timed(lambda: [np.matmul(a, b, out=out) for _ in range(times)])
    return lambda: run() * multiply_adds / (times * n**3)


def main() -> None:
    parser = options(__doc__ or "", repeats=3)
    peer_options(parser)
    given = parser.parse_args()
    columns, angles, slices = (128, 90, 16) if given.quick else (2048, 1500, 16)
    job = make_job(columns, angles, slices)
    settings = {"columns": columns, "angles": angles, "slices": slices, "rounds": given.repeats}
    report = Report("backproject", settings, notes=["Times are per slice."])
    with TemporaryDirectory() as folder:
        data = Path(folder) / "sinogram.npz"
        write_sinograms(data, job, slice(1))
        with Peers(given, report, ("astra",), data) as peers:
            tasks = per_piece(own_tasks(job), slices) | {PEAK: peak_task(2.0 * angles * columns**2)}
            rounds = interleave(tasks | peers.slices((PEER,)), given.repeats)
        peers.note(report, (PEER,))
    if PEER in rounds:
        report.compare(rounds, ONE, PEER, Goal(30, 80, at_least=True))
    report.compare(rounds, ONE, PEAK)
    report.compare(rounds, TWO, ONE, Goal(1.8, 1.95, at_least=True))
    report.compare(rounds, BACK, PEAK)
    report.compare(rounds, PROJECT, PEAK)
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
