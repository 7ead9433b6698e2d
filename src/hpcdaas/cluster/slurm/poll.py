"""The states of many jobs without asking SLURM often."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from hpcdaas.cluster.slurm.command import SlurmAway
from hpcdaas.cluster.slurm.states import JobState

#: s per job: with 300 jobs in flight, one query in 5 s at most. slurmctld's work grows with their number.
PER_JOB = 1 / 60
#: How much longer each wait is while nothing changes, or while SLURM doesn't answer.
GROWTH, AWAY_GROWTH = 1.5, 2.0


class Asked(Protocol):
    """Who is asked: a `Slurm`."""

    def jobs(self, ids: Iterable[str]) -> Mapping[str, JobState]:
        """Give the states of jobs, by one query."""


class Poll:
    """Keeps the states of jobs, and asks for all of them in one query when it is time.

    The wait between two queries is short after a job was added or has changed, and grows while nothing happens.

    Parameters
    ----------
    slurm : Slurm
    least, most : float
        Shortest and longest wait, s; with many jobs both are longer.
    clock : callable
        Gives the time, s.

    Attributes
    ----------
    away : SlurmAway or None
        Why the last query had no answer; the states are then those of the one before.
    """

    def __init__(
        self, slurm: Asked, least: float = 1.0, most: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slurm, self._least, self._most, self._clock = slurm, least, max(least, most), clock
        self._states: dict[str, JobState] = {}
        self._ids: set[str] = set()
        self._wait, self._last = least, -float("inf")
        self.away: SlurmAway | None = None

    @property
    def ids(self) -> frozenset[str]:
        """The jobs that are asked for."""
        return frozenset(self._ids)

    def add(self, ids: Iterable[str]) -> None:
        """Ask for these jobs too, soon."""
        new = set(ids) - self._ids
        if new:
            self._ids |= new
            self._wait = self._least

    def drop(self, ids: Iterable[str]) -> None:
        """Ask no more for these jobs."""
        gone = set(ids)
        if gone:
            self._ids -= gone
            self._states = {k: v for k, v in self._states.items() if not gone & {k, k.partition("_")[0]}}

    @property
    def due(self) -> float:
        """Seconds until the next query; 0 if it is time; infinite without jobs."""
        if not self._ids:
            return float("inf")
        return max(0.0, self._last + max(self._wait, PER_JOB * len(self._ids)) - self._clock())

    def poll(self) -> dict[str, JobState]:
        """Give the states of all jobs as known now, asked for just now if it was time.

        A job that was added after the last query isn't among them.
        """
        if self.due == 0.0:
            self._ask()
        return dict(self._states)

    def _ask(self) -> None:
        try:
            states = dict(self._slurm.jobs(self.ids))
        except SlurmAway as away:
            self.away = away
            self._wait = min(self._most, self._wait * AWAY_GROWTH)
        else:
            changed = states != self._states
            self.away, self._states = None, states
            self._wait = self._least if changed else min(self._most, self._wait * GROWTH)
        self._last = self._clock()
