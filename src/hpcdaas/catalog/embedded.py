"""The embedded catalogue: one SQLite file.

Other hosts may look at the file while one writes, so the journal is SQLite's rollback journal and
never WAL, which needs shared memory. Each registration is one transaction, synced to the disk:
after a crash a run is registered whole or not at all. Connections live as long as one call, so
that a catalogue may be used by forked processes and threads.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpcdaas.catalog.record import DerivedDataset, OrigDatablock, RawDataset, Record
from hpcdaas.errors import HpcdaasError, InputError

#: In the file's header: "hpcd" says that it is a catalogue of ours, and the version of its tables.
APPLICATION_ID = 0x68706364
SCHEMA_VERSION = 1

#: How long to wait while other processes write, seconds.
BUSY_TIMEOUT = 60.0

_SCHEMA = """
CREATE TABLE dataset (
    pid TEXT PRIMARY KEY, type TEXT NOT NULL, proposal TEXT, technique TEXT, created TEXT NOT NULL,
    size INTEGER NOT NULL, files INTEGER NOT NULL, document TEXT NOT NULL,
    registered TEXT NOT NULL, updated TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX dataset_created ON dataset (created);
CREATE TABLE datablock (
    pid TEXT NOT NULL REFERENCES dataset, position INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (pid, position)
);
CREATE TABLE attachment (pid TEXT PRIMARY KEY REFERENCES dataset, document TEXT NOT NULL);
CREATE TABLE link (
    input TEXT NOT NULL, output TEXT NOT NULL REFERENCES dataset,
    PRIMARY KEY (output, input)
) WITHOUT ROWID;
CREATE INDEX link_input ON link (input);
"""


class EmbeddedCatalog:
    """A catalogue in one SQLite file.

    Parameters
    ----------
    path : Path
        The file; the first registration makes it.
    optional : bool
        Whether a missing file counts as an empty catalogue when it is read. If not, it is an error:
        the name is then likely mistyped.
    """

    def __init__(self, path: Path, *, optional: bool = False) -> None:
        self.path = path
        self._optional = optional

    def register(self, record: Record) -> str:
        """Put a run's raw and derived dataset in.

        A run that is there already stays one dataset; where the record is newer (the result was
        made again), its content takes the place of the old. A raw dataset stays as it came first.

        Parameters
        ----------
        record : Record
            The run.

        Returns
        -------
        str
            The pid of the derived dataset.

        Raises
        ------
        InputError
            If the file is no catalogue, or can't be written.
        """
        with self._connect(write=True) as db:
            known = db.execute("SELECT 1 FROM dataset WHERE pid = ?", (record.raw.pid,)).fetchone()
            if not known:
                _insert(db, record.raw, record.raw_datablocks)
            pid = record.derived.pid
            known = db.execute("SELECT created, registered FROM dataset WHERE pid = ?", (pid,)).fetchone()
            if known and known["created"] >= record.derived.creationTime:
                return pid
            for table in ("datablock", "attachment"):
                db.execute(f"DELETE FROM {table} WHERE pid = ?", (pid,))
            db.execute("DELETE FROM link WHERE output = ?", (pid,))
            db.execute("DELETE FROM dataset WHERE pid = ?", (pid,))
            _insert(db, record.derived, record.derived_datablocks, known["registered"] if known else None)
            links = [(source, pid) for source in record.derived.inputDatasets]
            db.executemany("INSERT INTO link (input, output) VALUES (?, ?)", links)
            if record.thumbnail:
                document = record.thumbnail.model_dump_json()
                db.execute("INSERT INTO attachment (pid, document) VALUES (?, ?)", (pid, document))
            return pid

    def datasets(
        self, *, type: str | None = None, proposal: str | None = None, technique: str | None = None
    ) -> list[dict[str, Any]]:
        """List datasets, newest first.

        Parameters
        ----------
        type : str, optional
            Only ``raw`` or ``derived``.
        proposal : str, optional
            Only those of this proposal.
        technique : str, optional
            Only those of this technique, by its PaNET pid's last part, for example ``PaNET01207``.

        Returns
        -------
        list of dict
            SciCat's field names; fields without a value are left out.

        Raises
        ------
        InputError
            If there is no catalogue.
        """
        if self._optional and self._missing():
            return []
        wanted = {"type": type, "proposal": proposal, "technique": technique}
        wanted = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = :{column}" for column in wanted) or "1"
        with self._connect() as db:
            rows = db.execute(f"SELECT * FROM dataset WHERE {where} ORDER BY created DESC, type, pid", wanted)
            return [_dataset(row) for row in rows]

    def dataset(self, pid: str) -> dict[str, Any]:
        """Give one dataset with its files, picture and links.

        Parameters
        ----------
        pid : str
            Its pid, or the beginning of it, with or without the site's prefix, in any case.

        Returns
        -------
        dict
            As in `datasets`, with `origdatablocks`, `attachments`, `inputDatasets` (empty for a raw
            dataset), and `derivedDatasets`: the pids of what was made from it.

        Raises
        ------
        InputError
            If none or several begin so.
        """
        with self._connect() as db:
            row = _find(db, pid)
            found = _dataset(row)
            key = (row["pid"],)
            blocks = db.execute("SELECT document FROM datablock WHERE pid = ? ORDER BY position", key)
            found["origdatablocks"] = [json.loads(block["document"]) for block in blocks]
            pictures = db.execute("SELECT document FROM attachment WHERE pid = ?", key)
            found["attachments"] = [json.loads(picture["document"]) for picture in pictures]
            outputs = db.execute("SELECT output FROM link WHERE input = ? ORDER BY output", key)
            found.setdefault("inputDatasets", [])
            found["derivedDatasets"] = [output["output"] for output in outputs]
            return found

    def _missing(self) -> bool:
        """Say whether there is no file, or an empty one that a killed process left."""
        try:
            return self.path.stat().st_size == 0
        except OSError:  # one that can't be looked at is refused when it is opened
            return not self.path.is_symlink()

    @contextmanager
    def _connect(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file and run one transaction in it."""
        if not write and self._missing():
            raise InputError(f"There is no catalogue {self.path} yet.", "The first result that is registered makes it.")
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder, not a catalogue.", "Give the name of a file in it.")
        try:
            # rw falls back to reading where the file may not be written
            uri = f"{self.path.absolute().as_uri()}?mode={'rwc' if write else 'rw'}"
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as db:
                db.row_factory = sqlite3.Row
                if write:
                    db.execute("PRAGMA journal_mode = DELETE")
                    db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                self._check(db, write)
                yield db
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _check(self, db: sqlite3.Connection, write: bool) -> None:
        """See that the file is a catalogue of a known version; make the tables in an empty file."""
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION_ID and version <= SCHEMA_VERSION:
            return
        if application == APPLICATION_ID:
            raise InputError(
                f"The catalogue {self.path} was made by a newer hpcdaas (tables of version {version}, "
                f"known up to {SCHEMA_VERSION}).",
                "Use that version, or a newer one.",
            )
        if application or version or db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise InputError(f"{self.path} is another program's database, not a catalogue.", "Give another file.")
        if not write:
            raise InputError(f"{self.path} is empty, not a catalogue.", "The first result that is registered makes it.")
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

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


def _insert(
    db: sqlite3.Connection,
    dataset: RawDataset | DerivedDataset,
    blocks: tuple[OrigDatablock, ...],
    registered: str | None = None,
) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    row = {
        "pid": dataset.pid,
        "type": dataset.type,
        "proposal": dataset.proposalId,
        "technique": dataset.techniques[0].pid.rsplit("/", 1)[-1] if dataset.techniques else None,
        "created": dataset.creationTime,
        "size": sum(block.size for block in blocks),
        "files": sum(len(block.dataFileList) for block in blocks),
        "document": dataset.model_dump_json(exclude_none=True),
        "registered": registered or now,
        "updated": now,
    }
    db.execute(f"INSERT INTO dataset ({', '.join(row)}) VALUES ({', '.join(f':{key}' for key in row)})", row)
    db.executemany(
        "INSERT INTO datablock (pid, position, document) VALUES (?, ?, ?)",
        [(dataset.pid, i, block.model_dump_json(exclude_none=True)) for i, block in enumerate(blocks)],
    )


def _dataset(row: sqlite3.Row) -> dict[str, Any]:
    return {
        **json.loads(row["document"]),
        "size": row["size"],
        "numberOfFiles": row["files"],
        "createdAt": row["registered"],
        "updatedAt": row["updated"],
    }


def _find(db: sqlite3.Connection, pid: str) -> sqlite3.Row:
    """Find the dataset whose pid begins so, also without the site's prefix."""
    rows = db.execute(
        "SELECT * FROM dataset WHERE substr(upper(pid), 1, length(:p)) = :p"
        " OR (instr(pid, '/') AND substr(upper(pid), instr(pid, '/') + 1, length(:p)) = :p)",
        {"p": pid.upper()},
    ).fetchall()
    exact = [row for row in rows if row["pid"] == pid]
    rows = exact or rows
    if not rows:
        raise InputError(f"There is no dataset {pid} in the catalogue.", "'hpcdaas catalog list' shows all.")
    if len(rows) > 1:
        raise InputError(f"{len(rows)} datasets begin with {pid}.", "Give more of the pid.")
    found: sqlite3.Row = rows[0]
    return found
