"""The v4 routes for datasets, their files and pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from hpcdaas.catalog.embedded_search import count
from hpcdaas.catalog.serve.asking import Account, TheGate, TheService, check_relationships, reply
from hpcdaas.catalog.serve.bodies import AttachmentV4, BlockOf, ChangeV4, DatasetV4
from hpcdaas.catalog.serve.filters import V4_LIMIT, list_filter
from hpcdaas.catalog.serve.forms import from_v4, to_v4
from hpcdaas.catalog.serve.refusal import Refusal, complaints
from hpcdaas.catalog.serve.requests import StrictRoute, query_object

router = APIRouter(prefix="/api/v4", route_class=StrictRoute, tags=["datasets"])

Json = Annotated[str | None, Query(description="A JSON object.")]


@router.post("/datasets", status_code=201)
def create(body: DatasetV4, user: Account, service: TheService, gate: TheGate) -> Response:
    """Put a dataset in."""
    check_relationships(body, gate)
    service.check_creation(body.given(), user)
    if not body.owner:  # as SciCat's backend does
        raise Refusal(500, "Dataset validation failed: owner: Path `owner` is required.")
    return reply(to_v4(service.create(from_v4(body.given(), body.type), user)), 201)


@router.post("/datasets/isValid")
def is_valid(body: dict[str, Any], user: Account, gate: TheGate) -> Response:
    """Say whether a dataset would be taken."""
    try:
        check_relationships(DatasetV4.model_validate(body), gate)
    except ValidationError as error:
        said = complaints(error.errors(include_url=False, include_context=False))
        return reply({"valid": False, "error": said, "reason": said})
    except Refusal as refusal:
        return reply({"valid": False, "error": [refusal.message], "reason": [refusal.message]})
    return reply({"valid": True})


@router.get("/datasets")
def list_(user: Account, service: TheService, filter: Json = None) -> Response:
    """List datasets."""
    asked = list_filter(filter, user, V4_LIMIT)
    return reply([asked.chosen(to_v4(document)) for document in service.find(asked)])


@router.get("/datasets/count")
def count_(user: Account, service: TheService, filter: Json = None) -> Response:
    """Count datasets."""
    return reply({"count": count(service.catalog, list_filter(filter, user, None).query)})


@router.get("/datasets/findOne")
def find_one(user: Account, service: TheService, filter: Json = None) -> Response:
    """Give the first dataset that a filter finds, or nothing."""
    asked = list_filter(filter, user, 1)
    found = service.find(asked)
    return reply(asked.chosen(to_v4(found[0]))) if found else Response(status_code=200)


@router.get("/datasets/{pid:path}")
def read(
    pid: str, user: Account, service: TheService, include: Annotated[list[str] | None, Query()] = None
) -> Response:
    """Give one dataset."""
    return reply(to_v4(service.read(pid, user, set(include or ()))))


@router.patch("/datasets/{pid:path}")
def change(pid: str, body: ChangeV4, request: Request, user: Account, service: TheService, gate: TheGate) -> Response:
    """Replace some fields of a dataset; a merge patch (RFC 7396) goes into objects, and null takes a field out."""
    check_relationships(body, gate)
    if request.headers.get("content-type", "").startswith("application/merge-patch+json"):
        patch = body.model_dump(exclude_unset=True)

        def alter(old: dict[str, Any]) -> dict[str, Any]:
            return dict(_merged(old, from_v4(patch, old["type"])))
    else:

        def alter(old: dict[str, Any]) -> dict[str, Any]:
            return old | from_v4(body.given(), old["type"])

    return reply(to_v4(service.change(pid, user, alter)))


@router.delete("/datasets/{pid:path}")
def delete(pid: str, user: Account, service: TheService) -> Response:
    """Take a dataset out."""
    return reply(to_v4(service.delete(pid, user)))


@router.post("/origdatablocks", status_code=201)
def add_block(body: BlockOf, user: Account, service: TheService) -> Response:
    """Add files to the dataset that the body names."""
    given = body.given()
    return reply(service.add_block(given.pop("datasetId"), given, user.may_change, user.name), 201)


@router.get("/origdatablocks")
def blocks(user: Account, service: TheService, filter: Json = None) -> Response:
    """List the files of the dataset that the filter names, ``{"where": {"datasetId": pid}}``."""
    return reply(service.blocks(_dataset_of(filter), user))


@router.post("/attachments", status_code=201)
def add_attachment(body: AttachmentV4, user: Account, service: TheService, gate: TheGate) -> Response:
    """Add a picture; on backends of generation v4 only admins may."""
    if gate.generation == "v4" and user.role != "admin":
        raise Refusal(403, "Forbidden resource")
    if not user.may_create(body.ownerGroup):
        raise Refusal(403, "Forbidden resource")
    given = body.given()
    targets = given.pop("relationships", None) or []
    pid = next((target["targetId"] for target in targets if target["targetType"] == "dataset"), None)
    return reply(service.add_attachment(pid, given, given.pop("aid", None), user.may_add, user.name), 201)


@router.get("/attachments")
def attachments(user: Account, service: TheService, filter: Json = None) -> Response:
    """List the pictures of the dataset that the filter names, ``{"where": {"relationships.targetId": pid}}``."""
    return reply(service.attachments(_dataset_of(filter), user))


def _dataset_of(text: str | None) -> str:
    where = query_object(text, "filter").get("where")
    names = ("datasetId", "relationships.targetId")
    found = [where[name] for name in names if isinstance(where.get(name), str)] if isinstance(where, dict) else []
    if not found:
        raise Refusal(400, f"the filter must say of which dataset: {' or '.join(names)}")
    return str(found[0])


def _merged(old: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = _merged(new.get(key), value)
    return new
