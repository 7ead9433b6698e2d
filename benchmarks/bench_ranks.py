"""Two ranks of one thread each against one rank of one thread, the same command under mpiexec.

Each rank is bound to a core, as in a job.

Tomography: `fbp` of a volume 2048 wide and as tall, file to file, until the result is in place; the whole process, with
its start, checksum and registration, stands beside. It needs 47 GB of disk. With fewer rows what each rank does once
counts for more: above all, that it touches two gigabytes of fresh memory, which takes 4 s where a virtual machine has
given them back to its host. Ptychography: 512 views of 256², iterations of LSQ-ML and of the difference map (its stage
`compute`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common import Goal, Report, interleave, options
from hpcdaas.bench.child import Child, reconstruct
from hpcdaas.bench.ptycho_job import simulated_job
from hpcdaas.bench.scan_file import into_page_cache, scan_file
from scan_file import scratch_option

RECIPES = {
    "LSQ-ML, groups of 32": ("lsqml", "iterations = 20\ngroup = 32"),
    "LSQ-ML, groups of 64": ("lsqml", "iterations = 20\ngroup = 64"),
    "difference map": ("dm", "iterations = 40"),
}
FBP = """
[[step]]
use = "flatfield"
[[step]]
use = "minus_log"
[[step]]
use = "center"
[[step]]
use = "fbp"
"""


@dataclass
class Runs:
    """Runs of the command line, one rank and two."""

    scratch: Path
    found: dict[str, list[Child]] = field(default_factory=dict)

    def task(
        self, name: str, scan: Path, recipe: Path, ranks: int, stage: str
    ) -> Callable[[], float]:  # fmt: skip
        """Give a run that answers with the seconds of a stage."""

        def run() -> float:
            out = self.scratch / "ranks.h5"
            more = ("-r", str(recipe), "--threads", "1")
            child = reconstruct(scan, out, *more, cache=self.scratch / "cache", ranks=ranks, bound=True)
            self.found.setdefault(name, []).append(child)
            return float(child.answer["seconds"][stage])

        return run


def labelled(name: str, ranks: int) -> str:
    """Give the name of a run in the table."""
    return f"{name}, {ranks} rank{'s' * (ranks > 1)}"


def recipe_file(folder: Path, name: str, text: str) -> Path:
    """Write a recipe."""
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def jobs(given: argparse.Namespace) -> dict[str, tuple[Path, Path, str]]:
    """Give scan, recipe and the stage that counts, by name."""
    rows, columns, angles = (32, 256, 180) if given.quick else (given.rows, 2048, 1500)
    views, size = (32, 64) if given.quick else (512, 256)
    scan = scan_file(given.scratch, angles, rows, columns)
    into_page_cache(scan)
    found = {"fbp": (scan, recipe_file(given.scratch, "fbp", FBP), "total")}
    star = simulated_job(given.scratch, views, size).path
    into_page_cache(star)
    for number, (name, (step, parameters)) in enumerate(list(RECIPES.items())[: 1 if given.quick else None]):
        recipe = recipe_file(given.scratch, f"{step}-{number}", f'[[step]]\nuse = "{step}"\n{parameters}\n')
        found[name] = (star, recipe, "compute")
    return found


def main() -> None:
    parser = options(__doc__ or "", repeats=3)
    scratch_option(parser)
    parser.add_argument("--rows", type=int, default=2048, help="of the tomography scan (default %(default)s)")
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    runs, tasks = Runs(given.scratch), {}
    work = jobs(given)
    for name, (scan, recipe, stage) in work.items():
        for ranks in (1, 2):
            label = labelled(name, ranks)
            tasks[label] = runs.task(label, scan, recipe, ranks, stage)
    for task in () if given.quick else tasks.values():
        task()  # plans, and the programs' own files
    runs.found.clear()
    rounds = interleave(tasks, given.repeats)
    settings = {"threads per rank": 1, "rows": given.rows, "views": 512, "rounds": given.repeats}
    report = Report("ranks", settings, notes=["Seconds of fbp end when the result is in place."])
    for name in work:
        one, two = (labelled(name, ranks) for ranks in (1, 2))
        report.compare(rounds, two, one, Goal(1.75, 1.9, at_least=True))
    for label, children in runs.found.items():
        if label.startswith("fbp"):
            report.add(f"{label}, whole process", sorted(c.seconds for c in children)[len(children) // 2], "s")
    report.finish(given, rounds)


if __name__ == "__main__":
    main()
