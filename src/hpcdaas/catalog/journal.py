"""What was sent to a catalogue for one run, and what it acknowledged: on disk, so that it outlives the process.

A request may be stored by the server although its answer never came. Each try is written down, and synced,
before it goes out; after a crash, or where the catalogue may not be read, the journal tells whether what is there
is ours. An answer is written down at once, and synced with the next try: one that a power failure takes away counts
as a try that was never answered. One process at a time works on a run: the journal is locked meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from hpcdaas.catalog.outcome import NotYet
from hpcdaas.errors import HpcdaasError


def state_folder() -> Path:
    """Say where the journals of this account are: ``$XDG_STATE_HOME/hpcdaas/deliveries``."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "-")
    return (state if state.is_absolute() else Path.home() / ".local/state") / "hpcdaas" / "deliveries"


def digest(value: Any) -> str:
    """Give the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Journal:
    """The journal of one run in one catalogue; use it in a ``with`` statement.

    Parameters
    ----------
    path : Path
        Its file.
    patience : float
        Seconds to wait for another process that works on the same run.

    Raises
    ------
    NotYet
        If another process still works on it.
    HpcdaasError
        If it can't be written.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._path, self._patience = path, patience
        self._entries: list[dict[str, Any]] = []
        self._descriptor = -1

    def __enter__(self) -> Journal:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._lock()
            content = self._path.read_bytes()
            if content and not content.endswith(b"\n"):
                os.write(self._descriptor, b"\n")  # a process was killed while it wrote
        except OSError as error:
            self._close()
            raise HpcdaasError(f"The journal {self._path} can't be written: {error.strerror}.") from error
        except BaseException:
            self._close()
            raise
        self._entries = read_entries(content)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _lock(self) -> None:
        end = time.monotonic() + self._patience
        while True:
            try:
                return fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise NotYet("Another process is registering this run.", "It goes on by itself.") from None
                time.sleep(0.05)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def note(self, what: str, state: str, *, sync: bool = True, **facts: Any) -> None:
        """Write an entry down; it is on the disk when this returns, unless it need not be."""
        entry = {"what": what, "state": state, **facts, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        try:
            os.write(self._descriptor, json.dumps(entry).encode() + b"\n")
            if sync:
                os.fdatasync(self._descriptor)
        except OSError as error:
            raise HpcdaasError(f"The journal {self._path} can't be written: {error.strerror}.") from error
        self._entries.append(entry)

    def find(self, what: str, state: str, **facts: Any) -> dict[str, Any] | None:
        """Give the last entry of a kind, if there is one."""
        return next((e for e in reversed(self._entries) if _is(e, {"what": what, "state": state, **facts})), None)

    def ours(self, what: str, **facts: Any) -> bool:
        """Say whether the server has stored it for us, or may have: a try was never answered."""
        counts = {
            state: sum(_is(e, {"what": what, "state": state, **facts}) for e in self._entries)
            for state in ("sent", "stored", "refused")
        }
        return counts["stored"] > 0 or counts["sent"] > counts["refused"]

    def uncertain(self, what: str, **facts: Any) -> bool:
        """Say whether a try was never answered."""
        return self.ours(what, **facts) and self.find(what, "stored", **facts) is None

    def trace(self, what: str, **facts: Any) -> Trying:
        """Follow the tries of one request."""
        return Trying(self, what, facts)


class Trying:
    """Writes the tries of one request into the journal."""

    def __init__(self, journal: Journal, what: str, facts: Mapping[str, Any]) -> None:
        self._journal, self._what, self._facts = journal, what, facts

    def sent(self) -> None:
        """Say that a try is about to go out."""
        self._journal.note(self._what, "sent", **self._facts)

    def answered(self, status: int) -> None:
        """Say what came back."""
        state = "stored" if 200 <= status < 300 else "refused"
        self._journal.note(self._what, state, sync=False, **self._facts)


def read_entries(content: bytes) -> list[dict[str, Any]]:
    """Read the lines of a journal; one that was cut off says nothing."""
    entries = []
    for line in content.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _is(entry: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    return all(entry.get(key) == value for key, value in facts.items())
