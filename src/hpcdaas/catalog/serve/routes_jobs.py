"""Jobs to archive and to retrieve datasets, as a site's archive picks them up."""

from __future__ import annotations

import json
import sqlite3
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from hpcdaas.catalog import embedded_rows as rows
from hpcdaas.catalog.serve.asking import Account, TheService, reply
from hpcdaas.catalog.serve.auth import User
from hpcdaas.catalog.serve.bodies import Job, JobChange
from hpcdaas.catalog.serve.forms import DEFAULT_LIFECYCLE
from hpcdaas.catalog.serve.refusal import Refusal
from hpcdaas.catalog.serve.requests import StrictRoute, query_object, whole

router = APIRouter(prefix="/api/v4/jobs", route_class=StrictRoute, tags=["jobs"])

#: What a dataset must be for a job, and what it is then said to be.
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "archive": ("archivable", {"archivable": False, "archiveStatusMessage": "scheduledForArchiving"}),
    "retrieve": ("retrievable", {"retrieveStatusMessage": "scheduledForRetrieval"}),
}
_MOST = 1000


@router.post("", status_code=201)
def create(body: Job, user: Account, service: TheService) -> Response:
    """Ask for a job; the site's archive does it and says here what became of it."""
    if body.type not in _KINDS:
        raise Refusal(400, f"Invalid job type: {body.type}")
    state, told = _KINDS[body.type]
    with service.catalog.transaction(write=True) as db:
        for pid in dict.fromkeys(item.pid for item in body.jobParams.datasetList):
            _schedule(db, pid, user, body.type, state, told)
        identity, time = str(uuid.uuid4()), rows.now()
        document = {
            **body.given(),
            "id": identity,
            "ownerUser": body.ownerUser or user.name,
            "statusCode": "jobSubmitted",
            "statusMessage": "Job submitted.",
            "jobResultObject": {},
            "configVersion": "1",
            "accessGroups": [],
            "isPublished": False,
            "createdBy": user.name,
            "updatedBy": user.name,
            "createdAt": time,
            "updatedAt": time,
        }
        values = (identity, body.ownerGroup, user.name, time, json.dumps(document))
        db.execute("INSERT INTO job (id, owner_group, author, registered, document) VALUES (?, ?, ?, ?, ?)", values)
    return reply(document, 201)


@router.get("")
def list_(user: Account, service: TheService, filter: Annotated[str | None, Query()] = None) -> Response:
    """List jobs, the newest first."""
    asked = query_object(filter, "filter")
    limits, where = asked.get("limits") or {}, asked.get("where") or {}
    if not isinstance(limits, dict) or not isinstance(where, dict):
        raise Refusal(400, "where and limits must be objects")
    limit, skip = whole(limits.get("limit"), "limit", 100) or 0, whole(limits.get("skip"), "skip", 0) or 0
    with service.catalog.transaction() as db:
        found = db.execute("SELECT * FROM job ORDER BY registered DESC, id LIMIT ?", (_MOST,)).fetchall()
    jobs = [json.loads(row["document"]) for row in found if _may_see(row, user)]
    jobs = [job for job in jobs if all(job.get(key) == value for key, value in where.items())]
    return reply(jobs[skip : skip + limit])


@router.get("/{id}")
def read(id: str, user: Account, service: TheService) -> Response:
    """Give one job."""
    with service.catalog.transaction() as db:
        return reply(json.loads(_row(db, id, user)["document"]))


@router.patch("/{id}")
def change(id: str, body: JobChange, user: Account, service: TheService) -> Response:
    """Say what became of a job; for the account of the archive (an admin).

    A job to archive whose status says that it finished well makes its datasets retrievable.
    """
    if user.role != "admin":
        raise Refusal(403, "Forbidden resource")
    with service.catalog.transaction(write=True) as db:
        job = json.loads(_row(db, id, user)["document"])
        job |= body.given() | {"updatedBy": user.name, "updatedAt": rows.now()}
        db.execute("UPDATE job SET document = ? WHERE id = ?", (json.dumps(job), id))
        if job["type"] == "archive" and body.statusCode == "finishedSuccessful":
            for item in job["jobParams"]["datasetList"]:
                row = rows.get_dataset(db, item["pid"])
                if row is not None:
                    _set(db, row, {"retrievable": True, "archiveStatusMessage": "datasetOnArchiveDisk"}, user)
    return reply(job)


def _schedule(db: sqlite3.Connection, pid: str, user: User, kind: str, state: str, told: dict[str, Any]) -> None:
    row = rows.get_dataset(db, pid)
    if row is None:
        raise Refusal(400, f"Dataset with pid {pid} not found")
    # an ingestor asks for what it made; all others for what they may change
    if not user.may_add(row):
        raise Refusal(403, "Forbidden resource")
    lifecycle = DEFAULT_LIFECYCLE | (json.loads(row["document"]).get("datasetlifecycle") or {})
    if not lifecycle[state]:
        raise Refusal(400, f"The dataset {pid} is not in a state to {kind}: {state} is false")
    _set(db, row, told, user)


def _set(db: sqlite3.Connection, row: sqlite3.Row, told: dict[str, Any], user: User) -> None:
    document = json.loads(row["document"])
    document["datasetlifecycle"] = DEFAULT_LIFECYCLE | (document.get("datasetlifecycle") or {}) | told
    rows.change_dataset(db, row["id"], rows.Dataset(document, row["size"], row["files"]), user.name)


def _row(db: sqlite3.Connection, identity: str, user: User) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM job WHERE id = ?", (identity,)).fetchone()
    if row is None:
        raise Refusal(404, f"There is no job {identity}")
    if not _may_see(row, user):
        raise Refusal(403, "Forbidden resource")
    return row


def _may_see(row: sqlite3.Row, user: User) -> bool:
    return user.role == "admin" or row["author"] == user.name or row["owner_group"] in user.groups
