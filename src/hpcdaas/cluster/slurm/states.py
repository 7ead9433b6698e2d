"""The state of a job in SLURM's words, what it means for a run, and how the commands print it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

#: Between fields and after records: job names can hold anything else.
FIELD, RECORD = "\x1f", "\x1e"
#: Of `squeue --Format`; a field with a suffix and no width is printed whole.
SQUEUE = ("jobarrayid", "state", "reason", "exit_code", "restartcnt", "timelimit", "starttime", "endtime", "nodelist")
#: Of `sacct --format`; it knows restarts only in later versions.
SACCT = ("JobID", "State", "Reason", "ExitCode", "Timelimit", "Start", "End", "NodeList", "JobName")
#: States of a job that waits until somebody releases it.
HELD = frozenset({"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
#: Reasons with which a job waits until somebody does something.
STUCK = frozenset(
    {
        "AccountNotAllowed",
        "BadConstraints",
        "DependencyNeverSatisfied",
        "InvalidAccount",
        "InvalidQOS",
        "JobHeldAdmin",
        "JobHeldUser",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "QOSNotAllowed",
        "ReservationDeleted",
        "launch_failed_requeued_held",
    }
)


class Meaning(StrEnum):
    """What the state of a job means for its run."""

    ALIVE = "alive"
    DONE = "done"
    FAILED = "failed"
    #: The cluster's fault, or stopped with a checkpoint: the same again.
    AGAIN = "again"
    MORE_TIME = "more time"
    MORE_MEMORY = "more memory"
    CANCELLED = "cancelled"
    #: SLURM has forgotten the job: what it left on disk tells.
    UNKNOWN = "unknown"


#: A job in any other state hasn't ended.
MEANINGS = {
    "COMPLETED": Meaning.DONE,
    "FAILED": Meaning.FAILED,
    "BOOT_FAIL": Meaning.AGAIN,
    "LAUNCH_FAILED": Meaning.AGAIN,
    "NODE_FAIL": Meaning.AGAIN,
    "PREEMPTED": Meaning.AGAIN,
    "REQUEUED": Meaning.AGAIN,
    "REVOKED": Meaning.CANCELLED,
    "CANCELLED": Meaning.CANCELLED,
    "TIMEOUT": Meaning.MORE_TIME,
    "DEADLINE": Meaning.MORE_TIME,
    "OUT_OF_MEMORY": Meaning.MORE_MEMORY,
    "UNKNOWN": Meaning.UNKNOWN,
}
#: What stands for no nodes.
NOWHERE = ("None assigned", "(null)", "N/A")
#: Exit code of a program that has stopped with a checkpoint.
INTERRUPTED = 3
#: Exit codes, as a shell gives them, of a program that was ended from outside: by SIGKILL, SIGTERM.
KILLED = (137, 143)


@dataclass(frozen=True)
class JobState:
    """What SLURM says about a job, or about one task of an array (``123_4``).

    Attributes
    ----------
    id, name : str
    state : str
        SLURM's word, for example RUNNING; UNKNOWN if it doesn't know the job any more.
    reason : str
        Why it waits or has ended, SLURM's word; empty if there is none.
    nodes : str
        In SLURM's short form (``node[1-2]``).
    start, end : str or None
        UTC, ISO 8601 with Z; None where that hasn't happened.
    limit : float or None
        Time limit, s; None where there is none.
    restarts : int
        How often SLURM has started it again by itself.
    exit_code, signal : int
        Of the batch script, once it has ended.
    """

    id: str
    name: str = ""
    state: str = "UNKNOWN"
    reason: str = ""
    nodes: str = ""
    start: str | None = None
    end: str | None = None
    limit: float | None = None
    restarts: int = 0
    exit_code: int = 0
    signal: int = 0

    @property
    def meaning(self) -> Meaning:
        """What it means for the run; words that aren't known are of jobs that haven't ended."""
        outside = self.exit_code in (INTERRUPTED, *KILLED) or self.signal + 128 in KILLED
        if self.state == "FAILED" and (outside or self.reason == "JobLaunchFailure"):
            return Meaning.AGAIN
        return MEANINGS.get(self.state, Meaning.ALIVE)

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.meaning is Meaning.ALIVE

    @property
    def stuck(self) -> bool:
        """Whether it waits for something that doesn't come by itself: it is held, or can never start."""
        return self.state in HELD or (self.state == "PENDING" and self.reason in STUCK)


def squeue_format() -> str:
    """Give the argument of `squeue --Format`: fields of one record, the name last."""
    return ",".join(f"{field}:{FIELD}" for field in SQUEUE) + f",name:{RECORD}"


def from_squeue(output: str) -> Iterator[JobState]:
    """Read what `squeue --array` printed with `squeue_format`."""
    for record in output.split(RECORD):
        fields = record.lstrip("\n").split(FIELD, len(SQUEUE))
        if len(fields) <= len(SQUEUE):
            continue
        job, state, reason, code, restarts, limit, start, end, nodes, name = fields
        job = job.rpartition("\n")[2]  # with --clusters there is a line with the cluster's name before it
        yield _job(job, name, state, reason, code, restarts, limit, start, end, nodes)


def from_sacct(output: str) -> Iterator[JobState]:
    """Read what `sacct --parsable2` printed with the fields of `SACCT`."""
    for line in output.split("\n"):
        fields = line.split(FIELD, len(SACCT) - 1)
        if len(fields) < len(SACCT):
            continue
        ids, state, reason, code, limit, start, end, nodes, name = fields
        for job in expand(ids):
            yield _job(job, name, state, reason, code, "0", limit, start, end, nodes)


def _job(job: str, name: str, state: str, reason: str, code: str, restarts: str, *others: str) -> JobState:
    limit, start, end, nodes = others
    nodes = "" if nodes in NOWHERE else nodes
    word = state.split()[0].rstrip("+") if state.strip() else "UNKNOWN"  # sacct: `CANCELLED by 1000`
    ended = word in MEANINGS
    status, signal = exit_code(code) if ended else (0, 0)
    return JobState(
        id=job,
        name=name,
        state=word,
        reason="" if reason in ("None", "N/A") else reason.replace(" ", "_"),  # older versions have spaces in some
        nodes=nodes,
        start=_time(start) if nodes and word != "PENDING" and word not in HELD else None,  # else when it may start
        end=_time(end) if ended else None,  # else when it must end
        limit=seconds(limit),
        restarts=int(restarts) if restarts.isdigit() else 0,
        exit_code=status,
        signal=signal,
    )


def exit_code(word: str) -> tuple[int, int]:
    """Read an exit code and a signal: ``3:0``, or what wait() gives as a number (768 is the same)."""
    code, colon, signal = word.partition(":")
    if not code.isdigit():
        return 0, 0
    if colon:
        return int(code), int(signal) if signal.isdigit() else 0
    return int(code) >> 8 & 0xFF, int(code) & 0x7F


def seconds(word: str) -> float | None:
    """Read SLURM's ``[days-][hours:]minutes:seconds``; None for a word, such as UNLIMITED."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", word.strip())
    if not match:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


def _time(word: str) -> str | None:
    return f"{word}Z" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", word) else None


def expand(ids: str) -> list[str]:
    """Give the tasks of an array that are shown as one: ``12_[0-2,8%2]`` are 12_0, 12_1, 12_2 and 12_8."""
    match = re.fullmatch(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]", ids)
    if not match:
        return [ids]
    tasks = []
    for part in match[2].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        tasks += [f"{match[1]}_{task}" for task in range(int(first), int(last or first) + 1, int(step or 1))]
    return tasks
