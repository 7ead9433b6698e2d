"""The v3 routes for datasets, their files and pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter, ValidationError

from hpcdaas.catalog.embedded_rows import document_of
from hpcdaas.catalog.embedded_search import count, find, values_of
from hpcdaas.catalog.serve.asking import Account, Anyone, TheGate, TheService, check_relationships, reply
from hpcdaas.catalog.serve.bodies import AttachmentV3, Block, BlockOf, ChangeV3, DatasetV3
from hpcdaas.catalog.serve.filters import full_query, list_filter
from hpcdaas.catalog.serve.forms import from_v3, to_v3
from hpcdaas.catalog.serve.refusal import Refusal, complaints
from hpcdaas.catalog.serve.requests import StrictRoute

router = APIRouter(prefix="/api/v3", route_class=StrictRoute, tags=["datasets"])

Json = Annotated[str | None, Query(description="A JSON object.")]
_DATASET: TypeAdapter[Any] = TypeAdapter(DatasetV3)


@router.post("/datasets", status_code=201)
def create(body: DatasetV3, user: Account, service: TheService, gate: TheGate) -> Response:
    """Put a dataset in."""
    check_relationships(body, gate)
    return reply(to_v3(service.create(body.given(), user)), 201)


@router.post("/datasets/isValid")
def is_valid(body: dict[str, Any], user: Account, gate: TheGate) -> Response:
    """Say whether a dataset would be taken."""
    try:
        check_relationships(_DATASET.validate_python(body), gate)
    except ValidationError as error:
        return reply({"valid": False, "error": complaints(error.errors(include_url=False, include_context=False))})
    except Refusal as refusal:
        return reply({"valid": False, "error": [refusal.message]})
    return reply({"valid": True})


@router.get("/datasets")
def list_(user: Anyone, service: TheService, filter: Json = None) -> Response:
    """List datasets."""
    asked = list_filter(filter, user, None)
    return reply([asked.chosen(to_v3(document)) for document in service.find(asked)])


@router.get("/datasets/count")
def count_(user: Anyone, service: TheService, filter: Json = None) -> Response:
    """Count datasets."""
    return reply({"count": count(service.catalog, list_filter(filter, user, None).query)})


@router.get("/datasets/findOne")
def find_one(user: Anyone, service: TheService, filter: Json = None) -> Response:
    """Give the first dataset that a filter finds, or nothing."""
    asked = list_filter(filter, user, 1)
    found = service.find(asked)
    return reply(asked.chosen(to_v3(found[0]))) if found else Response(status_code=200)


@router.get("/datasets/fullquery")
def full_query_(user: Anyone, service: TheService, fields: Json = None, limits: Json = None) -> Response:
    """List datasets by words and fields."""
    found = find(service.catalog, full_query(fields, limits, user))
    return reply([to_v3(document_of(row)) for row in found])


@router.get("/datasets/fullfacet")
def full_facet(user: Anyone, service: TheService, fields: Json = None) -> Response:
    """Count datasets by type, group and proposal."""
    query = full_query(fields, None, user)
    columns = {"type": "type", "ownerGroup": "owner_group", "proposalId": "proposal"}
    found = values_of(service.catalog, list(columns.values()), query)
    facets: dict[str, Any] = {
        name: [{"_id": value, "count": number} for value, number in found[column]] for name, column in columns.items()
    }
    return reply([{"all": [{"totalSets": count(service.catalog, query)}], **facets}])


# what is within a dataset comes first: a pid may hold slashes
@router.post("/datasets/{pid:path}/origdatablocks", status_code=201)
def add_block(pid: str, body: Block, user: Account, service: TheService) -> Response:
    """Add files to a dataset."""
    return reply(service.add_block(pid, body.given(), user.may_add, user.name), 201)


@router.get("/datasets/{pid:path}/origdatablocks")
def blocks(pid: str, user: Anyone, service: TheService) -> Response:
    """List the files of a dataset."""
    return reply(service.blocks(pid, user))


@router.post("/origdatablocks", status_code=201)
def add_block_of(body: BlockOf, user: Account, service: TheService) -> Response:
    """Add files to the dataset that the body names."""
    given = body.given()
    return reply(service.add_block(given.pop("datasetId"), given, user.may_change, user.name), 201)


@router.post("/datasets/{pid:path}/attachments", status_code=201)
def add_attachment(pid: str, body: AttachmentV3, user: Account, service: TheService) -> Response:
    """Add a picture to a dataset."""
    given = body.given()
    name = given.pop("id", None)
    given.pop("datasetId", None)
    return reply(service.add_attachment(pid, given, name, user.may_add, user.name), 201)


@router.get("/datasets/{pid:path}/attachments")
def attachments(pid: str, user: Anyone, service: TheService) -> Response:
    """List the pictures of a dataset."""
    return reply(service.attachments(pid, user))


@router.get("/datasets/{pid:path}/thumbnail")
def thumbnail(pid: str, user: Anyone, service: TheService) -> Response:
    """Give the first picture of a dataset, or nothing."""
    found = service.attachments(pid, user)
    return reply(found[0] if found else {})


@router.get("/datasets/{pid:path}")
def read(pid: str, user: Anyone, service: TheService, filter: Json = None) -> Response:
    """Give one dataset."""
    asked = list_filter(filter, user, None)
    return reply(asked.chosen(to_v3(service.read(pid, user, asked.include))))


@router.patch("/datasets/{pid:path}")
def change(pid: str, body: ChangeV3, user: Account, service: TheService, gate: TheGate) -> Response:
    """Replace some fields of a dataset, each of them whole."""
    check_relationships(body, gate)
    given = from_v3(body.given())
    return reply(to_v3(service.change(pid, user, lambda old: old | given)))


@router.delete("/datasets/{pid:path}")
def delete(pid: str, user: Account, service: TheService) -> Response:
    """Take a dataset out."""
    return reply(to_v3(service.delete(pid, user)))
