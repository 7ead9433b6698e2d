"""The ledger: every scan with its state, attempts, jobs, times and result; the truth after a crash.

One SQLite file in the state folder. One host writes; others may look, and so the journal is SQLite's
rollback journal and never WAL, which needs shared memory. Each change is one short transaction,
synced to the disk.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hpcdaas.cluster.entry import ENDED, Entry, State
from hpcdaas.errors import HpcdaasError, InputError

#: In the file's header: "hpcl", and the version of its tables; a newer program brings an older file up to date.
APPLICATION_ID = 0x6870636C
SCHEMA_VERSION = 1
#: Seconds to wait while another process writes.
BUSY_TIMEOUT = 60.0
#: What is remembered of an entry, lines: the latest. One that is tried again and again must not fill the disk.
EVENTS = 100

_COLUMNS = tuple(field.name for field in fields(Entry))
_NUMBERS = ("priority", "tries", "cores", "gpus", "core_seconds", "gpu_seconds")
#: Columns that hold paths: their names needn't be UTF-8, and then they are kept as bytes.
_PATHS = ("scan", "template", "recipe_file", "log", "result")

#: JSON has no bytes: a name that isn't UTF-8 shows so in its places.
_TEXT = 'CASE typeof("{0}") WHEN \'blob\' THEN CAST("{0}" AS TEXT) ELSE "{0}" END'

_SCHEMA = """
CREATE TABLE entry (
    id INTEGER PRIMARY KEY, scan NOT NULL, recipe TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
    template NOT NULL, recipe_file, priority INTEGER NOT NULL, run TEXT, twin INTEGER, place TEXT, intent TEXT,
    job TEXT, tries INTEGER NOT NULL, memory INTEGER, seconds REAL, reason TEXT, log, result, pid TEXT, "group" TEXT,
    found TEXT NOT NULL, queued TEXT, started TEXT, ended TEXT, changed TEXT NOT NULL,
    cores INTEGER NOT NULL, gpus INTEGER NOT NULL, core_seconds REAL NOT NULL, gpu_seconds REAL NOT NULL, work REAL, signature TEXT, not_before TEXT,
    UNIQUE (scan, recipe, attempt)
);
CREATE INDEX entry_state ON entry (state, changed);
CREATE INDEX entry_placed ON entry (state) WHERE place IS NOT NULL;
CREATE INDEX entry_run ON entry (run);
CREATE TABLE event (entry INTEGER NOT NULL, time TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX event_entry ON event (entry);
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""  # noqa: E501


def now(later: float = 0.0) -> str:
    """Give the time in UTC, ISO 8601 with Z, some seconds later if so asked."""
    moment = datetime.now(UTC) + timedelta(seconds=later)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Ledger:
    """The ledger of a state folder.

    Parameters
    ----------
    folder : Path
        The state folder.
    write : bool
        Whether the file is made where there is none.

    Raises
    ------
    InputError
        If it can't be opened, is something else, or was made by a newer version.
    """

    def __init__(self, folder: Path, write: bool = True) -> None:
        self.path = folder / "ledger.db"
        self._lock = threading.RLock()
        self._depth = 0
        if not write and not self.path.exists():
            raise self._missing()
        try:
            if write:
                folder.mkdir(parents=True, exist_ok=True, mode=0o2770)
            uri = f"{self.path.absolute().as_uri()}?mode={'rwc' if write else 'rw'}"
            self._db = sqlite3.connect(
                uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA synchronous = FULL")
            try:
                self._check(write)
            except BaseException:
                self._db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"The ledger {self.path} can't be opened: {error}.", "Give another --state.") from error

    def _missing(self) -> InputError:
        return InputError(
            f"There is no ledger in {self.path.parent}.", "Is it the --state that 'watch' or 'submit' was given?"
        )

    def _check(self, write: bool) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION_ID and version <= SCHEMA_VERSION:
            return
        if application == APPLICATION_ID:
            raise InputError(
                f"The ledger {self.path} was made by a newer hpcdaas.", "Use that version, or a newer one."
            )
        if application or version or self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise InputError(f"{self.path} is another program's database.", "Give another --state.")
        if not write:  # it is being made at this moment
            raise self._missing()
        with self.changing():
            if not self._db.execute("PRAGMA application_id").fetchone()[0]:  # nobody was quicker
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file, once no other thread is at work with it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make several changes one: all of them are kept, or none.

        Raises
        ------
        HpcdaasError
            If the disk is full or the file can't be written.
        """
        with self._lock:
            try:
                if self._depth == 0:
                    self._db.execute("BEGIN IMMEDIATE")
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                if self._depth == 0:
                    self._db.execute("COMMIT")
            except BaseException as error:
                if self._depth == 0 and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise HpcdaasError(f"The ledger {self.path} can't be written: {error}.") from error
                raise

    def add(self, scan: Path, recipe: str, **values: Any) -> Entry | None:
        """Add a scan; None where it is there already with this recipe and attempt."""
        row = {"attempt": 1, "state": State.WAITING, **dict.fromkeys(_NUMBERS, 0)}
        with self.changing():
            # asked for the time when nobody else can write: what is seen later must not be dated back
            row |= {"scan": os.fspath(scan), "recipe": recipe, "found": now(), "changed": now()} | values
            columns = ", ".join(f'"{name}"' for name in row)
            done = self._db.execute(
                f"INSERT OR IGNORE INTO entry ({columns}) VALUES ({', '.join('?' * len(row))})", _stored(row)
            )
            return self.entry(int(done.lastrowid or 0)) if done.rowcount else None

    def change(self, entry: int, text: str = "", **values: Any) -> None:
        """Change an entry, and remember why."""
        with self.changing():
            row = {**values, "changed": now()}
            sets = ", ".join(f'"{name}" = ?' for name in row)
            self._db.execute(f"UPDATE entry SET {sets} WHERE id = ?", [*_stored(row), entry])
            said = text or str(values.get("state", ""))
            if said:
                self._db.execute("INSERT INTO event VALUES (?, ?, ?)", (entry, row["changed"], _text(said)))
                last = "SELECT rowid FROM event WHERE entry = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2"
                self._db.execute(f"DELETE FROM event WHERE entry = ?1 AND rowid <= ({last})", (entry, EVENTS))

    def remove(self, entry: int) -> None:
        """Forget an entry: what it was about is no scan."""
        with self.changing():
            self._db.execute("DELETE FROM event WHERE entry = ?", (entry,))
            self._db.execute("DELETE FROM entry WHERE id = ?", (entry,))

    def entry(self, number: int) -> Entry:
        """Give one entry."""
        return self._select("id = ?", (number,))[0]

    def entries(self, *states: State, order: str = "id", limit: int = -1) -> list[Entry]:
        """Give the entries in some states, all if none is named; `order` is a column, or several."""
        where = f"state IN ({', '.join('?' * len(states))})" if states else "1"
        return self._select(f"{where} ORDER BY {order} LIMIT ?", (*states, limit))

    def ready(
        self, limit: int, paused: Collection[str] = (), *, most: float | None = None, above: float | None = None
    ) -> list[Entry]:
        """Give queued entries that may be started now, the most urgent first; none of a paused group.

        Of those that are as urgent, the next one is of the group with the fewest under way: one with very many scans
        doesn't keep the others waiting.

        Parameters
        ----------
        limit : int
        paused : collection of str, optional
        most, above : float, optional
            Those that are thought to take so many core seconds at most, or more; what an earlier start had too little
            of counts as more.
        """
        if limit <= 0:
            return []
        small = "memory IS NULL AND seconds IS NULL AND coalesce(work, 0) <= ?"
        sizes = [(wanted, bound) for wanted, bound in ((small, most), (f"NOT ({small})", above)) if bound is not None]
        sized = "".join(f" AND {wanted}" for wanted, _ in sizes)
        groups = f""" AND coalesce("group", '') NOT IN ({", ".join("?" * len(paused))})""" if paused else ""
        rows = self._read(
            """WITH busy AS (SELECT coalesce("group", '') AS name, count(*) AS runs FROM entry
            WHERE state IN ('queued', 'running') AND place IS NOT NULL GROUP BY 1),
            turns AS (SELECT id, priority AS urgent, coalesce(runs, 0)
            + row_number() OVER (PARTITION BY priority, coalesce("group", '') ORDER BY id) AS turn
            FROM entry LEFT JOIN busy ON name = coalesce("group", '')
            WHERE state = 'queued' AND place IS NULL AND twin IS NULL AND coalesce(not_before, '') <= ?"""
            f"""{groups}{sized} ORDER BY urgent DESC, turn, id LIMIT ?)
            SELECT entry.* FROM turns JOIN entry USING (id) ORDER BY urgent DESC, turn, id""",
            (now(), *paused, *(bound for _, bound in sizes), limit),
        )
        return [_entry(row) for row in rows]

    def orphans(self) -> list[Entry]:
        """Give copies of scans for which nobody works any more: the first one was cancelled, or is another scan now."""
        works = (
            "SELECT 1 FROM entry AS other WHERE other.id = entry.twin AND other.run = entry.run"
            " AND other.state IN ('queued', 'running', 'done')"
        )
        return self._select(f"state IN ('queued', 'done') AND twin IS NOT NULL AND NOT EXISTS ({works}) ORDER BY id")

    def placed(self) -> list[Entry]:
        """Give entries that a pool or a job has."""
        return self._select("state IN ('queued', 'running') AND place IS NOT NULL ORDER BY id")

    def cancelled(self) -> list[Entry]:
        """Give entries that were cancelled while a pool or a job had them."""
        return self._select("state = 'cancelled' AND place IS NOT NULL ORDER BY id")

    def done(self) -> list[Entry]:
        """Give entries whose results are to be registered now."""
        where = "state = 'done' AND twin IS NULL AND result IS NOT NULL AND coalesce(not_before, '') <= ?"
        return self._select(f"{where} ORDER BY id", (now(),))

    def waiting(self, since: str = "") -> list[Entry]:
        """Give waiting entries that were changed at a time or later."""
        return self._select("state = 'waiting' AND changed >= ? ORDER BY id", (since,))

    def of_scan(self, scan: Path) -> list[Entry]:
        """Give the entries of a scan."""
        return self._select("scan = ? ORDER BY id", (_column(scan),))

    def same_run(self, run: str) -> list[Entry]:
        """Give all entries of a run."""
        return self._select("run = ? ORDER BY id", (run,))

    def as_json(self, columns: Sequence[str], states: Collection[State] = ()) -> str:
        """Give columns of all entries, or of those in some states, as a JSON list: quickly, for very many."""
        where = f"state IN ({', '.join('?' * len(states))})" if states else "1"
        pairs = ", ".join(f"'{name}', {_TEXT.format(name)}" for name in columns)
        found = f"SELECT * FROM entry WHERE {where} ORDER BY id"
        query = f"SELECT CAST(json_group_array(json_object({pairs})) AS BLOB) FROM ({found})"
        return bytes(self._read(query, tuple(states))[0][0]).decode(errors="replace")

    def find(self, name: str) -> list[Entry]:
        """Give the entries of a run (or the first digits of it), of a scan's path or name, or of a SLURM job."""
        path, digits = Path(name), _text(name.lower())
        scan = _column(path.parent.resolve() / path.name)  # a link is a scan by its own name
        found = self._select("run = ? OR scan = ? OR job = ? ORDER BY id", (digits, scan, digits))
        if found or len(name) < 4:
            return found
        end = digits + "g"  # after all hexadecimal digits
        tail = os.fsencode(f"/{name}")  # no pattern: who cancels scan_1 doesn't mean scan-1
        where = "(run >= ? AND run < ?) OR substr(CAST(scan AS BLOB), ?) = ? ORDER BY id"
        return self._select(where, (digits, end, -len(tail), tail))

    def counts(self) -> dict[str, int]:
        """Give how many entries there are in each state."""
        rows = self._read("SELECT state, count(*) FROM entry GROUP BY state")
        there = dict(tuple(row) for row in rows)
        return {state.value: there.get(state.value, 0) for state in State}

    def first(self, state: State, column: str) -> str | None:
        """Give the earliest time in a column of the entries in a state."""
        return self._read(f"SELECT min({column}) FROM entry WHERE state = ?", (state,))[0][0]  # type: ignore[no-any-return]

    def events(self, entry: int) -> list[tuple[str, str]]:
        """Give time and text of what happened to an entry."""
        return [
            tuple(row) for row in self._read("SELECT time, text FROM event WHERE entry = ? ORDER BY rowid", (entry,))
        ]

    def fact(self, name: str) -> Any:
        """Give what was last said under a name, or None."""
        rows = self._read("SELECT value FROM fact WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def say(self, name: str, value: Any) -> None:
        """Keep a small JSON-able value under a name; None removes it."""
        with self.changing():
            if value is None:
                self._db.execute("DELETE FROM fact WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, json.dumps(value)))

    def left_behind(self, since: str, before: str) -> list[Entry]:
        """Give entries that ended without a result in some time, and may have left a checkpoint."""
        wrong = "state IN ('partial', 'failed', 'cancelled') AND result IS NOT NULL"
        return self._select(f"{wrong} AND changed >= ? AND changed < ? ORDER BY id", (since, before))

    def forget(self, before: str, there: Callable[[str], bool] = lambda scan: False) -> int:
        """Remove entries that ended before a time, and what happened to them; give how many entries were removed.

        Parameters
        ----------
        before : str
        there : callable, optional
            Says whether a scan is still there: its entry stays, without its history, since whoever comes across the
            scan again would take it for a new one.
        """
        states = ", ".join(f"'{state}'" for state in ENDED)
        where = f"state IN ({states}) AND changed < ?"
        old = self._read(f"SELECT id, scan FROM entry WHERE {where}", (before,))
        gone = [(row["id"], before) for row in old if not there(os.fsdecode(row["scan"]))]
        with self.changing():
            self._db.execute(f"DELETE FROM event WHERE entry IN (SELECT id FROM entry WHERE {where})", (before,))
            return self._db.executemany(f"DELETE FROM entry WHERE id = ? AND {where}", gone).rowcount

    def usage(self, month: str | None = None) -> list[dict[str, Any]]:
        """Give runs, core and GPU hours by group and month (``2026-11``), newest month first."""
        rows = self._read(
            'SELECT substr(ended, 1, 7) AS month, "group", count(*) AS runs, sum(core_seconds) / 3600 AS core_hours,'
            " sum(gpu_seconds) / 3600 AS gpu_hours FROM entry"
            " WHERE ended IS NOT NULL AND run IS NOT NULL AND (? IS NULL OR ended LIKE ?)"
            " GROUP BY 1, 2 ORDER BY 1 DESC, 2",
            (month, f"{month}%"),
        )
        return [dict(row) for row in rows]

    def _select(self, where: str, values: Iterable[Any] = ()) -> list[Entry]:
        return [_entry(row) for row in self._read(f"SELECT * FROM entry WHERE {where}", values)]

    def _read(self, query: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._db.execute(query, tuple(values)).fetchall()
            except sqlite3.Error as error:
                raise HpcdaasError(f"The ledger {self.path} can't be read: {error}.") from error


def _entry(row: sqlite3.Row) -> Entry:
    values: dict[str, Any] = {}
    for name in _COLUMNS:
        values[name] = os.fsdecode(row[name]) if isinstance(row[name], bytes) else row[name]
    values["state"] = State(row["state"])
    return Entry(**values)


def _stored(row: Mapping[str, Any]) -> list[Any]:
    return [_column(value) if name in _PATHS else _text(value) for name, value in row.items()]


def _text(value: Any) -> Any:
    """Give a text that can be stored: a reason may name a file whose name isn't UTF-8."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _column(value: Any) -> Any:
    """Give a path as text, or as bytes where it isn't UTF-8."""
    if value is None:
        return None
    name = os.fspath(value)
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name
