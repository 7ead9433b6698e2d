"""What ``status`` says."""

from __future__ import annotations

from typing import Any

from hpcdaas.cluster.entry import Entry

#: Fields of a run, in the order of the contract.
FIELDS = (
    "run", "scan", "recipe", "state", "attempt", "job", "reason", "log", "result", "pid", "queued", "started", "ended",
)  # fmt: skip


def row(entry: Entry) -> dict[str, Any]:
    """Give what programs are told of a run."""
    return {name: getattr(entry, name) for name in FIELDS}
