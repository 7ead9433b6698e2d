"""The tables of the embedded catalogue, and how files of earlier versions get them.

What is listed, filtered and sorted stands in narrow rows (`dataset`); the documents, which are
twenty times as large, stand apart, so that going over all datasets reads few pages. The fewer pages
a registration touches, the shorter is its commit: rows are numbered, and only what is looked up has an
index. The index of words is no table of this scheme: whoever searches brings it up to date
(`embedded_search`), and those who register don't wait for it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hpcdaas.errors import InputError

#: In the file's header: "hpcd" says that it is a catalogue of ours, and the version of its tables.
APPLICATION_ID = 0x68706364
SCHEMA_VERSION = 2

#: `indexed` is 0 where the index of words doesn't hold the row as it is now.
_SCHEMA = """
CREATE TABLE dataset (
    id INTEGER PRIMARY KEY, pid TEXT NOT NULL UNIQUE, type TEXT NOT NULL, name TEXT NOT NULL,
    proposal TEXT, technique TEXT, owner_group TEXT, access TEXT NOT NULL, published INTEGER NOT NULL,
    run TEXT, created TEXT NOT NULL, size INTEGER NOT NULL, files INTEGER NOT NULL,
    author TEXT, editor TEXT, registered TEXT NOT NULL, updated TEXT NOT NULL,
    indexed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX dataset_created ON dataset (created);
CREATE INDEX dataset_unindexed ON dataset (id) WHERE indexed = 0;
CREATE TABLE document (id INTEGER PRIMARY KEY REFERENCES dataset, document TEXT NOT NULL);
CREATE TABLE datablock (
    id INTEGER PRIMARY KEY, dataset INTEGER NOT NULL REFERENCES dataset,
    author TEXT, registered TEXT NOT NULL, document TEXT NOT NULL
);
CREATE INDEX datablock_dataset ON datablock (dataset);
CREATE TABLE attachment (
    id INTEGER PRIMARY KEY, dataset INTEGER REFERENCES dataset, name TEXT,
    author TEXT, registered TEXT NOT NULL, document TEXT NOT NULL
);
CREATE INDEX attachment_dataset ON attachment (dataset);
CREATE UNIQUE INDEX attachment_name ON attachment (name) WHERE name IS NOT NULL;
CREATE TABLE link (
    input TEXT NOT NULL, output INTEGER NOT NULL REFERENCES dataset,
    PRIMARY KEY (output, input)
) WITHOUT ROWID;
CREATE INDEX link_input ON link (input);
CREATE TABLE job (
    id TEXT PRIMARY KEY, owner_group TEXT, author TEXT, registered TEXT NOT NULL, document TEXT NOT NULL
);
"""

_FROM_1 = """
DROP INDEX dataset_created;
DROP INDEX link_input;
ALTER TABLE dataset RENAME TO dataset_1;
ALTER TABLE datablock RENAME TO datablock_1;
ALTER TABLE attachment RENAME TO attachment_1;
ALTER TABLE link RENAME TO link_1;
{schema}
INSERT INTO dataset (pid, type, name, proposal, technique, owner_group, access, published, run, created, size,
                     files, registered, updated)
    SELECT pid, type, json_extract(document, '$.datasetName'), proposal, technique,
           json_extract(document, '$.ownerGroup'), '[]', 0,
           json_extract(document, '$.scientificMetadata.run.value'), created, size, files, registered, updated
    FROM dataset_1 ORDER BY registered, pid;
INSERT INTO document SELECT id, document FROM dataset JOIN dataset_1 USING (pid);
INSERT INTO datablock
    SELECT NULL, dataset.id, NULL, dataset.updated, document
    FROM datablock_1 JOIN dataset USING (pid) ORDER BY dataset.id, position;
INSERT INTO attachment
    SELECT NULL, dataset.id, NULL, NULL, dataset.updated, document
    FROM attachment_1 JOIN dataset USING (pid);
INSERT INTO link SELECT input, dataset.id FROM link_1 JOIN dataset ON dataset.pid = output;
DROP TABLE datablock_1;
DROP TABLE attachment_1;
DROP TABLE link_1;
DROP TABLE dataset_1
"""


def is_current(db: sqlite3.Connection, path: Path) -> bool:
    """Say whether the file has today's tables.

    Parameters
    ----------
    db : sqlite3.Connection
        With an open transaction.
    path : Path
        The file, for the messages.

    Returns
    -------
    bool
        False where it is new and empty, or of an earlier version.

    Raises
    ------
    InputError
        If it is no catalogue, or one of a later version.
    """
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION_ID and version <= SCHEMA_VERSION:
        return bool(version == SCHEMA_VERSION)
    if application == APPLICATION_ID:
        raise InputError(
            f"The catalogue {path} was made by a newer hpcdaas (tables of version {version}, "
            f"known up to {SCHEMA_VERSION}).",
            "Use that version, or a newer one.",
        )
    if application or version or db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise InputError(f"{path} is another program's database, not a catalogue.", "Give another file.")
    return False


def make_current(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file, or bring those of an earlier version up to date.

    Parameters
    ----------
    db : sqlite3.Connection
        With an open write transaction, for which `is_current` said no.
    """
    earlier = db.execute("PRAGMA user_version").fetchone()[0]
    script = _FROM_1.format(schema=_SCHEMA) if earlier else _SCHEMA
    for statement in script.split(";"):  # executescript would commit first
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
