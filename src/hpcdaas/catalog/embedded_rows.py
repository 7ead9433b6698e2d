"""Rows of the embedded catalogue: documents put in and taken out, within a transaction that is open."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


class Taken(Exception):
    """A dataset of this pid, or an attachment of this name, is there already."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as it is put in: its document, and the totals of its files."""

    document: dict[str, Any]
    size: int = 0
    files: int = 0


def now() -> str:
    """Give the time, UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def put_dataset(db: sqlite3.Connection, dataset: Dataset, by: str | None = None) -> int:
    """Put a new dataset in.

    Returns
    -------
    int
        The number of its row.

    Raises
    ------
    Taken
        If its pid is there already.
    """
    time = now()
    row = _columns(dataset) | {"author": by, "editor": by, "registered": time, "updated": time}
    try:
        cursor = db.execute(
            f"INSERT INTO dataset ({', '.join(row)}) VALUES ({', '.join(f':{key}' for key in row)})", row
        )
    except sqlite3.IntegrityError as error:
        raise Taken(dataset.document["pid"]) from error
    number = int(cursor.lastrowid or 0)
    db.execute("INSERT INTO document (id, document) VALUES (?, ?)", (number, _json(dataset.document)))
    _put_links(db, number, dataset.document)
    return number


def change_dataset(db: sqlite3.Connection, number: int, dataset: Dataset, by: str | None = None) -> None:
    """Put a dataset in the place of the one in row `number`; files and pictures stay."""
    row = _columns(dataset) | {"editor": by, "updated": now(), "indexed": 0}
    db.execute(f"UPDATE dataset SET {', '.join(f'{key} = :{key}' for key in row)} WHERE id = :id", row | {"id": number})
    db.execute("UPDATE document SET document = ? WHERE id = ?", (_json(dataset.document), number))
    db.execute("DELETE FROM link WHERE output = ?", (number,))
    _put_links(db, number, dataset.document)


def drop_contents(db: sqlite3.Connection, number: int) -> None:
    """Take the files and pictures of a dataset out."""
    db.execute("DELETE FROM datablock WHERE dataset = ?", (number,))
    db.execute("DELETE FROM attachment WHERE dataset = ?", (number,))


def drop_dataset(db: sqlite3.Connection, number: int) -> None:
    """Take a dataset out with all that it has."""
    drop_contents(db, number)
    db.execute("DELETE FROM link WHERE output = ?", (number,))
    db.execute("DELETE FROM document WHERE id = ?", (number,))
    db.execute("DELETE FROM dataset WHERE id = ?", (number,))


def put_block(db: sqlite3.Connection, number: int, block: str, by: str | None = None) -> int:
    """Add a block of files, as JSON, to a dataset; its totals aren't altered."""
    values = (number, by, now(), block)
    cursor = db.execute("INSERT INTO datablock (dataset, author, registered, document) VALUES (?, ?, ?, ?)", values)
    return int(cursor.lastrowid or 0)


def add_to_totals(db: sqlite3.Connection, number: int, size: int, files: int, by: str | None) -> None:
    """Add to the totals of a dataset."""
    db.execute(
        "UPDATE dataset SET size = size + ?, files = files + ?, editor = ?, updated = ? WHERE id = ?",
        (size, files, by, now(), number),
    )


def put_attachment(
    db: sqlite3.Connection, number: int | None, picture: str, by: str | None = None, name: str | None = None
) -> int:
    """Add a picture, as JSON, to a dataset.

    Returns
    -------
    int
        The number of its row.

    Raises
    ------
    Taken
        If there is one of this name.
    """
    values = (number, name, by, now(), picture)
    try:
        cursor = db.execute(
            "INSERT INTO attachment (dataset, name, author, registered, document) VALUES (?, ?, ?, ?, ?)", values
        )
    except sqlite3.IntegrityError as error:
        raise Taken(name) from error
    return int(cursor.lastrowid or 0)


def get_dataset(db: sqlite3.Connection, pid: str) -> sqlite3.Row | None:
    """Give the row of a dataset with its document, by its whole pid."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM dataset JOIN document USING (id) WHERE pid = ?", (pid,)
    ).fetchone()
    return row


def document_of(row: sqlite3.Row) -> dict[str, Any]:
    """Give a dataset's document with its totals and times."""
    found: dict[str, Any] = json.loads(row["document"])
    found |= {
        "size": row["size"],
        "numberOfFiles": row["files"],
        "createdAt": row["registered"],
        "updatedAt": row["updated"],
    }
    people = {"createdBy": row["author"], "updatedBy": row["editor"]}
    return found | {key: name for key, name in people.items() if name is not None}


def blocks_of(db: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, list[sqlite3.Row]]:
    """Give the rows of the blocks of some datasets, in order, by dataset."""
    return _by_dataset(db, "datablock", numbers)


def attachments_of(db: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, list[sqlite3.Row]]:
    """Give the rows of the pictures of some datasets, in order, by dataset."""
    return _by_dataset(db, "attachment", numbers)


def outputs_of(db: sqlite3.Connection, pid: str) -> list[str]:
    """Give the pids of what was made from a dataset."""
    rows = db.execute("SELECT pid FROM link JOIN dataset ON id = output WHERE input = ? ORDER BY pid", (pid,))
    return [row["pid"] for row in rows]


def _by_dataset(db: sqlite3.Connection, table: str, numbers: Iterable[int]) -> dict[int, list[sqlite3.Row]]:
    wanted = list(numbers)
    found: dict[int, list[sqlite3.Row]] = {number: [] for number in wanted}
    rows = db.execute(
        f"SELECT * FROM {table} WHERE dataset IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(wanted),),
    )
    for row in rows:
        found[row["dataset"]].append(row)
    return found


def _put_links(db: sqlite3.Connection, number: int, document: dict[str, Any]) -> None:
    links = [(source, number) for source in dict.fromkeys(document.get("inputDatasets") or ())]
    db.executemany("INSERT INTO link (input, output) VALUES (?, ?)", links)


def _columns(dataset: Dataset) -> dict[str, Any]:
    document = dataset.document
    techniques = document.get("techniques") or ()
    run = (document.get("scientificMetadata") or {}).get("run")
    run = run.get("value") if isinstance(run, dict) else None
    return {
        "pid": document["pid"],
        "type": document["type"],
        "name": document.get("datasetName") or "",
        "proposal": document.get("proposalId"),
        "technique": techniques[0]["pid"].rsplit("/", 1)[-1] if techniques else None,
        "owner_group": document.get("ownerGroup"),
        "access": _json(document.get("accessGroups") or []),
        "published": int(bool(document.get("isPublished"))),
        "run": run if isinstance(run, str) else None,
        "created": document["creationTime"],
        "size": dataset.size,
        "files": dataset.files,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
