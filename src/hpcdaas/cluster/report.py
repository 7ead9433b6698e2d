"""What ``status`` says."""

from __future__ import annotations

from typing import Any

from hpcdaas.cluster.entry import Entry, State

#: Fields of a run, in the order of the contract.
FIELDS = (
    "run", "scan", "recipe", "state", "attempt", "job", "reason", "log", "result", "pid", "queued", "started", "ended",
)  # fmt: skip

#: States of what came to nothing.
WRONG = (State.FAILED, State.PARTIAL, State.CANCELLED)


def row(entry: Entry) -> dict[str, Any]:
    """Give what programs are told of a run."""
    return {name: getattr(entry, name) for name in FIELDS}
