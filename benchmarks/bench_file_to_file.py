"""A scan file to a result file, all stages overlapping, against the slowest of them alone.

The whole is one process, `hpcdaas reconstruct … --memory 4GB`, from its start to its end with
interpreter, plans read from the cache, centre, registration and checksums. Alone, in this process:
reading all blocks, computing (centre included) on counts held in memory, writing and syncing as
many bytes to the same folder. What comes after the result has its name, checksum and
registration, is in the whole; the time without it stands beside. The file is in the page cache
unless --cold evicts it before each whole run and each reading.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from common import Goal, Report, Rounds, interleave, options, timed
from hpcdaas.bench.child import Child, reconstruct
from hpcdaas.bench.scan_file import into_page_cache, scan_file
from scan_file import scratch_option
from volume_parts import Parts

WHOLE, IN_PLACE = "file to file", "until the result is in place"
READ, COMPUTE, WRITE = "reading alone", "computing alone", "writing alone"


def evict(path: Path) -> None:
    """Drop a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = options(__doc__ or "", repeats=3)
    scratch_option(parser)
    parser.add_argument("--size", type=int, default=1024, help="angles, rows and columns (default %(default)s)")
    parser.add_argument("--memory", type=float, default=4, help="budget in GB (default %(default)g)")
    parser.add_argument("--cold", action="store_true", help="evict the scan from the page cache before each reading")
    given = parser.parse_args()
    size = 128 if given.quick else given.size
    scan, out = scan_file(given.scratch, size, size, size), given.scratch / "file-to-file.h5"
    cache, budget = given.scratch / "cache", f"{given.memory:g}GB"
    parts = Parts(scan, int(given.memory * 1e9))
    before = (lambda: evict(scan)) if given.cold else (lambda: None)
    runs: list[Child] = []

    def whole() -> float:
        before()
        runs.append(reconstruct(scan, out, "--memory", budget, cache=cache))
        return runs[-1].seconds

    def read() -> float:
        before()
        return timed(parts.read)()

    into_page_cache(scan)
    reconstruct(scan, out, "--rows", f"0:{min(size, 16)}", cache=cache)  # FFT plans, and the programs' own files
    tasks = {
        WHOLE: whole,
        READ: read,
        COMPUTE: parts.compute,
        WRITE: timed(lambda: parts.write(given.scratch / "written")),
    }
    rounds = interleave(tasks, given.repeats)
    out.unlink()
    settings = {
        "size": size,
        "memory": budget,
        "rows in a block": parts.plan.block,
        "scan in page cache": not given.cold,
        "rounds": given.repeats,
    }
    report = Report("file_to_file", settings)
    slowest = "slowest of the three alone"
    rounds = rounds.largest(slowest, (READ, COMPUTE, WRITE))
    report.compare(rounds, WHOLE, slowest, Goal(1.3, 1.1))
    registering = [run.answer["seconds"]["register"] for run in runs]
    sooner = [whole - after for whole, after in zip(rounds.seconds[WHOLE], registering, strict=True)]
    rounds = Rounds({**rounds.seconds, IN_PLACE: sooner})
    report.compare(rounds, IN_PLACE, slowest)
    for stage in (READ, COMPUTE, WRITE):
        report.compare(rounds, stage, slowest)
    peak = max(run.peak_bytes for run in runs) / 1e9
    report.add(
        "peak resident memory",
        peak,
        "GB",
        limit="must: the budget",
        limit_value=given.memory,
        ratio=peak / given.memory,
        goal=Goal(1, 0.5),
    )
    told = max(run.answer["peak_memory_bytes"] for run in runs) / 1e9
    report.add(
        "peak memory as it says itself", told, "GB", limit="as the system says", limit_value=peak, ratio=told / peak
    )
    stages = [run.answer["seconds"] for run in runs]
    for stage in stages[0]:
        report.add(f"its stage '{stage}'", statistics.median(s.get(stage, 0.0) for s in stages), "s")
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
