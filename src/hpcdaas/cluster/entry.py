"""A row of the ledger: one scan with one recipe, and where it is on its way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a scan is on its way."""

    WAITING = "waiting"  # for the proof that it is complete
    PARTIAL = "partial"  # it stayed incomplete
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"  # the result is safe; the catalogue doesn't have it yet
    REGISTERED = "registered"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: States in which something is still to be done.
OPEN = (State.WAITING, State.QUEUED, State.RUNNING, State.DONE)
#: States from which nothing moves by itself.
ENDED = (State.PARTIAL, State.REGISTERED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Entry:
    """One scan with one recipe: a row of the ledger. Times are UTC, ISO 8601 with Z.

    Attributes
    ----------
    id : int
    scan : str
        Path of the raw file.
    recipe : str
        Name of the recipe.
    attempt : int
        From 1; ``--again`` adds one.
    state : State
    template : str
        Where the result goes.
    recipe_file : str or None
        Recipe that was asked for; None: the default of the technique.
    priority : int
        Higher goes first.
    run : str or None
        Identity; known when the scan is complete.
    twin : int or None
        Entry that does the same run: another copy of the same scan.
    place : str or None
        ``pool:NAME`` or ``job``.
    intent : str or None
        Name under which a job is or may have been submitted.
    job : str or None
        SLURM's number.
    tries : int
        How often it was started.
    memory, seconds : int, float or None
        What its next job is asked with, bytes and seconds, where an earlier one had too little.
    reason, log, result, pid : str or None
    group : str or None
        Owner group, for quotas and usage.
    found, queued, started, ended, changed : str or None
    cores, gpus : int
        That its job has, on all nodes.
    core_seconds, gpu_seconds : float
        Used so far.
    work : float or None
        Core seconds that it is thought to take.
    signature : str or None
        Of the raw files when they were complete.
    not_before : str or None
        Time until which it isn't started.
    """

    id: int
    scan: str
    recipe: str
    attempt: int
    state: State
    template: str
    recipe_file: str | None = None
    priority: int = 0
    run: str | None = None
    twin: int | None = None
    place: str | None = None
    intent: str | None = None
    job: str | None = None
    tries: int = 0
    memory: int | None = None
    seconds: float | None = None
    reason: str | None = None
    log: str | None = None
    result: str | None = None
    pid: str | None = None
    group: str | None = None
    found: str | None = None
    queued: str | None = None
    started: str | None = None
    ended: str | None = None
    changed: str | None = None
    cores: int = 0
    gpus: int = 0
    core_seconds: float = 0.0
    gpu_seconds: float = 0.0
    work: float | None = None
    signature: str | None = None
    not_before: str | None = None

    @property
    def ended_for_good(self) -> bool:
        """Whether nothing moves it any more by itself."""
        return self.state in ENDED
