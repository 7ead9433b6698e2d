"""What SciCat is sent: the bodies of its v3 and v4 routes, for backends of both generations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpcdaas.catalog.record import DataFile, DerivedDataset, RawDataset
from hpcdaas.catalog.settings import Ownership

#: SciCat takes larger blocks of files only slowly.
FILES_PER_BLOCK = 20_000
#: A backend fails on bodies of over 16 MB.
LARGEST_BODY = 15_000_000
#: What an attachment of a dataset may weigh, characters of its data URI.
LARGEST_PICTURE = 100_000
#: How much of a log goes in, characters from its end.
LOG_END = 50_000


@dataclass(frozen=True)
class Whose:
    """Whose a dataset is, complete; `sample` and `instrument` where the catalogue knows them from the raw dataset."""

    owner: str
    owner_group: str
    contact_email: str
    access_groups: tuple[str, ...] = ()
    proposal: str | None = None
    investigator: str | None = None
    sample: str | None = None
    instrument: str | None = None


def whose(dataset: RawDataset, known: Mapping[str, Any] | None, rule: Ownership | None) -> Whose | list[str]:
    """Put together whose a dataset is.

    Parameters
    ----------
    dataset : RawDataset
        The scan as its file tells of it: fills in a person or an address, never a group.
    known : mapping, optional
        The raw dataset as it is in the catalogue, read by the v3 route. Wins over the rule.
    rule : Ownership, optional
        What the site's rule says of the scan's path.

    Returns
    -------
    Whose or list of str
        Or the settings that are missing.
    """
    known = known or {}
    group = known.get("ownerGroup") or (rule.owner_group if rule else None)
    investigator = known.get("principalInvestigator") or dataset.principalInvestigator
    owner = known.get("owner") or (rule and rule.owner) or dataset.owner or investigator
    email = known.get("contactEmail") or (rule and rule.contact_email) or dataset.contactEmail
    wanted = {"owner_group": group, "owner": owner, "contact_email": email}
    if missing := [name for name, value in wanted.items() if not value]:
        return missing
    # what the account needs to read back is the rule's to say, wherever the group comes from
    groups = [*(known.get("accessGroups") or ()), *(rule.access_groups if rule else ())]
    return Whose(
        owner=str(owner),
        owner_group=str(group),
        contact_email=str(email),
        access_groups=tuple(dict.fromkeys(str(g) for g in groups if g != group)),
        proposal=known.get("proposalId") or (rule and rule.proposal) or dataset.proposalId,
        investigator=str(investigator or owner),
        sample=known.get("sampleId") or dataset.sampleId,
        instrument=known.get("instrumentId"),
    )


@dataclass(frozen=True)
class Dialect:
    """How one backend is spoken to.

    Attributes
    ----------
    v4 : bool
        Whether datasets go to the v4 route, which takes sample and instrument of a derived dataset, too.
    related : str
        The form of relationships: ``identifier`` (backends of the generation v5) or ``pid`` (v4).
    """

    v4: bool = True
    related: str = "identifier"

    @property
    def route(self) -> str:
        """Where datasets are posted."""
        return "/api/v4/datasets" if self.v4 else "/api/v3/datasets"

    def body(
        self, dataset: RawDataset | DerivedDataset, owned: Whose, pid: str | None, log: str = ""
    ) -> dict[str, Any]:
        """Give the body that makes a dataset; without sizes, which the blocks of files bring.

        Parameters
        ----------
        dataset : RawDataset or DerivedDataset
            What the record says.
        owned : Whose
            Whose it is.
        pid : str or None
            None: the backend chooses one.
        log : str
            The log of the run; its end goes in.
        """
        facts = dataset.model_dump(
            exclude={"pid", "owner", "ownerGroup", "contactEmail", "proposalId", "investigator",
                     "principalInvestigator", "sampleId", "jobLogData"},
            exclude_none=True, mode="json",
        )  # fmt: skip
        facts |= {"owner": owned.owner, "ownerGroup": owned.owner_group, "contactEmail": owned.contact_email}
        if pid:
            facts["pid"] = pid
        if owned.access_groups:
            facts["accessGroups"] = list(owned.access_groups)
        log = log or (dataset.jobLogData or "" if isinstance(dataset, DerivedDataset) else "")
        if log and isinstance(dataset, DerivedDataset):
            facts["jobLogData"] = log[-LOG_END:]
        if isinstance(dataset, RawDataset):
            facts.setdefault("creationLocation", "unknown")
        else:
            facts["relationships"] = [self._relationship(source) for source in dataset.inputDatasets]
        return facts | (self._people_v4(owned) if self.v4 else self._people_v3(owned, dataset.type))

    def _people_v4(self, owned: Whose) -> dict[str, Any]:
        named = {
            "principalInvestigators": owned.investigator,
            "proposalIds": owned.proposal,
            "sampleIds": owned.sample,
            "instrumentIds": owned.instrument,
        }
        return {name: [value] for name, value in named.items() if value}

    def _people_v3(self, owned: Whose, kind: str) -> dict[str, Any]:
        raw = kind == "raw"
        named = {
            "principalInvestigator" if raw else "investigator": owned.investigator,
            "proposalId": owned.proposal,
            "sampleId": owned.sample if raw else None,  # a derived one has neither in this form
            "instrumentId": owned.instrument if raw else None,
        }
        return {name: value for name, value in named.items() if value}

    def _relationship(self, source: str) -> dict[str, str]:
        if self.related == "pid":
            return {"pid": source, "relationship": "IsDerivedFrom"}
        kind = {"identifierType": "Local", "entityType": "Dataset"}
        return {"identifier": source, "relationship": "IsDerivedFrom", **kind}

    def older(self) -> Dialect:
        """Give the dialect of backends that know relationships by pid only."""
        return replace(self, related="pid")

    def without_v4(self) -> Dialect:
        """Give the dialect of backends without the v4 route."""
        return replace(self, v4=False)


def blocks(files: Sequence[DataFile], algorithm: str | None) -> Iterator[dict[str, Any]]:
    """Cut a list of files into bodies that a backend takes.

    Parameters
    ----------
    files : sequence of DataFile
        What is missing in the catalogue.
    algorithm : str or None
        Of the checksums.

    Yields
    ------
    dict
        Body of ``POST /api/v3/datasets/{pid}/origdatablocks``: at most `FILES_PER_BLOCK` files, `LARGEST_BODY` bytes.
    """
    part: list[dict[str, Any]] = []
    weight = size = 0
    for file in files:
        entry = file.model_dump(exclude_none=True)
        heavy = len(json.dumps(entry)) + 2
        if part and (len(part) == FILES_PER_BLOCK or weight + heavy > LARGEST_BODY):
            yield _block(part, size, algorithm)
            part, weight, size = [], 0, 0
        part.append(entry)
        weight, size = weight + heavy, size + file.size
    if part:
        yield _block(part, size, algorithm)


def _block(files: list[dict[str, Any]], size: int, algorithm: str | None) -> dict[str, Any]:
    named = {"chkAlg": algorithm} if algorithm else {}
    return {"size": size, **named, "dataFileList": files}


def picture(caption: str, thumbnail: str, owned: Whose) -> dict[str, Any]:
    """Give the body of ``POST /api/v3/datasets/{pid}/attachments``."""
    groups = {"accessGroups": list(owned.access_groups)} if owned.access_groups else {}
    return {"ownerGroup": owned.owner_group, **groups, "caption": caption, "thumbnail": thumbnail}


def job(kind: str, pid: str, group: str, email: str) -> dict[str, Any]:
    """Give the body of ``POST /api/v4/jobs``."""
    return {
        "type": kind,
        "jobParams": {"datasetList": [{"pid": pid, "files": []}]},
        "ownerGroup": group,
        "contactEmail": email,
    }
