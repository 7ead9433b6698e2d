"""Finds the dataset of a raw scan in SciCat: by the beamline's pid, by our own, or by where its files lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from hpcdaas.catalog.record import OrigDatablock, RawDataset
from hpcdaas.catalog.scicat_http import Connection
from hpcdaas.catalog.scicat_wanted import value_of
from hpcdaas.errors import InputError

#: So many folders above the scan are looked at: a dataset's source folder may lie above its files.
FOLDERS_ABOVE = 3
#: Datasets of one folder that are looked into.
CANDIDATES = 200


def files_of(raw: RawDataset, blocks: tuple[OrigDatablock, ...]) -> list[PurePosixPath]:
    """Give the paths of a scan's files, absolute; the one that was opened first."""
    return [PurePosixPath(raw.sourceFolder, file.path) for block in blocks for file in block.dataFileList]


def pid_by_rule(template: str, path: PurePosixPath, proposal: str | None) -> str:
    """Fill a site's pattern of pids, which may use ``{proposal} {folder} {scan}``.

    Raises
    ------
    InputError
        If it uses another word.
    """
    words = {"proposal": proposal or "unknown", "folder": path.parent.name, "scan": path.stem}
    try:
        return template.format_map(words)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"The catalogue setting raw_pid = '{template}' can't be filled.", "It may use {proposal} {folder} {scan}."
        ) from error


def find_raw(
    http: Connection, raw: RawDataset, blocks: tuple[OrigDatablock, ...], pid: str, template: str | None
) -> Mapping[str, Any] | None:
    """Find the dataset of a scan, as far as the account may read.

    Parameters
    ----------
    http : Connection
    raw : RawDataset
        The scan.
    blocks : tuple of OrigDatablock
        Its files.
    pid : str
        What it is called if we registered it.
    template : str or None
        See `pid_by_rule`.

    Returns
    -------
    mapping or None
        By the v3 route.
    """
    paths = files_of(raw, blocks)
    named = [pid_by_rule(template, paths[0], raw.proposalId)] if template and paths else []
    for name in (*named, pid):
        answer = http.get(f"/api/v3/datasets/{quote(name, safe='')}")
        if answer.good and isinstance(answer.content, Mapping) and answer.content.get("pid") == name:
            return answer.content
    for folder in list(paths[0].parents)[:FOLDERS_ABOVE] if paths else ():
        if found := _in_folder(http, folder, paths[0], raw):
            return found
    return None


def _in_folder(
    http: Connection, folder: PurePosixPath, path: PurePosixPath, raw: RawDataset
) -> Mapping[str, Any] | None:
    """Find the one raw dataset of a folder that lists the scan's file."""
    wanted = {"where": {"type": "raw", "sourceFolder": str(folder)}, "limits": {"limit": CANDIDATES}}
    answer = http.get("/api/v3/datasets", filter=json.dumps(wanted))
    listed = answer.content if answer.good and isinstance(answer.content, list) else []
    mine = value_of(raw.scientificMetadata, "raw_identity")
    names = {str(path), str(path.relative_to(folder))}
    found = []
    for dataset in listed:
        if dataset.get("type") != "raw" or dataset.get("sourceFolder") != str(folder):
            continue
        identity = value_of(dataset.get("scientificMetadata"), "raw_identity")
        if identity and identity != mine:
            continue  # registered by us: another scan that lay at this place
        if names & _file_names(http, str(dataset["pid"])):
            found.append(dataset)
    # two that list one file don't say whose it is
    return found[0] if len(found) == 1 else None


def _file_names(http: Connection, pid: str) -> set[str]:
    answer = http.get(f"/api/v3/datasets/{quote(pid, safe='')}/origdatablocks")
    listed = answer.content if answer.good and isinstance(answer.content, list) else []
    return {str(file["path"]) for block in listed for file in block["dataFileList"]}
