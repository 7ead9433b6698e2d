"""Finding datasets in the embedded catalogue: by conditions and by words.

Words are found with SQLite's full-text index (FTS5). The index is brought up to date by whoever
searches, in one go for all that was registered since: so registering costs nothing more, and needs no
SQLite that has it. Where the index can't be brought up to date (FTS5 isn't there, the file can't be
written), what it lacks is looked through row by row; the answer is the same.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from hpcdaas.catalog.embedded_where import COLUMNS, Condition
from hpcdaas.errors import HpcdaasError

_INDEX = "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, detail = column)"
#: The most words of a question; more are left out.
_WORDS = 20
#: The most characters of a document that are searched.
_LONGEST = 100_000
_JOINED = "dataset JOIN document USING (id)"

#: Keys that every entry of metadata has.
_FRAME = {"value", "unit", "valueSI", "unitSI"}


class Transactions(Protocol):
    """What a search needs of a catalogue."""

    def transaction(self, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        """Run one transaction."""
        ...


@dataclass(frozen=True)
class Query:
    """Which datasets, and in which order.

    Attributes
    ----------
    conditions : sequence of (str, list)
        SQL conditions on `dataset` joined with `document`, and their values; all must hold.
    text : str
        Words, all of which a dataset must hold, each at least as the beginning of one of its words.
    order : sequence of (str, bool)
        Fields to sort by (see `embedded_where.COLUMNS`), and whether downwards. Last of all by the pid.
    skip : int
    limit : int or None
        None: all.
    """

    conditions: Sequence[Condition] = ()
    text: str = ""
    order: Sequence[tuple[str, bool]] = (("creationTime", True),)
    skip: int = 0
    limit: int | None = None


def find(catalog: Transactions, query: Query, documents: bool = True) -> list[sqlite3.Row]:
    """Give the rows of the datasets that a query asks for.

    Parameters
    ----------
    catalog : Transactions
    query : Query
    documents : bool
        Whether the rows hold the documents.

    Returns
    -------
    list of sqlite3.Row
    """
    order = [f"{COLUMNS[field]} {'DESC' if down else 'ASC'}" for field, down in query.order if field in COLUMNS]
    table = _JOINED if documents else "dataset"
    _prepare(catalog, query)
    with catalog.transaction() as db:
        sql, values = _where(db, query)
        # the rows are chosen by their numbers alone, from the narrow table: documents are read for those chosen
        chosen = (
            f"SELECT dataset.id FROM {_tables(query)} WHERE {sql} "
            f"ORDER BY {', '.join([*order, 'dataset.pid'])} LIMIT ? OFFSET ?"
        )
        limits = [-1 if query.limit is None else query.limit, query.skip]
        return db.execute(
            f"SELECT * FROM {table} WHERE dataset.id IN ({chosen}) ORDER BY {', '.join([*order, 'dataset.pid'])}",
            [*values, *limits],
        ).fetchall()


def count(catalog: Transactions, query: Query) -> int:
    """Say how many datasets a query asks for, without its limit."""
    _prepare(catalog, query)
    with catalog.transaction() as db:
        sql, values = _where(db, query)
        return int(db.execute(f"SELECT count(*) FROM {_tables(query)} WHERE {sql}", values).fetchone()[0])


def values_of(catalog: Transactions, columns: Sequence[str], query: Query) -> dict[str, list[tuple[str, int]]]:
    """Give the values that some columns have among the datasets asked for, and how often, sorted.

    Parameters
    ----------
    catalog : Transactions
    columns : sequence of str
        Of `proposal`, `technique`, `type`, `owner_group`.
    query : Query
    """
    assert set(columns) <= {"proposal", "technique", "type", "owner_group"}
    _prepare(catalog, query)
    names = ", ".join(f"dataset.{column}" for column in columns)
    with catalog.transaction() as db:
        sql, values = _where(db, query)
        # all rows are gone over once for all columns; there are few different groups of values
        groups = db.execute(
            f"SELECT {names}, count(*) AS number FROM {_tables(query)} WHERE {sql} GROUP BY {names}", values
        ).fetchall()
    found: dict[str, Counter[str]] = {column: Counter() for column in columns}
    for row in groups:
        for column in columns:
            if row[column] is not None:
                found[column][row[column]] += row["number"]
    return {column: sorted(counted.items()) for column, counted in found.items()}


def _prepare(catalog: Transactions, query: Query) -> None:
    if query.text:
        bring_up_to_date(catalog)


def _tables(query: Query) -> str:
    wide = any("document." in sql for sql, _ in query.conditions)
    return _JOINED if wide else "dataset"


def _where(db: sqlite3.Connection, query: Query) -> Condition:
    conditions = list(query.conditions)
    if query.text:
        conditions.append(_with_words(db, _words(query.text)[:_WORDS]))
    if not conditions:
        return "1", []
    return " AND ".join(sql for sql, _ in conditions), [value for _, values in conditions for value in values]


def _with_words(db: sqlite3.Connection, words: list[str]) -> Condition:
    """Give the condition that all words are there."""
    if not words:  # nothing that could be found
        return "0", []
    indexed = _has_fts5(db) and bool(db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'words'").fetchone())
    looked_through = db.execute(f"SELECT * FROM {_JOINED}{' WHERE indexed = 0' if indexed else ''}")
    matching = [row["id"] for row in looked_through if _matches(text_of(row), words)]
    listed = "dataset.id IN (SELECT value FROM json_each(?))"
    if not indexed:
        return listed, [json.dumps(matching)]
    found = "dataset.indexed AND dataset.id IN (SELECT rowid FROM words WHERE words MATCH ?)"
    return f"({found} OR {listed})", [" ".join(f'"{word}"*' for word in words), json.dumps(matching)]


def _matches(text: str, words: list[str]) -> bool:
    """Look for words as the index does: each as the beginning of a word."""
    there = set(_words(text))
    return all(any(found.startswith(word) for found in there) for word in words)


def _words(text: str) -> list[str]:
    """Cut text into words as the index does, without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))


def _has_fts5(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone())


def bring_up_to_date(catalog: Transactions) -> None:
    """Put into the index of words what was registered since; where that can't be done, nothing happens."""
    with catalog.transaction() as db:
        if not db.execute("SELECT 1 FROM dataset WHERE indexed = 0 LIMIT 1").fetchone():
            return
        if not _has_fts5(db):
            return
    try:
        with catalog.transaction(write=True) as db:
            db.execute(_INDEX)
            new = db.execute(f"SELECT * FROM {_JOINED} WHERE indexed = 0").fetchall()
            db.executemany("DELETE FROM words WHERE rowid = ?", [(row["id"],) for row in new])
            # folded as questions are: the index itself keeps a ß, and its accents differ from ours
            folded = [(row["id"], " ".join(_words(text_of(row)))) for row in new]
            db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", folded)
            db.executemany("UPDATE dataset SET indexed = 1 WHERE id = ?", [(row["id"],) for row in new])
    except HpcdaasError:  # read only, full or busy: what the index lacks is looked through
        return


def text_of(row: sqlite3.Row) -> str:
    """Give all that can be searched of a dataset."""
    document = json.loads(row["document"])
    return " ".join(_strings(document))[:_LONGEST]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in _FRAME:
                yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
