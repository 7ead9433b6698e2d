"""How a run is carried out: nothing here changes the result, so nothing here is part of its identity."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from pydantic import ByteSize, Field

from hpcdaas.errors import Interrupted
from hpcdaas.parallel import Comm
from hpcdaas.params import Parameters


class Options(Parameters):
    """How a run is carried out."""

    backend: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it is computed")
    memory: ByteSize | None = Field(None, gt=0, description="budget, for example 8GB or 4GiB")
    threads: int | None = Field(None, ge=1, description="threads of this process")
    overwrite: bool = Field(False, description="replace a result of another run")
    expected: str | None = Field(None, description="identity of the run that is meant; another one is refused")
    catalog: str | None = Field(None, description="where the result is registered; default: the user's own catalogue")
    deliver: bool | None = Field(None, description="whether the catalogue is told; default: not from a batch job")
    register_result: bool = Field(True, description="whether the result is registered at all")
    prefix: str = Field("", description="of persistent identifiers")
    timezone: str | None = Field(None, description="of raw times without a zone; default: this machine's")
    mode: str = Field("0660", pattern=r"^0?[0-7]{3}$", description="permissions of the result")
    group: str | None = Field(None, description="group of the result; default: the folder's")

    @property
    def delivers(self) -> bool:
        """Whether the catalogue is told: from inside a batch job a poster outside does that, which holds the token."""
        return self.register_result and (self.deliver if self.deliver is not None else not _in_job())


def _in_job() -> bool:
    return bool(os.environ.get("SLURM_JOB_ID"))


def _nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Watcher:
    """Who is told of a run while it goes on, and may end it.

    Attributes
    ----------
    say : callable
        Told in words what was decided (the plan, the centre).
    progress : callable
        Told (done, total) slices.
    stop : callable
        Asked at every boundary between blocks; raises `Interrupted` where the run is to end.
    """

    say: Callable[[str], None] = _nothing
    progress: Callable[[int, int], None] = _nothing
    stop: Callable[[], None] = _nothing


def agreeing(watcher: Watcher, comm: Comm) -> Watcher:
    """Give a watcher for one of many ranks: rank 0 tells, and all stop at the same boundary when one of them is to."""
    if comm.size == 1:
        return watcher

    def stop() -> None:
        wanted: Interrupted | None = None
        try:
            watcher.stop()
        except Interrupted as error:
            wanted = error
        if comm.agree(wanted is not None):
            said = [message for message in comm.gather(wanted.message if wanted else "") if message]
            raise Interrupted(said[0])

    return Watcher(watcher.say, watcher.progress, stop) if comm.rank == 0 else Watcher(stop=stop)


def noting(watcher: Watcher) -> tuple[Watcher, list[str]]:
    """Give a watcher that also notes what is said, for the log in the catalogue, and the notes."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(f"{datetime.now(UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')} {text}")
        watcher.say(text)

    return replace(watcher, say=say), said
