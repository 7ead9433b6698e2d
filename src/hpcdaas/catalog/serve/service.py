"""What the routes do: datasets, their files and pictures, with SciCat's rules, in one transaction each."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from hpcdaas.catalog import embedded_rows as rows
from hpcdaas.catalog import embedded_search
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.serve.auth import User
from hpcdaas.catalog.serve.filters import Filter
from hpcdaas.catalog.serve.refusal import Refusal
from hpcdaas.catalog.serve.units import with_si

FORBIDDEN = "Forbidden resource"

#: What a change must not take out.
_NEEDED = ("owner", "ownerGroup", "contactEmail", "sourceFolder", "creationTime")


@dataclass(frozen=True)
class Service:
    """The catalogue as the routes use it; documents are in the form in which they are kept (see `forms`).

    Attributes
    ----------
    catalog : EmbeddedCatalog
    pid_pattern : str or None
        What a pid that is chosen must match.
    """

    catalog: EmbeddedCatalog
    pid_pattern: str | None = None

    def create(self, document: dict[str, Any], user: User) -> dict[str, Any]:
        """Put a dataset in; without a pid it gets one.

        Raises
        ------
        Refusal
            400 for a pid that the site doesn't take, 403 if the user may not, 409 if the pid is there.
        """
        self.check_creation(document, user)
        document = document | {"pid": document.get("pid") or str(uuid.uuid4()).upper()}
        if document.get("scientificMetadata"):
            document["scientificMetadata"] = with_si(document["scientificMetadata"])
        # totals that come with a dataset count beside those of its files
        size, files = document.pop("size", 0), document.pop("numberOfFiles", 0)
        with self.catalog.transaction(write=True) as db:
            try:
                rows.put_dataset(db, rows.Dataset(document, size, files), user.name)
            except rows.Taken:
                raise Refusal(409, f"Dataset with pid {document['pid']} already exists") from None
            return _given(db, document["pid"])

    def check_creation(self, document: dict[str, Any], user: User) -> None:
        """Refuse what `create` would, before it is written."""
        pid = document.get("pid")
        if not user.may_create(document.get("ownerGroup")) or (pid is not None and not user.may_choose_pid()):
            raise Refusal(403, FORBIDDEN)
        if pid is not None and self.pid_pattern and not re.fullmatch(self.pid_pattern, pid):
            raise Refusal(400, f"pid must match {self.pid_pattern}")

    def read(self, pid: str, user: User, include: AbstractSet[str] = frozenset()) -> dict[str, Any]:
        """Give a dataset.

        Raises
        ------
        Refusal
            404 if there is none, 403 if the user may not read it.
        """
        with self.catalog.transaction() as db:
            row = _row(db, pid, user.may_read)
            return _with(db, [row], include)[0]

    def find(self, asked: Filter) -> list[dict[str, Any]]:
        """Give the datasets that a filter asks for."""
        found = embedded_search.find(self.catalog, asked.query)
        if not asked.include:
            return [rows.document_of(row) for row in found]
        with self.catalog.transaction() as db:
            return _with(db, found, asked.include)

    def change(self, pid: str, user: User, alter: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Change a dataset.

        Parameters
        ----------
        pid : str
        user : User
        alter : callable
            Makes the new document from the old one.

        Raises
        ------
        Refusal
            404 if there is none, 403 if the user may not change it, 400 if something that is needed would be gone.
        """
        with self.catalog.transaction(write=True) as db:
            row = _row(db, pid, user.may_change)
            old = json.loads(row["document"])
            totals = {"size": row["size"], "numberOfFiles": row["files"]}
            new = {key: value for key, value in alter(old | totals).items() if value is not None}
            if gone := [name for name in _NEEDED if name in old and name not in new]:
                raise Refusal(400, [f"{name} should not be empty" for name in gone])
            if new.get("ownerGroup") != old.get("ownerGroup") and not user.may_create(new.get("ownerGroup")):
                raise Refusal(403, FORBIDDEN)
            if new.get("scientificMetadata"):
                new["scientificMetadata"] = with_si(new["scientificMetadata"])
            size, files = new.pop("size", 0), new.pop("numberOfFiles", 0)
            rows.change_dataset(db, row["id"], rows.Dataset(new, size, files), user.name)
            return _given(db, pid)

    def delete(self, pid: str, user: User) -> dict[str, Any]:
        """Take a dataset out; for admins."""
        with self.catalog.transaction(write=True) as db:
            row = _row(db, pid, lambda _: user.role == "admin")
            rows.drop_dataset(db, row["id"])
            return rows.document_of(row)

    def add_block(self, pid: str, block: dict[str, Any], may: Callable[[sqlite3.Row], bool], by: str) -> dict[str, Any]:
        """Add files to a dataset and count them. Twice the same block is two blocks.

        Raises
        ------
        Refusal
            404 if there is no such dataset, 403 if the user may not.
        """
        written = json.dumps(block, ensure_ascii=False)  # before others have to wait
        with self.catalog.transaction(write=True) as db:
            row = _row(db, pid, may)
            identity = rows.put_block(db, row["id"], written, by)
            rows.add_to_totals(db, row["id"], block["size"], len(block["dataFileList"]), by)
            time = rows.now()
            return block_document(block, row, identity, by, time)

    def blocks(self, pid: str, user: User) -> list[dict[str, Any]]:
        """Give the blocks of a dataset, in order."""
        with self.catalog.transaction() as db:
            row = _row(db, pid, user.may_read)
            return [_block(block, row) for block in rows.blocks_of(db, [row["id"]])[row["id"]]]

    def add_attachment(
        self,
        pid: str | None,
        picture: dict[str, Any],
        name: str | None,
        may: Callable[[sqlite3.Row], bool],
        by: str,
    ) -> dict[str, Any]:
        """Add a picture, of a dataset or of none.

        Raises
        ------
        Refusal
            404 if there is no such dataset, 403 if the user may not, 500 if the name is taken (as SciCat does).
        """
        with self.catalog.transaction(write=True) as db:
            number = _row(db, pid, may)["id"] if pid is not None else None
            try:
                added = rows.put_attachment(db, number, json.dumps(picture, ensure_ascii=False), by, name)
            except rows.Taken:
                raise Refusal(500, f"There is an attachment {name} already") from None
            stored = db.execute("SELECT * FROM attachment WHERE id = ?", (added,)).fetchone()
            return _attachment(stored, pid)

    def attachments(self, pid: str, user: User) -> list[dict[str, Any]]:
        """Give the pictures of a dataset, in order."""
        with self.catalog.transaction() as db:
            row = _row(db, pid, user.may_read)
            return [_attachment(picture, pid) for picture in rows.attachments_of(db, [row["id"]])[row["id"]]]


