"""`fbp` on a GPU, from pinned memory to pinned memory, against the bare copies; and its computing against its floor.

- The copies: the same projections to the device and the same slices back, both directions at once, nothing computed.
- The floor of computing: the transforms of rows and of grids that `fbp` makes, bare, and the bytes that it can't do
  without (samples and grid written and read once, slices written) at the bandwidth of a copy on the device.

Before anything is measured, slices are held against the definition in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common import Goal, Report, interleave, options
from gpu_device import copy_task, find_gpu, timed_on
from hpcdaas.backend.cuda_tomo import PAIRS, Flats
from hpcdaas.bench.tomo_job import Job, definition, make_job, random_pixels, relative_error

ROWS = 2 * PAIRS
WHOLE, COPIES, BLOCK = "fbp, pinned to pinned", "copies in both directions", "fbp of a block, on the device"
ROW_FFTS, GRID_FFTS, BYTES, FLOOR = "row transforms", "grid transforms", "bytes", "floor of a block"


class Pinned:
    """Raw projections of many rows in pinned memory, and room for their slices.

    Parameters
    ----------
    gpu : CudaBackend
    job : Job
        Its rows are repeated.
    slices : int
    """

    def __init__(self, gpu: Any, job: Job, slices: int) -> None:
        counts, correction = job.raw()
        repeats = -(-slices // counts.shape[1])
        angles, _, n = counts.shape
        self.data = gpu.device.pinned((angles, slices, n), counts.dtype)
        for angle in range(angles):
            self.data[angle] = np.tile(counts[angle], (repeats, 1))[:slices]
        self.correction = type(correction)(
            np.tile(correction.dark, (repeats, 1))[:slices], np.tile(correction.net, (1, repeats, 1))[:, :slices],
            correction.group, correction.weight, correction.log, correction.floor,
        )  # fmt: skip
        self.out = gpu.device.pinned((slices, n, n), np.float32)


def add_errors(report: Report, job: Job, gpu: Any, pixels: int) -> None:
    """Measure the relative error against the definition at random pixels."""
    rows, n = job.data.shape[1:]
    y, x = random_pixels(n, pixels)
    out = job.slices
    gpu.fbp(job.data, None, job.plan, out)
    for name, row in {"phantom": rows // 2 - 1, "white noise": rows - 1}.items():
        error = relative_error(out[[row]][:, y, x], definition(job.data[:, [row]], job.plan, y, x))
        eps = job.plan.eps
        report.add(f"error, {name}", error, "", limit="eps", limit_value=eps, ratio=error / eps, goal=Goal(1))


def whole_tasks(gpu: Any, job: Job, pinned: Pinned) -> dict[str, Any]:
    """Give the run over all rows, and its copies alone."""
    device = gpu.device

    def copies() -> None:
        going, starts = device.going(), range(0, len(pinned.out), ROWS)
        for first, _ in zip(starts, device.coming(pinned.data[:, a : a + ROWS] for a in starts), strict=True):
            out = pinned.out[first : first + ROWS]
            going.send(device.empty(out.shape, out.dtype), out)
        going.finish()

    return {
        COPIES: timed_on(device, copies),
        WHOLE: timed_on(device, lambda: gpu.fbp(pinned.data, pinned.correction, job.plan, pinned.out)),
    }


def block_tasks(gpu: Any, job: Job) -> dict[str, Any]:
    """Give the computing of a few rows that are on the device, and the parts of its floor."""
    device, tomo = gpu.device, gpu.tomo
    counts, correction = job.raw()
    rows = counts[:, :ROWS]
    angles, count, n = rows.shape
    pairs = -(-count // 2)
    there, g, flats = device.put(rows), tomo.gridding(n, job.plan), Flats(device, correction, counts)
    lines = device.zeros((angles, pairs, g.padded), np.complex64)
    grid = device.zeros((pairs, g.grid, g.grid), np.complex64)
    moved = 2 * lines.nbytes + 2 * grid.nbytes + 4 * count * n * n
    found = {
        BLOCK: timed_on(device, lambda: tomo.fbp_block(there, 0, g, flats)),
        ROW_FFTS: timed_on(device, lambda: device.fft(lines, 1, inverse=False)),
        GRID_FFTS: timed_on(device, lambda: device.fft(grid, 2, inverse=True)),
        BYTES: copy_task(device, moved // 2),
    }
    for run in found.values():
        run()
    return found


def main() -> None:
    parser = options(__doc__ or "", repeats=3)
    parser.add_argument("--slices", type=int, default=2048, help="rows of the whole run (default %(default)s)")
    given = parser.parse_args()
    columns, angles, slices, pixels = (64, 40, 16, 50) if given.quick else (2048, 1500, given.slices, 200)
    settings = {"columns": columns, "angles": angles, "slices": slices, "counts": "uint16", "rows at once": ROWS}
    report = Report("gpu_tomo", settings)
    gpu = find_gpu(report, given)
    if gpu is None:
        return
    job = make_job(columns, angles, 16)
    add_errors(report, job, gpu, pixels)
    rounds = interleave(block_tasks(gpu, job) | whole_tasks(gpu, job, Pinned(gpu, job, slices)), given.repeats)
    rounds = rounds.sum(FLOOR, {ROW_FFTS: 1, GRID_FFTS: 1, BYTES: 1})
    report.compare(rounds, WHOLE, COPIES, Goal(1.5, 1.1))
    report.compare(rounds, BLOCK, FLOOR, Goal(3, 1.7))
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
