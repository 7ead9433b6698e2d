"""Interleaved repeats: what slows the machine down slows all that is compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Answers with the seconds that it took.
Task: TypeAlias = Callable[[], float]
#: Told of each run: its round, how many there are, the task, its seconds.
Told: TypeAlias = Callable[[int, int, str, float], None]


def timed(function: Callable[[], Any]) -> Task:
    """Make a function that answers with its own wall time in seconds."""

    def run() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run


def timed_again(function: Callable[[], Any]) -> Task:
    """Make a function that calls one twice and answers with the time of the second call.

    What it works in is this process's memory by then: where a virtual machine has given it back to its host, the first
    call would measure how it is got again.
    """

    def run() -> float:
        function()
        return timed(function)()

    return run


def per_piece(tasks: Mapping[str, Task], pieces: float) -> dict[str, Task]:
    """Make tasks that answer with their seconds per piece."""

    def divided(task: Task) -> Task:
        return lambda: task() / pieces

    return {name: divided(task) for name, task in tasks.items()}


@dataclass(frozen=True)
class Rounds:
    """Seconds of each task, one number for each round."""

    seconds: Mapping[str, list[float]]

    def __contains__(self, task: str) -> bool:
        return task in self.seconds

    def median(self, task: str) -> float:
        """Give the median over rounds."""
        return statistics.median(self.seconds[task])

    def ratio(self, a: str, b: str) -> float:
        """Give the median of a / b within a round: what slows the machine down slows both."""
        return statistics.median(x / y for x, y in zip(self.seconds[a], self.seconds[b], strict=True))

    def sum(self, name: str, parts: Mapping[str, float]) -> Rounds:
        """Add a task: in each round the sum of others, each times its factor."""
        lines = zip(*([f * s for s in self.seconds[part]] for part, f in parts.items()), strict=True)
        return Rounds({**self.seconds, name: [sum(line) for line in lines]})

    def largest(self, name: str, parts: Sequence[str]) -> Rounds:
        """Add a task: in each round the largest of others."""
        lines = zip(*(self.seconds[part] for part in parts), strict=True)
        return Rounds({**self.seconds, name: [max(line) for line in lines]})


def interleave(tasks: Mapping[str, Task], repeats: int, told: Told) -> Rounds:
    """Run A B A B …, every other round backwards; each task answers with its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for i in range(repeats):
        for name in list(tasks)[:: -1 if i % 2 else 1]:
            seconds[name].append(tasks[name]())
            told(i + 1, repeats, name, seconds[name][-1])
    return Rounds(seconds)
