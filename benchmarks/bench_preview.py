"""`hpcdaas reconstruct --preview`: three slices and a picture, the whole process from start to end.

With FFT plans in the cache (wisdom), as after the first run on a machine, and without. The scan is
in the page cache. The limits: the same rows read, the centre found and three slices computed in a
process that runs already; and an interpreter that only imports what it needs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from common import Goal, Report, interleave, options, timed
from hpcdaas.bench.child import reconstruct
from hpcdaas.bench.scan_file import into_page_cache, scan_file
from scan_file import scratch_option
from volume_parts import Parts

WARM, COLD, WORK, START = "preview, plans known", "preview, first ever", "the work alone", "start-up alone"
IMPORTS = "import hpcdaas.cli.main, hpcdaas.pipeline, hpcdaas.view.preview"


def main() -> None:
    parser = options(__doc__ or "", repeats=5)
    scratch_option(parser)
    parser.add_argument("--scale", type=float, default=1, help="of 2048 rows × 2048 columns × 1500 angles, 12.6 GB")
    given = parser.parse_args()
    scale = 0.0625 if given.quick else given.scale
    rows, angles = round(2048 * scale), round(1500 * scale)
    scan, out = scan_file(given.scratch, angles, rows, rows), given.scratch / "preview.h5"
    parts = Parts(scan, 4_000_000_000, f"{rows // 4}:{rows}:{rows // 4}")
    kept = given.scratch / "cache"

    def cold() -> float:
        with tempfile.TemporaryDirectory() as fresh:
            return reconstruct(scan, out, "--preview", cache=Path(fresh)).seconds

    into_page_cache(scan)
    reconstruct(scan, out, "--preview", cache=kept)
    parts.reconstruct(parts.tomography())
    tasks = {
        WARM: lambda: reconstruct(scan, out, "--preview", cache=kept).seconds,
        COLD: cold,
        WORK: timed(lambda: parts.reconstruct(parts.tomography())),
        START: timed(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True)),
    }
    rounds = interleave(tasks, given.repeats)
    out.unlink()
    settings = {"columns": rows, "rows": rows, "angles": angles, "scan in page cache": True, "rounds": given.repeats}
    report = Report("preview", settings)
    limit = "work and start-up alone"
    rounds = rounds.sum(limit, {WORK: 1, START: 1})
    for task in (WARM, COLD):
        report.compare(rounds, task, limit, Goal(10, 4, on="value"))
    report.compare(rounds, WORK, limit)
    report.compare(rounds, START, limit)
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
