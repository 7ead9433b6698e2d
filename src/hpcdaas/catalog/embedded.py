"""The embedded catalogue: one SQLite file.

Each registration is one transaction, synced to the disk: after a crash a run is registered whole or not at all.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hpcdaas.catalog import embedded_file
from hpcdaas.catalog import embedded_rows as rows
from hpcdaas.catalog.embedded_file import CatalogFile
from hpcdaas.catalog.embedded_search import Query, find
from hpcdaas.catalog.embedded_turn import Queue, Turn
from hpcdaas.catalog.owned import owned
from hpcdaas.catalog.record import VERSION, DerivedDataset, OrigDatablock, RawDataset, Record
from hpcdaas.catalog.settings import Rule
from hpcdaas.errors import InputError


class EmbeddedCatalog:
    """A catalogue in one SQLite file.

    Parameters
    ----------
    path : Path
        The file; the first registration makes it.
    optional : bool
        Whether a missing file counts as an empty catalogue when it is read. If not, it is an error:
        the name is then likely mistyped.
    rule : Rule, optional
        Says whose the scan at a path is. Default: as its file says.
    """

    def __init__(self, path: Path, *, optional: bool = False, rule: Rule | None = None) -> None:
        self.path, self._rule = path, rule
        self._file = CatalogFile(path)
        self._optional = optional

    def transaction(self, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        """Run one transaction; see `CatalogFile.transaction`."""
        return self._file.transaction(write)

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
        record = owned(record, self._rule)
        run, queue, ticket = _Run(record), Queue(self.path), None
        turn = Turn(self.path.parent)
        try:
            for _ in turn.waits(embedded_file.BUSY_TIMEOUT):
                ticket = ticket or queue.put(record.model_dump_json())
                if queue.is_done(ticket):
                    return run.pid  # another process has taken it along
            if not queue.is_done(ticket):
                queue.say_done(self._register(run, queue.others(ticket)))
            return run.pid
        finally:
            queue.remove(ticket)
            turn.close()

    def _register(self, run: _Run, others: dict[Path, str]) -> list[Path]:
        """Put a run in, and those that others wait for; say which of these."""
        runs = [(path, other) for path, text in others.items() if (other := _Run.read(text))]
        with self._file.transaction(write=True, has_turn=True) as db:
            run.put(db)
            for _, other in runs:
                other.put(db)
        return [path for path, _ in runs]

    def register_raw(self, raw: RawDataset, blocks: tuple[OrigDatablock, ...]) -> str:
        """Put a raw scan in, once; one that is there stays as it is. Gives its pid; raises as `register`."""
        ready = _Ready(raw, blocks)
        with self.transaction(write=True) as db:
            if rows.get_dataset(db, raw.pid) is None:
                _insert(db, ready)
        return raw.pid

    def datasets(
        self, *, type: str | None = None, proposal: str | None = None, technique: str | None = None,
        text: str = "", limit: int | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """List datasets, newest first.

        Parameters
        ----------
        type : str, optional
            Only ``raw`` or ``derived``.
        proposal : str, optional
            Only those of this proposal.
        technique : str, optional
            Only those of this technique, by its PaNET pid's last part, for example ``PaNET01207``.
        text : str, optional
            Only those that hold all these words, each at least as the beginning of one.
        limit : int, optional
            The newest so many.

        Returns
        -------
        list of dict
            SciCat's field names; fields without a value are left out.

        Raises
        ------
        InputError
            If there is no catalogue.
        """
        if self._optional and self._file.missing():
            return []
        wanted = {"type": type, "proposal": proposal, "technique": technique}
        conditions = [(f"dataset.{column} = ?", [value]) for column, value in wanted.items() if value is not None]
        order = (("creationTime", True), ("type", False))
        return [rows.document_of(row) for row in find(self, Query(conditions, text, order, limit=limit))]

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
        with self.transaction() as db:
            row = _find(db, pid)
            number = row["id"]
            found = rows.document_of(row)
            found["origdatablocks"] = [json.loads(b["document"]) for b in rows.blocks_of(db, [number])[number]]
            found["attachments"] = [json.loads(a["document"]) for a in rows.attachments_of(db, [number])[number]]
            found.setdefault("inputDatasets", [])
            found["derivedDatasets"] = rows.outputs_of(db, row["pid"])
            return found


class _Run:
    """A run as it is written: all that can be done before others have to wait is done."""

    def __init__(self, record: Record) -> None:
        self.raw, self.derived = record.raw, record.derived
        self.pid = record.derived.pid
        self._ready = _Ready(record.raw, record.raw_datablocks), _Ready(record.derived, record.derived_datablocks)
        self._picture = record.thumbnail.model_dump_json() if record.thumbnail else None

    @classmethod
    def read(cls, text: str) -> _Run | None:
        """Read what another process has put down; None where this program doesn't understand it."""
        try:
            record = Record.model_validate_json(text)
        except ValueError:
            return None
        return cls(record) if record.version <= VERSION else None

    def put(self, db: sqlite3.Connection) -> None:
        """Put it in; where the derived dataset is there, only if this one is newer."""
        raw, derived = self._ready
        if not db.execute("SELECT 1 FROM dataset WHERE pid = ?", (self.raw.pid,)).fetchone():
            _insert(db, raw)
        known = db.execute("SELECT id, created FROM dataset WHERE pid = ?", (self.pid,)).fetchone()
        if known and known["created"] >= self.derived.creationTime:
            return
        number = _insert(db, derived, known["id"] if known else None)
        if self._picture:
            rows.put_attachment(db, number, self._picture)


class _Ready:
    """A dataset and its blocks as they are written."""

    def __init__(self, dataset: RawDataset | DerivedDataset, blocks: tuple[OrigDatablock, ...]) -> None:
        self.dataset = rows.Dataset(
            dataset.model_dump(mode="json", exclude_none=True),
            size=sum(block.size for block in blocks),
            files=sum(len(block.dataFileList) for block in blocks),
        )
        self.blocks = [block.model_dump_json(exclude_none=True) for block in blocks]


def _insert(db: sqlite3.Connection, ready: _Ready, instead_of: int | None = None) -> int:
    if instead_of is None:
        number = rows.put_dataset(db, ready.dataset)
    else:
        number = instead_of
        rows.drop_contents(db, number)
        rows.change_dataset(db, number, ready.dataset)
    for block in ready.blocks:
        rows.put_block(db, number, block)
    return number


def _find(db: sqlite3.Connection, pid: str) -> sqlite3.Row:
    """Find the dataset whose pid begins so, also without the site's prefix."""
    exact = rows.get_dataset(db, pid)
    if exact is not None:
        return exact
    begin = db.execute(
        "SELECT pid FROM dataset WHERE substr(upper(pid), 1, length(:p)) = :p"
        " OR (instr(pid, '/') AND substr(upper(pid), instr(pid, '/') + 1, length(:p)) = :p)",
        {"p": pid.upper()},
    ).fetchall()
    found = rows.get_dataset(db, begin[0]["pid"]) if len(begin) == 1 else None
    if len(begin) > 1:
        raise InputError(f"{len(begin)} datasets begin with {pid}.", "Give more of the pid.")
    if found is None:
        raise InputError(f"There is no dataset {pid} in the catalogue.", "'hpcdaas catalog list' shows all.")
    return found
