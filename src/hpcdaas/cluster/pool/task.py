"""What a pool's worker is given, how it does it, and what it gives back; all of it plain data."""

from __future__ import annotations

import gc
import os
import socket
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from hpcdaas import errors
from hpcdaas.errors import HpcdaasError, for_people
from hpcdaas.pipeline import Watcher, reconstruct
from hpcdaas.recipe import parse
from hpcdaas.result import Result

#: Ends of an order that are the pool's: nobody wants it any more; its workers died again and again.
CANCELLED, LOST = "cancelled", "lost"
#: Share of a worker's memory that a run may use; the rest is the program's own.
SHARE = 0.8
_KINDS = {
    kind.code: kind
    for kind in (errors.InputError, errors.Busy, errors.Rewritten, errors.NoRoom, errors.Interrupted, HpcdaasError)
}


@dataclass(frozen=True)
class Order:
    """One run for a worker of a pool.

    Attributes
    ----------
    scan, out : Path
        Raw file; result file, whose folder has to be there.
    recipe : mapping or None
        Content of a recipe, as `Recipe.resolved` or a recipe file gives it. None: the default.
    attempt : int
    expected : str or None
        Identity of the run that is meant; another one is refused.
    memory, threads : int or None
        Default: what a worker of the pool has.
    seconds : float
        Estimate; 0 if nothing is known.
    overwrite : bool
        Whether a result of another run is replaced.
    register : bool
        Whether the record is written that a poster waits for.
    log : Path or None
        What the run says is added to this file; its folder is made.
    key : str
        The caller's own word for it.
    options : mapping
        What the site says of every run: see `Site.run_options`.
    """

    scan: Path
    out: Path
    recipe: Mapping[str, Any] | None = None
    attempt: int = 1
    expected: str | None = None
    memory: int | None = None
    threads: int | None = None
    seconds: float = 0.0
    overwrite: bool = False
    register: bool = True
    log: Path | None = None
    key: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """Why an order came to nothing: an error of `hpcdaas.errors` as data, or ``cancelled``, or ``lost``."""

    code: str
    message: str
    hint: str = ""

    def error(self) -> HpcdaasError:
        """Give the exception that says it."""
        return _KINDS.get(self.code, HpcdaasError)(self.message, self.hint)


@dataclass(frozen=True)
class Outcome:
    """What came of an order.

    Attributes
    ----------
    order : Order
    result : Result or None
        None where there is a fault.
    fault : Fault or None
        None where there is a result.
    node, job : str
        Host that did it; number of the pool's SLURM job, empty where there is none.
    started, ended : str
        UTC, ISO 8601 with Z.
    seconds : float
        That the worker was busy with it.
    """

    order: Order
    result: Result | None = None
    fault: Fault | None = None
    node: str = ""
    job: str = ""
    started: str = ""
    ended: str = ""
    seconds: float = 0.0


def now() -> str:
    """Give the time in UTC, ISO 8601 with Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def carry_out(order: Order, watcher: Watcher | None = None) -> Outcome:
    """Do an order in this process; whatever happens is in the outcome.

    The record is written beside the result, and no catalogue is told: workers hold no token.

    Parameters
    ----------
    order : Order
    watcher : Watcher, optional
        Told of progress, may end the run; what it would be told in words goes to the order's log.
    """
    began, started = time.monotonic(), now()
    watcher = watcher or Watcher()
    result, fault = None, None
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # so that the largest memory is that of this run alone
    log = _open(order.log)
    try:
        say = watcher.say if log is None else _into(log, order.scan)
        result = _reconstruct(order, Watcher(say, watcher.progress, watcher.stop))
        say(f"Done in {time.monotonic() - began:.1f} s: {result.path}")
    except Exception as error:
        told = for_people(error)
        fault = Fault(told.code, told.message, told.hint)
        _complain(log, order.scan, error, told)
    finally:
        if log is not None:
            log.close()
    gc.collect()  # cycles would keep arrays of this run in the next one's memory
    return Outcome(
        order, result, fault, node=node_name(), job=os.environ.get("SLURM_JOB_ID", ""), started=started, ended=now(),
        seconds=time.monotonic() - began,
    )  # fmt: skip


def node_name() -> str:
    """Give this host's name, as SLURM knows it where there is SLURM."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _reconstruct(order: Order, watcher: Watcher) -> Result:
    recipe = None if order.recipe is None else parse(order.recipe)
    options = {
        **order.options, "memory": order.memory, "threads": order.threads, "overwrite": order.overwrite,
        "expected": order.expected, "deliver": False, "register_result": order.register,
    }  # fmt: skip
    return reconstruct(order.scan, recipe, order.out, attempt=order.attempt, watcher=watcher, **options)


def _open(path: Path | None) -> TextIO | None:
    """Open the log; a run that can't be logged is done all the same."""
    if path is None:
        return None
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8", errors="replace", buffering=1)
    return None


def _into(log: TextIO, scan: Path) -> Any:
    def say(text: str) -> None:
        with suppress(OSError):
            log.write(f"{now()} {scan.name}: {text}\n")

    return say


def _complain(log: TextIO | None, scan: Path, error: Exception, told: HpcdaasError) -> None:
    """Write an error to the log; where it is none of ours, with the place in the program."""
    if log is None:
        return
    say = _into(log, scan)
    say(f"{told.code}: {' '.join(str(told).split())}")
    if told is not error:
        say("".join(traceback.format_exception(error)))