def block_document(block: dict[str, Any], row: sqlite3.Row, identity: int, by: str | None, time: str) -> dict[str, Any]:
    """Give a block as SciCat does, with the rights of its dataset."""
    rights = {
        "ownerGroup": row["owner_group"],
        "accessGroups": json.loads(row["access"]),
        "isPublished": bool(row["published"]),
    }
    stored = {"_id": f"block-{identity}", "datasetId": row["pid"], "createdBy": by or "", "updatedBy": by or ""}
    return rights | block | stored | {"createdAt": time, "updatedAt": time}


def _row(db: sqlite3.Connection, pid: str, may: Callable[[sqlite3.Row], bool]) -> sqlite3.Row:
    row = rows.get_dataset(db, pid)
    if row is None:
        raise Refusal(404, f"Dataset with pid {pid} not found")
    if not may(row):
        raise Refusal(403, FORBIDDEN)
    return row


def _given(db: sqlite3.Connection, pid: str) -> dict[str, Any]:
    row = rows.get_dataset(db, pid)
    assert row is not None
    return rows.document_of(row)


def _with(db: sqlite3.Connection, found: list[sqlite3.Row], include: AbstractSet[str]) -> list[dict[str, Any]]:
    documents = {row["id"]: rows.document_of(row) for row in found}
    if "origdatablocks" in include:
        blocks = rows.blocks_of(db, list(documents))
        for row in found:
            documents[row["id"]]["origdatablocks"] = [_block(block, row) for block in blocks[row["id"]]]
    if "attachments" in include:
        pictures = rows.attachments_of(db, list(documents))
        for row in found:
            documents[row["id"]]["attachments"] = [_attachment(p, row["pid"]) for p in pictures[row["id"]]]
    return list(documents.values())


def _block(block: sqlite3.Row, row: sqlite3.Row) -> dict[str, Any]:
    return block_document(json.loads(block["document"]), row, block["id"], block["author"], block["registered"])


def _attachment(row: sqlite3.Row, pid: str | None) -> dict[str, Any]:
    by, time = row["author"] or "", row["registered"]
    target = {"targetId": pid, "targetType": "dataset", "relationType": "is attached to"}
    related = {"relationships": [target], "datasetId": pid} if pid is not None else {}
    name = row["name"] or f"picture-{row['id']}"
    stored = {"aid": name, "id": name, "createdBy": by, "updatedBy": by, "createdAt": time, "updatedAt": time}
    document: dict[str, Any] = json.loads(row["document"])
    return {"accessGroups": [], "isPublished": False} | related | document | stored
