"""How a start of a run ended, wherever it was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Meaning(StrEnum):
    """What follows from an ending."""

    DONE = "done"
    FAILED = "failed"  # it would fail again
    AGAIN = "again"  # the cluster's fault
    ON = "on"  # it was stopped with a checkpoint
    BUSY = "busy"  # another process is at work on it
    NO_ROOM = "room"  # the disk is full
    REWRITTEN = "rewritten"  # the scan is another one now
    MORE_TIME = "more time"
    MORE_MEMORY = "more memory"
    CANCELLED = "cancelled"


#: Of the codes of errors; others fail.
OF_CODE = {
    "interrupted": Meaning.ON,
    "busy": Meaning.BUSY,
    "room": Meaning.NO_ROOM,
    "rewritten": Meaning.REWRITTEN,
    "lost": Meaning.AGAIN,
    "cancelled": Meaning.CANCELLED,
}


@dataclass(frozen=True)
class Ending:
    """How a start of a run ended.

    Attributes
    ----------
    entry : int
        Of the ledger.
    meaning : Meaning
    reason : str
        One line; empty if it is done.
    started, ended : str or None
        UTC.
    core_seconds, gpu_seconds : float
        What it used.
    seconds : float
        How long it worked.
    """

    entry: int
    meaning: Meaning
    reason: str = ""
    started: str | None = None
    ended: str | None = None
    core_seconds: float = 0.0
    gpu_seconds: float = 0.0
    seconds: float = 0.0
