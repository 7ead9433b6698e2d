"""`fbp` against algotom's direct Fourier inversion, ASTRA's CPU FBP, its floor of bare FFTs, and its definition.

The floor of one slice is
- one complex transform of the padded length P for each angle;
- half a complex two-dimensional FFT of the oversampled G×G grid (half, because two real slices share one) of which
  only the rows that are kept are computed: (G + n)/2 transforms of length G;
all as bare one-dimensional transforms in the cache through the same FFT library: nothing is gridded, moved or
filtered. Two slices can share the row transforms, too: that lower floor is given beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from common import Goal, Report, interleave, options, per_piece, timed
from hpcdaas.backend.cpu import CpuBackend, gridding
from hpcdaas.bench.tomo_job import Job, definition, make_job, random_pixels, relative_error
from peers import Peers, peer_options, write_sinograms

ONE, TWO, RAW = "fbp, one thread", "fbp, two threads", "fbp of raw counts, one thread"
ROWS, GRID = "row FFTs", "grid FFTs"
#: What it must and should be faster than, and how many times.
PEERS = {"algotom dfi": (45, 90), "ASTRA FBP": (250, 500)}


def own_tasks(job: Job) -> dict[str, Callable[[], float]]:
    """Give our runs, each with plans and memory of its own, warm."""
    out, one, two, raw = job.slices, CpuBackend(1), CpuBackend(2), CpuBackend(1)
    counts, correction = job.raw()
    tasks = {
        ONE: timed(lambda: one.fbp(job.data, None, job.plan, out)),
        TWO: timed(lambda: two.fbp(job.data, None, job.plan, out)),
        RAW: timed(lambda: raw.fbp(counts, correction, job.plan, out)),
    }
    for task in tasks.values():
        task()
    return tasks


def floor_tasks(job: Job) -> dict[str, Callable[[], float]]:
    """Give the bare transforms of the whole job, planned."""
    angles, rows, n = job.data.shape
    _, grid = gridding(n, job.plan.eps)
    library = CpuBackend(1).library
    for length, sign in ((job.plan.padded, -1), (grid, 1)):
        library.time_transform(length, sign, 1)
    return {
        ROWS: timed(lambda: library.time_transform(job.plan.padded, -1, angles * rows // 2)),
        GRID: timed(lambda: library.time_transform(grid, 1, (grid + n) * rows // 2)),
    }


def add_errors(report: Report, job: Job, pixels: int) -> None:
    """Measure the relative L2 error against the definition at random pixels in the inscribed disc."""
    rows, n = job.data.shape[1:]
    y, x = random_pixels(n, pixels)
    some = {"phantom": (0, rows // 2 - 1), "white noise": (rows // 2, rows - 1)}
    expected = {name: definition(job.data[:, list(r)], job.plan, y, x) for name, r in some.items()}
    backend, out = CpuBackend(), job.slices
    for eps in (1e-3, 1e-5):
        backend.fbp(job.data, None, replace(job.plan, eps=eps), out)
        for name, which in some.items():
            error = relative_error(out[list(which)][:, y, x], expected[name])
            report.add(f"error, {name}", error, "", limit="eps", limit_value=eps, ratio=error / eps, goal=Goal(1))


def main() -> None:
    parser = options(__doc__ or "", repeats=3)
    peer_options(parser)
    given = parser.parse_args()
    columns, angles, slices, pixels = (128, 90, 16, 50) if given.quick else (2048, 1500, 16, 300)
    job = make_job(columns, angles, slices)
    width, grid = gridding(columns, job.plan.eps)
    settings = {
        "columns": columns,
        "angles": angles,
        "slices": slices,
        "eps": job.plan.eps,
        "P": job.plan.padded,
        "G": grid,
        "kernel width": width,
        "rounds": given.repeats,
    }
    report = Report(
        "fbp", settings, notes=["The peers run with their own defaults and the bare ramp; times are per slice."]
    )
    with TemporaryDirectory() as folder:
        data = Path(folder) / "sinogram.npz"
        write_sinograms(data, job, slice(1))
        with Peers(given, report, ("algotom", "astra"), data) as peers:
            tasks = per_piece(own_tasks(job) | floor_tasks(job), slices)
            rounds = interleave(tasks | peers.slices(PEERS), given.repeats)
        peers.note(report, PEERS)
    for peer, (must, aim) in PEERS.items():
        if peer in rounds:
            report.compare(rounds, ONE, peer, Goal(must, aim, at_least=True))
    floor, lower = "floor, one row transform per slice", "floor, two slices in each"
    rounds = rounds.sum(floor, {ROWS: 2, GRID: 1}).sum(lower, {ROWS: 1, GRID: 1})
    report.compare(rounds, ONE, floor, Goal(3, 1.8))
    report.compare(rounds, ONE, lower)
    report.compare(rounds, TWO, ONE, Goal(1.8, 1.95, at_least=True))
    report.compare(rounds, RAW, ONE)
    add_errors(report, job, pixels)
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
