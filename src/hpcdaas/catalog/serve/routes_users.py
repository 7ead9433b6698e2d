"""Logins, and who one is."""

from __future__ import annotations

from fastapi import APIRouter, Response

from hpcdaas.catalog.serve.asking import Account, TheGate, reply
from hpcdaas.catalog.serve.auth import profile
from hpcdaas.catalog.serve.bodies import Credentials
from hpcdaas.catalog.serve.refusal import Refusal
from hpcdaas.catalog.serve.requests import StrictRoute

router = APIRouter(prefix="/api/v3", route_class=StrictRoute, tags=["users"])


@router.post("/auth/login", status_code=201)
def login(body: Credentials, gate: TheGate) -> Response:
    """Give a token for name and password."""
    return reply(gate.login(body.username, body.password), 201)


@router.post("/users/login", status_code=201, deprecated=True)
def old_login() -> Response:
    """Do nothing: SciCat kept the route and took its use away."""
    return Response(status_code=201)


@router.post("/auth/logout", status_code=201)
def logout(user: Account) -> Response:
    """Say goodbye; the token ends by itself."""
    return reply({"logout": "successful"}, 201)


@router.get("/auth/whoami")
@router.get("/users/my/self")
def myself(user: Account) -> Response:
    """Say who the token belongs to."""
    return reply(profile(user))


@router.get("/users/{id}/userIdentity")
def identity(id: str, user: Account) -> Response:
    """Give the groups of an account, for itself."""
    if id != user.name and user.role != "admin":
        raise Refusal(403, "Forbidden resource")
    if id != user.name:
        raise Refusal(404, "Not Found")
    told = profile(user) | {"accessGroups": list(user.groups)}
    return reply({"authStrategy": "local", "userId": user.name, "externalId": user.name, "profile": told})


@router.get("/health")
def health() -> Response:
    """Say that the server is well."""
    return reply({"status": "ok", "info": {}, "error": {}, "details": {}})
