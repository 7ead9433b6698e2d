"""What the scripts share: their options, and where the project is; the measuring itself is `hpcdaas.bench`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: A matrix product that stands for a core's peak must not use more than one.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hpcdaas.bench import rounds as measured  # noqa: E402
from hpcdaas.bench.figures import Figure, Goal  # noqa: E402
from hpcdaas.bench.figures import Report as _Report  # noqa: E402
from hpcdaas.bench.rounds import Rounds, Task, per_piece, timed  # noqa: E402

__all__ = [
    "ONE_THREAD", "ROOT", "Figure", "Goal", "Report", "Rounds", "interleave", "options", "per_piece", "timed",
]  # fmt: skip


class Report(_Report):
    """A report that ends a script."""

    def finish(self, options: argparse.Namespace, rounds: Rounds) -> None:
        """Print the table, and write the JSON file where one is asked for."""
        print(self.table())
        if options.json:
            print(f"written: {self.write(options.json, rounds)}")


def interleave(tasks: Mapping[str, Task], repeats: int) -> Rounds:
    """Run A B A B …, every other round backwards, and say each run's seconds."""

    def told(number: int, rounds: int, name: str, seconds: float) -> None:
        print(f"  round {number}/{rounds}  {name}: {seconds:.4g} s", file=sys.stderr, flush=True)

    return measured.interleave(tasks, repeats, told)


def options(description: str, repeats: int) -> argparse.ArgumentParser:
    """Give a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write a JSON file, or into a folder")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that it runs")
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds (default %(default)s)")
    return parser
