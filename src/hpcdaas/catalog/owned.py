"""Whose a run's datasets are, by the site's rule for the path of its scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcdaas.catalog.record import Record
from hpcdaas.catalog.settings import Rule


def owned(record: Record, rule: Rule | None) -> Record:
    """Give a record whose datasets belong to whom the rule says; what it says nothing of stays as the file tells it.

    Parameters
    ----------
    record : Record
    rule : Rule or None
        Says whose the scan at a path is, or None.

    Returns
    -------
    Record
    """
    files = [file for block in record.raw_datablocks for file in block.dataFileList]
    path = Path(record.raw.sourceFolder, files[0].path if files else "")
    found = rule(path) if rule else None
    if found is None:
        return record
    said: dict[str, Any] = {
        "ownerGroup": found.owner_group, "owner": found.owner, "contactEmail": found.contact_email,
        "proposalId": found.proposal,
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value}
    return record.model_copy(
        update={name: getattr(record, name).model_copy(update=said) for name in ("raw", "derived")}
    )
