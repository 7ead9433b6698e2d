"""Whose turn it is to write into an embedded catalogue, and what waits meanwhile.

A commit waits for the disk several times, and only one process writes at a time. So those who find another one at it
put down what they want registered, and whose turn it is then registers all that waits in one transaction: it is on
the disk for everybody at once. Each still answers for its own: what nobody has taken along when its turn comes, it
registers itself, and what is registered twice is one dataset.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The longest and the shortest time between two looks whether it is one's turn, seconds: of the order of one commit.
#: SQLite's own waiting goes up to 100 ms between tries, and the disk stands idle meanwhile.
_LONG, _SHORT = 2e-3, 2e-4
#: How many that wait are taken along at most.
_MOST = 100
#: How the file of what was taken along is called; one that its process left is old after so many seconds.
_DONE, _STALE = ".done", 3600.0


class Turn:
    """The turn to write; a process that ends gives it back.

    Only who writes touches the database: those who try to begin meanwhile would hold a shared lock for a moment, at
    which the commit of the one who writes stops, and sleeps. The lock is on the folder, so that no file is left
    behind. Where there are no such locks it is always one's turn, and SQLite's own alone decide, as they do over those
    who don't ask here.

    Parameters
    ----------
    folder : Path
        Of the catalogue.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # said by who opens the catalogue
            self._descriptor = -1

    def take(self) -> bool:
        """Take the turn if nobody has it."""
        if self._descriptor < 0:
            return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks on folders here
            return True
        return True

    def waits(self, patience: float) -> Iterator[None]:
        """Come back again and again until it is one's turn, or patience has ended."""
        deadline = time.monotonic() + patience
        while not self.take() and time.monotonic() < deadline:
            yield
            time.sleep(random.uniform(_SHORT, _LONG))

    def close(self) -> None:
        """Give it to the next one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def in_turn(folder: Path, patience: float) -> Iterator[None]:
    """Do something when it is one's turn."""
    turn = Turn(folder)
    try:
        for _ in turn.waits(patience):
            pass
        yield
    finally:
        turn.close()


class Queue:
    """What processes of this account want registered while another one writes: one file each.

    Nothing in it needs to outlive a crash: who put it there waits for it, and has it.

    Parameters
    ----------
    path : Path
        The catalogue.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.with_name(f".{path.name}.queue")

    def put(self, text: str) -> Path | None:
        """Put something down; None where nothing can be written."""
        name = f"{time.time_ns():020}-{uuid.uuid4().hex}"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part, ticket = self._folder / f".{name}", self._folder / name
            part.write_text(text, encoding="utf-8")
            return part.rename(ticket)
        except OSError:
            return None

    def is_done(self, ticket: Path | None) -> bool:
        """Say whether another process says that it has registered it."""
        return ticket is not None and ticket.with_suffix(_DONE).exists()

    def others(self, mine: Path | None) -> dict[Path, str]:
        """Give what others of this account have put down, the oldest first."""
        found: dict[Path, str] = {}
        with suppress(OSError):
            for path in sorted(self._folder.iterdir())[:_MOST]:
                with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as file:
                    status = os.fstat(file.fileno())
                    if path.name.startswith(".") or path.suffix == _DONE:
                        if time.time() - status.st_mtime > _STALE:  # its process died
                            path.unlink()
                    elif path != mine and status.st_uid == os.geteuid():
                        found[path] = file.read()
        return found

    def say_done(self, tickets: Iterable[Path]) -> None:
        """Tell those who wait that theirs is registered: it is on the disk."""
        for ticket in tickets:
            with suppress(OSError):
                ticket.rename(ticket.with_suffix(_DONE))

    def remove(self, ticket: Path | None) -> None:
        """Take one's own away, and the folder after the last one."""
        with suppress(OSError):
            if ticket is not None:
                ticket.unlink(missing_ok=True)
                ticket.with_suffix(_DONE).unlink(missing_ok=True)
            self._folder.rmdir()
