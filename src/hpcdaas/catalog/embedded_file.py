"""The file of the embedded catalogue: transactions in it, and its errors in words.

Other hosts may look at the file while one writes, so the journal is SQLite's rollback journal and
never WAL, which needs shared memory. Each transaction is synced to the disk: after a crash it is
there whole or not at all.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hpcdaas.catalog.embedded_schema import is_current, make_current
from hpcdaas.catalog.embedded_turn import in_turn
from hpcdaas.errors import HpcdaasError, InputError

#: How long to wait while other processes write, seconds.
BUSY_TIMEOUT = 60.0


class CatalogFile:
    """One SQLite file, for many threads and processes.

    Connections are kept from one transaction to the next, per process: a forked process opens its own.

    Parameters
    ----------
    path : Path
        The file; the first one that writes makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: By process; what belongs to a parent is neither used nor closed after a fork.
        self._idle: dict[int, list[tuple[tuple[int, int], sqlite3.Connection]]] = {}

    def missing(self) -> bool:
        """Say whether there is no file, or an empty one that a killed process left."""
        try:
            return self.path.stat().st_size == 0
        except OSError:  # one that can't be looked at is refused when it is opened
            return not self.path.is_symlink()

    @contextmanager
    def transaction(self, write: bool = False, has_turn: bool = False) -> Iterator[sqlite3.Connection]:
        """Run one transaction: whole, or, where an error is raised in it, not at all.

        Parameters
        ----------
        write : bool
            Whether it writes; then it is the only one that does at this time.
        has_turn : bool
            Whether the caller has the `Turn` to write.

        Yields
        ------
        sqlite3.Connection
            Its rows are `sqlite3.Row`.

        Raises
        ------
        InputError
            If the file is no catalogue, or can't be read or written.
        HpcdaasError
            If others write for longer than `BUSY_TIMEOUT`.
        """
        if not write and self.missing():
            raise InputError(f"There is no catalogue {self.path} yet.", "The first result that is registered makes it.")
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder, not a catalogue.", "Give the name of a file in it.")
        db = None
        try:
            with in_turn(self.path.parent, BUSY_TIMEOUT) if write and not has_turn else nullcontext():
                db = self._take(write)
                self._begin(db, write)
                yield db
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._explain(error) from error
        except BaseException:
            if db is not None:
                db.rollback()
                self._give_back(db)
                db = None
            raise
        else:
            self._give_back(db)
            db = None
        finally:
            if db is not None:  # what failed once is opened anew
                db.close()

    def _take(self, write: bool) -> sqlite3.Connection:
        idle = self._idle.setdefault(os.getpid(), [])
        inode = self._inode()
        while idle:
            opened, db = idle.pop()
            if opened == inode:  # the name may mean another file by now
                return db
            db.close()
        # rw falls back to reading where the file may not be written
        uri = f"{self.path.absolute().as_uri()}?mode={'rwc' if write else 'rw'}"
        db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        return db

    def _give_back(self, db: sqlite3.Connection) -> None:
        if inode := self._inode():
            self._idle.setdefault(os.getpid(), []).append((inode, db))
        else:
            db.close()

    def _inode(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _begin(self, db: sqlite3.Connection, write: bool) -> None:
        if write:
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            if not is_current(db, self.path):
                make_current(db)
            return
        db.execute("BEGIN")
        if is_current(db, self.path):
            return
        if not db.execute("PRAGMA user_version").fetchone()[0]:
            raise InputError(f"{self.path} is empty, not a catalogue.", "The first result that is registered makes it.")
        db.execute("ROLLBACK")
        self._begin(db, write=True)
        db.execute("COMMIT")
        db.execute("BEGIN")

    def _explain(self, error: sqlite3.Error) -> HpcdaasError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return InputError(f"{self.path} is no catalogue.", "Give another file.")
        if code == sqlite3.SQLITE_CORRUPT:
            return InputError(f"The catalogue {self.path} is damaged.", "Restore it from a backup.")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return InputError(f"The catalogue {self.path} can't be opened or written.", "See to its folder and rights.")
        if code == sqlite3.SQLITE_FULL:
            return InputError(f"The disk of the catalogue {self.path} is full.", "Make room and register again.")
        if code == sqlite3.SQLITE_BUSY:
            return HpcdaasError(f"The catalogue {self.path} is in use by another process.", "Try again later.")
        return HpcdaasError(f"The catalogue {self.path}: {error}.")
