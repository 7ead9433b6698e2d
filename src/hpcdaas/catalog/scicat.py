"""A SciCat catalogue as a store of datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hpcdaas.catalog.journal import Journal, digest, read_entries, state_folder
from hpcdaas.catalog.outcome import NotYet, Refused
from hpcdaas.catalog.record import OrigDatablock, RawDataset, Record
from hpcdaas.catalog.settings import CatalogSettings, Rule
from hpcdaas.errors import InputError
from hpcdaas.run import pid as pid_of

if TYPE_CHECKING:
    from hpcdaas.catalog.scicat_bodies import Whose
    from hpcdaas.catalog.scicat_http import Answer
    from hpcdaas.catalog.scicat_place import Placer
    from hpcdaas.catalog.scicat_wanted import Wanted

#: Datasets that one page of a list holds, and how many are listed at most.
PAGE, MOST = 100, 10_000


@dataclass
class Scicat:
    """A SciCat catalogue.

    Nothing is asked, and no network library loaded, before the first call.

    Attributes
    ----------
    url : str
        Of the backend.
    settings : CatalogSettings
        How to log in; the user's own rule.
    rule : callable or None
        The site's rule, from the raw scan's path to `Ownership`; it is asked before the user's own.
    state : Path
        Folder of the journals.
    patience : float
        Seconds to go on where the catalogue is away or busy.
    """

    url: str
    settings: CatalogSettings = field(default_factory=CatalogSettings)
    rule: Rule | None = None
    state: Path = field(default_factory=state_folder)
    patience: float = 60.0

    @cached_property
    def _placer(self) -> Placer:
        from hpcdaas.catalog.scicat_http import Connection
        from hpcdaas.catalog.scicat_place import Placer

        return Placer(Connection(self.url, self.settings, self.patience))

    def register(self, record: Record, log: str = "") -> str:
        """Put a run in, once; where it is there in part, what is missing.

        Parameters
        ----------
        record : Record
            The run.
        log : str, optional
            Its log; the end goes in.

        Returns
        -------
        str
            The pid of the derived dataset.

        Raises
        ------
        NotYet
            If it can't be done now: the catalogue is away, nobody says whose the result is, a login is missing.
        Refused
            If somebody has to look at it.
        InputError
            If a setting is wrong.
        """
        from hpcdaas.catalog.scicat_wanted import Wanted

        with Journal(self._journal(record.run), self.patience) as journal:
            known, owned = self._source(record.raw, record.raw_datablocks)
            source = str(known["pid"]) if known else pid_of(_identity(record.raw), self._prefix(record.raw.pid))
            if known is None and self.settings.register_raw:
                source = self._placer.place(self._raw(record.raw, record.raw_datablocks, owned), journal)
            derived = record.derived.model_copy(
                update={
                    "pid": pid_of(record.run, self._prefix(record.derived.pid)),
                    "inputDatasets": tuple(
                        source if pid == record.raw.pid else pid for pid in record.derived.inputDatasets
                    ),
                }
            )
            wanted = Wanted(derived, owned, ("run", record.run), record.derived_datablocks, record.thumbnail, log)
            pid = self._placer.place(wanted, journal)
            journal.note("record", "done", pid=pid, hash=digest(record.model_dump(mode="json")))
            return pid

    def register_raw(self, raw: RawDataset, blocks: tuple[OrigDatablock, ...]) -> str:
        """Put a raw scan in, once, where the catalogue doesn't have it from elsewhere; raises as `register`."""
        with Journal(self._journal(_identity(raw)), self.patience) as journal:
            known, owned = self._source(raw, blocks)
            identity = known and (known.get("scientificMetadata") or {}).get("raw_identity")
            if known and not identity:
                return str(known["pid"])  # the beamline's own
            return self._placer.place(self._raw(raw, blocks, owned), journal)

    def delivered(self, record: Record) -> str | None:
        """Give the pid of a record that was delivered as it is now, without asking the catalogue."""
        try:
            entries = read_entries(self._journal(record.run).read_bytes())
        except OSError:
            return None
        wanted = digest(record.model_dump(mode="json"))
        done = [e for e in entries if e.get("what") == "record" and e.get("hash") == wanted]
        return str(done[-1]["pid"]) if done else None

    def _raw(self, raw: RawDataset, blocks: tuple[OrigDatablock, ...], owned: Whose) -> Wanted:
        from hpcdaas.catalog.scicat_wanted import Wanted

        identity = _identity(raw)
        named = raw.model_copy(update={"pid": pid_of(identity, self._prefix(raw.pid))})
        return Wanted(named, owned, ("raw_identity", identity), blocks)

    def _source(self, raw: RawDataset, blocks: tuple[OrigDatablock, ...]) -> tuple[Mapping[str, Any] | None, Whose]:
        """Find the raw dataset, and whose it is; what is made from it belongs to the same."""
        from hpcdaas.catalog.scicat_bodies import whose
        from hpcdaas.catalog.scicat_raw import files_of, find_raw

        pid = pid_of(_identity(raw), self._prefix(raw.pid))
        known = find_raw(self._placer.http, raw, blocks, pid, self.settings.raw_pid)
        path = Path(next(iter(files_of(raw, blocks)), raw.sourceFolder))
        rule = self.rule(path) if self.rule else None
        owned = whose(raw, known, rule or self.settings.ownership(path))
        if isinstance(owned, list):
            raise NotYet(
                f"Nobody says whose {path} is: no dataset of it can be read in {self.url}, and "
                f"{' and '.join(owned)} {'is' if len(owned) == 1 else 'are'} not set.",
                "Set it in catalog.toml, by HPCDAAS_CATALOG_OWNER_GROUP and the like, or by an [[owner]] of the site.",
            )
        return known, owned

    def _prefix(self, pid: str) -> str:
        """Give the site's prefix; where none is set, that of the record."""
        return self.settings.prefix or pid[: pid.rfind("/") + 1]

    def _journal(self, identity: str) -> Path:
        return self.state / sha256(self.url.encode()).hexdigest()[:8] / f"{identity}.jsonl"

    # looking

    def datasets(
        self, *, type: str | None = None, proposal: str | None = None, technique: str | None = None,
        text: str = "", limit: int | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """List datasets that the account may read, newest first, at most `MOST`; see `Store`."""
        where = {key: value for key, value in {"type": type, "proposalId": proposal}.items() if value is not None}
        most = MOST if limit is None else min(limit, MOST)
        found: list[dict[str, Any]] = []
        for skip in range(0, MOST, PAGE):
            page = self._page(where, text, skip)
            # techniques are lists of objects, which backends filter in different ways
            found += [d for d in page if technique is None or technique in _techniques(d)]
            if len(page) < PAGE or len(found) >= most:
                break
        return sorted((_complete(d) for d in found), key=lambda d: str(d["creationTime"]), reverse=True)[:most]

    def _page(self, where: Mapping[str, str], text: str, skip: int) -> list[dict[str, Any]]:
        limits = {"limit": PAGE, "skip": skip, "order": "creationTime:desc"}
        if not text:
            return self._read("/api/v3/datasets", filter=json.dumps({"where": where, "limits": limits}))
        fields = {"text": text, **{key: [value] for key, value in where.items()}}
        return self._read("/api/v3/datasets/fullquery", fields=json.dumps(fields), limits=json.dumps(limits))

    def dataset(self, pid: str) -> dict[str, Any]:
        """Give one dataset with files, pictures and links; see `Store`.

        Raises
        ------
        InputError
            If there is none, or it may not be read.
        """
        route = f"/api/v3/datasets/{quote(pid, safe='')}"
        answer = self._placer.http.get(route)
        if not (answer.good and isinstance(answer.content, Mapping)):
            full = self._whole_pid(pid)
            if full is None or full == pid:
                raise InputError(
                    f"There is no dataset {pid} in {self.url} that you may read.", "'hpcdaas catalog list' shows all."
                )
            return self.dataset(full)
        found = _complete(dict(answer.content))
        found["origdatablocks"] = self._read(f"{route}/origdatablocks")
        found["attachments"] = self._read(f"{route}/attachments")
        made = {"where": {"inputDatasets": found["pid"]}, "limits": {"limit": PAGE}}
        outputs = self._read("/api/v3/datasets", filter=json.dumps(made))
        found["derivedDatasets"] = sorted(str(d["pid"]) for d in outputs if found["pid"] in d.get("inputDatasets", ()))
        found.setdefault("inputDatasets", [])
        return found

    def _whole_pid(self, beginning: str) -> str | None:
        """Find the pid that begins so, with or without the prefix; None where there is none."""
        if not set(beginning) <= set("0123456789abcdefABCDEF-"):
            return None
        wanted = {"where": {"pid": {"$regex": f"(^|/){beginning.upper()}"}}, "limits": {"limit": 2}}
        answer = self._placer.http.get("/api/v4/datasets", filter=json.dumps(wanted))
        found = answer.content if answer.good and isinstance(answer.content, list) else []
        if len(found) > 1:
            raise InputError(f"Several datasets begin with {beginning}.", "Give more of the pid.")
        return str(found[0]["pid"]) if found else None

    def _read(self, route: str, **parameters: str) -> list[dict[str, Any]]:
        answer: Answer = self._placer.http.get(route, **parameters)
        if answer.status in (401, 403):
            return []
        if not answer.good or not isinstance(answer.content, list):
            raise InputError(f"{self.url} gives no list of datasets ({answer.status}): {answer.reason}.")
        return answer.content

    # jobs

    def job(self, kind: str, pid: str) -> str:
        """Ask the site to archive or retrieve a dataset.

        Parameters
        ----------
        kind : str
            ``archive`` or ``retrieve``.
        pid : str
            The dataset's pid.

        Returns
        -------
        str
            The job's id in the catalogue.

        Raises
        ------
        InputError
            If there is no such dataset, or the site does no such jobs.
        """
        from hpcdaas.catalog.scicat_bodies import job

        found = self.dataset(pid)
        body = job(kind, str(found["pid"]), str(found["ownerGroup"]), str(found["contactEmail"]))
        answer = self._placer.http.post("/api/v4/jobs", body, again=False)
        if answer.status == 404:
            raise InputError(f"{self.url} knows no jobs.")
        if not answer.good:
            raise Refused(f"{self.url} refuses to {kind} {found['pid']} ({answer.status}): {answer.reason}.")
        return str(answer.content.get("id") or answer.content.get("_id"))


def _identity(raw: RawDataset) -> str:
    return str(raw.scientificMetadata["raw_identity"]["value"])


def _techniques(dataset: Mapping[str, Any]) -> set[str]:
    return {str(t.get("pid", "")).rsplit("/", 1)[-1] for t in dataset.get("techniques") or ()}


def _complete(dataset: dict[str, Any]) -> dict[str, Any]:
    """Give what lists show of each dataset also to one that lacks it."""
    kept = {key: value for key, value in dataset.items() if value is not None}
    return {"datasetName": "", "size": 0, "numberOfFiles": 0, **kept}
