"""What an operator waits for: `hpcdaas status` with many scans in the ledger, and a poll of a folder with many files.

The limits: the start of the command line by itself (`hpcdaas --version`), and one bare listing of the same folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Goal, Report, interleave, options, timed
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.scans.folder import Folder
from hpcdaas.cluster.site.rule import Rule

HPCDAAS = Path(sys.executable).with_name("hpcdaas")
STATUS, JSON, START = "status", "status --json", "start of the command line"
POLL, FIRST, LIST = "a poll", "the first poll", "one bare listing"


def fill(state: Path, scans: int) -> None:
    """Make a ledger with scans that are registered, and a few that failed."""
    ledger = Ledger(state)
    with ledger.changing():
        for number in range(scans):
            entry = ledger.add(Path(f"/data/p17/raw/scan_{number:05d}.nxs"), "fast", template="out/")
            assert entry
            run = f"{number:064x}"
            found = {"run": run, "result": f"/data/p17/results/scan_{number:05d}_fast_{run[:8]}.h5", "started": now()}
            end = {"state": "failed", "reason": "It has no flats."} if number % 100 == 99 else {"state": "registered"}
            ledger.change(entry.id, **found, **end, queued=now(), ended=now(), pid=f"20.500/{run[:32]}")
    ledger.close()


def main() -> None:
    parser = options(__doc__ or "", repeats=7)
    given = parser.parse_args()
    scans, files = (200, 2000) if given.quick else (10_000, 100_000)
    with tempfile.TemporaryDirectory() as name:
        state, data = Path(name) / "state", Path(name) / "data"
        fill(state, scans)
        data.mkdir()
        for number in range(files):
            (data / f"scan_{number:06d}.h5").touch()

        def run(*arguments: object) -> float:
            start = time.perf_counter()
            subprocess.run([HPCDAAS, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, cwd=name)
            return time.perf_counter() - start

        folder = Folder(data, [Rule()])
        assert len(folder.poll().new) == files
        tasks = {
            STATUS: lambda: run("status", "--state", state),
            JSON: lambda: run("status", "--state", state, "--json"),
            START: lambda: run("--version"),
            POLL: timed(folder.poll),
            FIRST: timed(lambda: Folder(data, [Rule()]).poll()),
            LIST: timed(lambda: [(entry.name, entry.inode()) for entry in os.scandir(data)]),
        }
        for task in tasks.values():
            task()
        rounds = interleave(tasks, given.repeats)
    report = Report("status", {"scans": scans, "files": files, "rounds": given.repeats})
    for task in (STATUS, JSON):
        report.compare(rounds, task, START, Goal(0.3, 0.1, on="value"))
    report.compare(rounds, POLL, LIST, Goal(2, 0.5, on="value"))
    report.compare(rounds, FIRST, LIST)
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
