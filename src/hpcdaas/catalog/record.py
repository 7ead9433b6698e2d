# ruff: noqa: N815  (the names are those of the documents that go to SciCat)
"""What a finished run tells a catalogue, in SciCat's field names, and the file in which it waits to be registered.

The names are those of SciCat's dataset, orig datablock and attachment documents
(https://www.scicatproject.org). A record is complete by itself: whoever delivers it needs
neither the result nor the raw file.
"""

from __future__ import annotations

import glob
import os
import socket
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpcdaas.errors import InputError, unwritable

#: Version of the record's layout; a reader refuses newer ones.
VERSION = 1
#: How the names of records end.
ENDING = ".record.json"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFile(_Document):
    """One file of a dataset.

    Attributes
    ----------
    path : str
        Relative to the dataset's `sourceFolder`.
    size : int
        Bytes.
    time : str
        Last change, UTC.
    chk : str or None
        Checksum by the block's `chkAlg`.
    """

    path: str
    size: int
    time: str
    chk: str | None = None


class OrigDatablock(_Document):
    """Files of a dataset with their summed size in bytes; a dataset of many files has several."""

    size: int
    chkAlg: str | None = None
    dataFileList: tuple[DataFile, ...]


class Attachment(_Document):
    """A picture of a dataset: `thumbnail` is a data URI."""

    caption: str
    thumbnail: str


class Technique(_Document):
    """How the data were measured: `pid` is a PaNET identifier."""

    pid: str
    name: str


#: Identifiers of the PaN ontology for experimental techniques (PaNET).
TECHNIQUES = {
    "tomography": Technique(pid="http://purl.org/pan-science/PaNET/PaNET01207", name="x-ray tomography"),
    "ptychography": Technique(pid="http://purl.org/pan-science/PaNET/PaNET01212", name="ptychography"),
}


class _Dataset(_Document):
    pid: str
    datasetName: str
    description: str | None = None
    owner: str | None = None
    ownerGroup: str | None = None
    contactEmail: str | None = None
    sourceFolder: str
    creationTime: str
    proposalId: str | None = None
    techniques: tuple[Technique, ...] = ()
    scientificMetadata: dict[str, Any] = Field(default_factory=dict)


class RawDataset(_Dataset):
    """A scan as measured. What the raw file doesn't say stays None."""

    type: Literal["raw"] = "raw"
    principalInvestigator: str | None = None
    creationLocation: str | None = None
    dataFormat: str | None = None
    sampleId: str | None = None
    startTime: str | None = None
    endTime: str | None = None


class DerivedDataset(_Dataset):
    """A reconstruction. `inputDatasets` are the pids of the raw datasets that it comes from."""

    type: Literal["derived"] = "derived"
    investigator: str | None = None
    inputDatasets: tuple[str, ...]
    usedSoftware: tuple[str, ...]
    jobParameters: dict[str, Any] = Field(default_factory=dict)
    jobLogData: str | None = None


class Record(_Document):
    """What one run tells a catalogue.

    Attributes
    ----------
    version : int
        Of the record's layout.
    run : str
        Identity of the run, 64 hex digits.
    raw, derived
        The two datasets; `derived.inputDatasets` holds `raw.pid`.
    raw_datablocks, derived_datablocks : tuple of OrigDatablock
        Their files.
    thumbnail : Attachment or None
        A picture of the result.
    """

    version: int = VERSION
    run: str
    raw: RawDataset
    derived: DerivedDataset
    raw_datablocks: tuple[OrigDatablock, ...] = ()
    derived_datablocks: tuple[OrigDatablock, ...] = ()
    thumbnail: Attachment | None = None


def record_path(result: Path) -> Path:
    """Say where the record of a result lies: ``RESULT.h5`` has ``RESULT.record.json`` beside it."""
    stem = result.stem if result.suffix in (".h5", ".hdf5", ".nxs") else result.name
    return result.with_name(f"{stem}{ENDING}")


def is_record(path: Path) -> bool:
    """Say whether a file is called as records are."""
    return path.name.endswith(ENDING)


def write_record(record: Record, path: Path) -> None:
    """Write a record so that after a crash it is there whole or not at all.

    Parameters
    ----------
    record : Record
        What to write.
    path : Path
        Where, see `record_path`. A record that is there is replaced.

    Raises
    ------
    InputError
        If the place can't be written or the disk is full.
    """
    write_text(record.model_dump_json(exclude_none=True, indent=1) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write a file beside a result so that after a crash it is there whole or not at all; raises as `write_record`."""
    temporary = ""
    try:
        # in the destination's folder: the rename stays in one file system, setgid and ACLs are inherited
        _sweep(path)
        mine = f".{path.name}.{socket.gethostname()}.{os.getpid()}."
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=mine, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fchmod(file.fileno(), 0o660)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = ""
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what processes of this host left when they were killed while they wrote the same record."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(socket.gethostname())}.*.part"):
        pid = left.name.split(".")[-3]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            left.unlink(missing_ok=True)


def read_record(path: Path) -> Record:
    """Read a record.

    Raises
    ------
    InputError
        If there is none, it is no record, or a newer program wrote it.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"The record {path} can't be read: {error.strerror or error}.") from error
    try:
        version = _Version.model_validate_json(text).version
        if version > VERSION:
            raise InputError(f"The record {path} was written by a newer hpcdaas.", "Use that version, or a newer one.")
        return Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is no record of a result: {where + ': ' if where else ''}{first['msg']}.") from error


class _Version(BaseModel):
    version: int
