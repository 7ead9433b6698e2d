"""What each route needs of the application: the service, the gate, and who is asking."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Response

from hpcdaas.catalog.serve.auth import Gate, User
from hpcdaas.catalog.serve.bodies import RelationshipV4, RelationshipV5
from hpcdaas.catalog.serve.refusal import Refusal
from hpcdaas.catalog.serve.requests import dumps
from hpcdaas.catalog.serve.service import Service


async def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


async def _gate(request: Request) -> Gate:
    found: Gate = request.app.state.gate
    return found


async def _anyone(request: Request) -> User:
    return (await _gate(request)).user(request)


async def _account(request: Request) -> User:
    gate = await _gate(request)
    return gate.known(gate.user(request))


TheService = Annotated[Service, Depends(_service)]
TheGate = Annotated[Gate, Depends(_gate)]
#: Who is asking, perhaps anonymous.
Anyone = Annotated[User, Depends(_anyone)]
#: Who is asking; an anonymous one is refused.
Account = Annotated[User, Depends(_account)]


def reply(content: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(dumps(content), status, media_type="application/json")


def check_relationships(body: Any, gate: Gate) -> None:
    """Refuse relationships in the form of the other generation.

    Raises
    ------
    Refusal
        400.
    """
    right = RelationshipV4 if gate.generation == "v4" else RelationshipV5
    if not all(isinstance(item, right) for item in body.relationships or ()):
        raise Refusal(400, f"relationships need the fields {', '.join(right.model_fields)}")
