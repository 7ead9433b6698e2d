"""Datasets in the forms of the v3 and v4 routes, and in the one in which they are kept.

Kept are the names of the v3 routes, which records have too; where there are several investigators,
proposals, samples or instruments, the list of the v4 routes stands beside the first of them.
"""

from __future__ import annotations

from typing import Any

#: Lists of the v4 routes and the fields of the v3 routes that hold the first of each.
LISTS = {"proposalIds": "proposalId", "sampleIds": "sampleId", "instrumentIds": "instrumentId"}
INVESTIGATORS = "principalInvestigators"

_EMPTY: dict[str, Any] = {
    "accessGroups": [],
    "isPublished": False,
    "keywords": [],
    "sharedWith": [],
    "techniques": [],
    "relationships": [],
    "scientificMetadata": {},
    "packedSize": 0,
    "numberOfFilesArchived": 0,
    "classification": "",
    "version": "3",
}

#: The state on the way to the archive of a dataset that hasn't moved on it.
DEFAULT_LIFECYCLE: dict[str, Any] = {
    "archivable": True,
    "retrievable": False,
    "publishable": False,
    "isOnCentralDisk": True,
    "archiveStatusMessage": "datasetCreated",
    "retrieveStatusMessage": "",
    "retrieveIntegrityCheck": False,
}


def investigator_field(kind: str) -> str:
    """Say which field of the v3 routes holds the investigator of a raw or a derived dataset."""
    return "investigator" if kind == "derived" else "principalInvestigator"


def from_v4(document: dict[str, Any], kind: str) -> dict[str, Any]:
    """Turn fields as the v4 routes take them into those that are kept.

    Parameters
    ----------
    document : dict
        All of a dataset, or what a change gives.
    kind : str
        The dataset's type.
    """
    kept = dict(document)
    for plural, single in (LISTS | {INVESTIGATORS: investigator_field(kind)}).items():
        if plural not in kept:
            continue
        values = kept.pop(plural) or []
        kept[single] = values[0] if values else None
        kept[plural] = values if len(values) > 1 else None
    return kept


def from_v3(document: dict[str, Any]) -> dict[str, Any]:
    """Turn a change as the v3 routes take it into fields that are kept: a single value ends a list."""
    kept = dict(document)
    for plural, single in (*LISTS.items(), (INVESTIGATORS, "investigator"), (INVESTIGATORS, "principalInvestigator")):
        if single in kept:
            kept[plural] = None
    return kept


def to_v3(kept: dict[str, Any]) -> dict[str, Any]:
    """Give a dataset as the v3 routes do."""
    lists = (*LISTS, INVESTIGATORS)
    return _EMPTY | {key: value for key, value in kept.items() if key not in lists} | _lifecycle(kept)


def to_v4(kept: dict[str, Any]) -> dict[str, Any]:
    """Give a dataset as the v4 routes do."""
    given = _EMPTY | kept | _lifecycle(kept)
    principal, other = given.pop("principalInvestigator", None), given.pop("investigator", None)
    given.setdefault(INVESTIGATORS, [name for name in dict.fromkeys((principal, other)) if name])
    for plural, single in LISTS.items():
        value = given.pop(single, None)
        given.setdefault(plural, [value] if value else [])
    return given


def _lifecycle(kept: dict[str, Any]) -> dict[str, Any]:
    """Give the state on the way to the archive, of a dataset that has moved none of it."""
    return {"datasetlifecycle": DEFAULT_LIFECYCLE | (kept.get("datasetlifecycle") or {})}
