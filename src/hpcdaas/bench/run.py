"""A run of the benchmark: what its levels share, and the levels one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hpcdaas.backend.cpu import available_threads
from hpcdaas.bench.figures import Report
from hpcdaas.bench.others import Others
from hpcdaas.bench.rounds import Rounds, Task, interleave

#: Rounds at least and at most, and seconds that those of one thing may take together.
LEAST, MOST, SECONDS = 3, 15, 8.0
#: Share of the cores from which on others disturb what is measured.
BUSY = 0.05


class Teller(Protocol):
    """Who is told how far the run is."""

    def begin(self, what: str, total: int) -> None:
        """Something begins that takes so many steps."""
        ...

    def step(self, what: str) -> None:
        """A step of it is done."""
        ...


class Silent:
    """Tells nobody. See `Teller`."""

    def begin(self, what: str, total: int) -> None:
        """See `Teller.begin`."""

    def step(self, what: str) -> None:
        """See `Teller.step`."""


@dataclass
class Run:
    """What the levels share.

    Attributes
    ----------
    folder : Path
        Its own, on the file system in question.
    threads : tuple of int
        How many at once: one, and all.
    quick : bool
        Tiny sizes: only to see that it works.
    teller : Teller
    report : Report
        Gets the figures.
    seconds : dict
        Of every task in every round.
    """

    folder: Path
    threads: tuple[int, ...]
    quick: bool
    teller: Teller
    report: Report
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def interleave(self, what: str, tasks: Mapping[str, Task]) -> Rounds:
        """Run tasks in turns, and keep their seconds; once before, so that plans, memory and the number are there.

        Short tasks have more rounds: somebody else's second on a core is a larger part of them.
        """
        self.teller.begin(what, len(tasks))
        taken = 0.0
        for _ in range(1 if self.quick else 2):
            start = time.perf_counter()
            for task in tasks.values():
                task()
            taken = time.perf_counter() - start
        repeats = 1 if self.quick else min(MOST, max(LEAST, int(SECONDS / taken)))
        self.teller.begin(what, len(tasks) * repeats)
        rounds = interleave(tasks, repeats, lambda i, n, name, seconds: self.teller.step(name))
        self.keep(what, rounds)
        return rounds

    def keep(self, what: str, rounds: Rounds) -> None:
        """Keep seconds for the file."""
        self.seconds |= {f"{what}: {name}": seconds for name, seconds in rounds.seconds.items()}


def measure(folder: Path, level: int, quick: bool = False, teller: Teller | None = None) -> dict[str, Any]:
    """Measure the machine, and what hpcdaas makes of it, up to a level.

    Parameters
    ----------
    folder : Path
        An empty one, on the file system where results are to lie.
    level : int
        0: the machine; 1: and primitives and algorithms; 2: and whole runs.
    quick : bool
        Tiny sizes: only to see that it works; the figures say nothing.
    teller : Teller, optional

    Returns
    -------
    dict
        Machine, versions, commit, ``figures``, and ``wrong``: the residuals that are too large. JSON-able.

    Raises
    ------
    HpcdaasError
        If a run fails.
    """
    from hpcdaas.bench import level0, level1, level2  # which need `Run`
    from hpcdaas.bench.disk import file_system

    every: tuple[Callable[[Run], None], ...] = (level0.measure, level1.measure, level2.measure)
    threads = available_threads()
    settings = {"level": level, "threads": threads, "file system": file_system(folder), "quick": quick}
    report = Report("bench", settings)
    run = Run(folder, tuple(dict.fromkeys((1, threads))), quick, teller or Silent(), report)
    others = Others(os.sched_getaffinity(0))
    for one in every[: level + 1]:
        one(run)
    taken = others.share()
    if taken is not None and taken > BUSY:
        report.notes.append(
            f"Others used {100 * taken:.0f}% of these cores meanwhile. Times are longer for it, and ratios less sure."
        )
    return report.content(Rounds(run.seconds)) | {"wrong": report.wrong}
