"""What is told of events: a JSON line each for the journal of a service, or words for people."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from hpcdaas.cluster.entry import Entry
from hpcdaas.cluster.ledger import now

#: Columns of an entry that an event names where they are known.
NAMED = ("scan", "recipe", "run", "state", "attempt", "place", "job", "reason", "result", "pid", "log")


class Tell(Protocol):
    """Hears what happens."""

    def __call__(self, event: str, entry: Entry | None = None, **facts: Any) -> None:
        """Hear of an event, perhaps about an entry."""


class JsonLines:
    """Writes one JSON object a line to standard error: systemd's journal keeps it, and programs can read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, event: str, entry: Entry | None = None, **facts: Any) -> None:
        """Write an event."""
        told = {"time": now(), "event": event, **(about(entry) if entry else {}), **facts}
        with self._lock, suppress(OSError):  # a journal that is full or gone holds no scan up
            print(json.dumps(told, default=str), file=sys.stderr, flush=True)


class Words:
    """Says in a line for people what matters to them."""

    #: Events that are worth a line.
    SAID = ("done", "registered", "failed", "cancelled", "partial", "submitted", "slurm away", "full", "outbox", "pool")

    def __init__(self, quiet: bool = False) -> None:
        self._lock, self._quiet = threading.Lock(), quiet

    def __call__(self, event: str, entry: Entry | None = None, **facts: Any) -> None:
        """Say an event."""
        if self._quiet or event not in self.SAID:
            return
        which = f"{Path(entry.scan).name}: " if entry else ""
        more = [str(value) for value in facts.values()]
        more += (
            [text for text in (entry.reason, entry.result if event in ("done", "registered") else None) if text]
            if entry
            else []
        )
        with self._lock:
            print(plain(f"{which}{event}{': ' if more else ''}{'; '.join(more)}"), file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Make names from files harmless in a terminal: no control codes, nothing that can't be encoded."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def about(entry: Entry) -> dict[str, Any]:
    """Give what an event names of an entry."""
    return {name: value for name in NAMED if (value := getattr(entry, name)) is not None}
