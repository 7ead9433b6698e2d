"""Provenance beside a result: what was made from what, with which program and recipe, by whom and where.

An RO-Crate (version 1.2, https://w3id.org/ro/crate/1.2) after the profile for runs of one program (Process Run Crate,
https://w3id.org/ro/wfrun/process/0.5). Several results share a folder, and the raw data lie elsewhere; a crate that
owns its folder, with everything in it, would fit neither. So it is a detached one: one file,
``RESULT-ro-crate-metadata.json``, as the specification names it, in which all data have absolute addresses.
"""

from __future__ import annotations

import getpass
import json
import os
import pwd
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from hpcdaas.catalog.record import OrigDatablock, Record, record_path, write_text

#: How the names of crates end; the specification says so.
ENDING = "-ro-crate-metadata.json"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
#: Of more files than these, a crate names the folder.
MOST_FILES = 100
#: What a batch job is known by.
_JOB = ("SLURM_JOB_ID", "SLURM_CLUSTER_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_NUM_NODES", "SLURM_NTASKS",
        "SLURM_JOB_NODELIST")  # fmt: skip


def crate_path(result: Path) -> Path:
    """Say where the crate of a result lies: ``RESULT.h5`` has ``RESULT-ro-crate-metadata.json`` beside it."""
    stem = record_path(result).name.removesuffix(".record.json")
    return result.with_name(stem + ENDING)


def is_crate_of(run: str, path: Path) -> bool:
    """Say whether a crate is there and tells of this run."""
    try:
        return run in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def write_crate(record: Record, path: Path, started: datetime | None = None) -> None:
    """Write the crate of a finished run, so that after a crash it is there whole or not at all.

    Parameters
    ----------
    record : Record
        The run.
    path : Path
        Where, see `crate_path`. A crate that is there is replaced.
    started : datetime, optional
        When the run began.

    Raises
    ------
    InputError
        If the place can't be written or the disk is full.
    """
    write_text(json.dumps(make_crate(record, started), indent=1, ensure_ascii=False) + "\n", path)


def make_crate(record: Record, started: datetime | None = None) -> dict[str, Any]:
    """Make the crate of a finished run, in the process and by the account that made it.

    Returns
    -------
    dict
        The JSON-LD document.
    """
    from rocrate.rocrate import ROCrate  # takes long to import: only here

    crate = ROCrate(version="1.2")
    crate.metadata.extra_contexts.append(_TERMS)
    derived = record.derived
    root = crate.root_dataset
    root["name"], root["description"] = derived.datasetName, derived.description or derived.datasetName
    root["datePublished"] = derived.creationTime
    root["license"] = "Not stated here: as that of the raw data."
    root["identifier"] = [derived.pid, record.run]
    root["conformsTo"] = _entity(crate, _PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    action = _entity(crate, f"#run-{record.run}", "CreateAction", name=f"Reconstruction of {record.raw.datasetName}")
    action["instrument"] = _program(crate, derived.usedSoftware[0])
    action["agent"] = _account(crate)
    action["object"] = [
        *_files(crate, record.raw.sourceFolder, record.raw_datablocks),
        _recipe(crate, derived.jobParameters),
    ]
    action["result"] = _files(crate, derived.sourceFolder, record.derived_datablocks)
    action["endTime"] = derived.creationTime
    if started:
        action["startTime"] = started.isoformat(timespec="seconds").replace("+00:00", "Z")
    action["actionStatus"] = "http://schema.org/CompletedActionStatus"
    if job := _job(crate):
        action["environment"] = job
    root["mentions"] = action
    if record.raw.owner:
        root["creator"] = _entity(crate, "#owner", "Person", name=record.raw.owner)
    found: dict[str, Any] = crate.metadata.generate()
    return found


def _entity(crate: Any, identifier: str, kind: str, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _program(crate: Any, software: str) -> Any:
    name, version, *where = software.split()
    url = {"url": where[0]} if where else {}
    return _entity(crate, f"#{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version, **url)


def _account(crate: Any) -> Any:
    """Name who ran it: the account, and the person that the system knows behind it."""
    try:
        entry = pwd.getpwuid(os.getuid())
        account, person = entry.pw_name, entry.pw_gecos.split(",")[0].strip()
    except KeyError:  # a container needn't know its user
        account, person = getpass.getuser() if os.environ.get("USER") else str(os.getuid()), ""
    return _entity(crate, f"#account-{account}", "Person", name=person or account, alternateName=account)


def _recipe(crate: Any, recipe: Mapping[str, Any]) -> Any:
    text = json.dumps(recipe, sort_keys=True, ensure_ascii=False)
    name = str(recipe.get("name") or "recipe")
    return _entity(crate, "#recipe", "CreativeWork", name=name, encodingFormat="application/json", text=text)


def _job(crate: Any) -> list[Any]:
    if not os.environ.get("SLURM_JOB_ID"):
        return []
    told = {name: value for name in _JOB if (value := os.environ.get(name))}
    return [_entity(crate, f"#{name}", "PropertyValue", name=name, value=value) for name, value in told.items()]


def _files(crate: Any, folder: str, blocks: Iterable[OrigDatablock]) -> list[Any]:
    """Describe files; of very many only their folder."""
    listed = [(file, block.chkAlg) for block in blocks for file in block.dataFileList]
    if len(listed) > MOST_FILES:
        size = sum(file.size for file, _ in listed)
        properties = {"name": PurePosixPath(folder).name, "description": f"{len(listed)} files, {size} bytes"}
        return [crate.add_dataset(_address(folder) + "/", fetch_remote=False, properties=properties)]
    found = []
    for file, algorithm in listed:
        path = PurePosixPath(folder, file.path)
        properties = {"name": path.name, "contentSize": str(file.size), "dateModified": file.time}
        if file.chk and algorithm == "sha256":
            properties["sha256"] = file.chk
        found.append(crate.add_file(_address(path), fetch_remote=False, properties=properties))
    return found


def _address(path: str | PurePosixPath) -> str:
    return PurePosixPath(path).as_uri()
