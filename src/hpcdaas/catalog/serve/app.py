"""The application: routes, pages, limits, and headers that keep browsers safe."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import hpcdaas
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.serve import pages, routes_jobs, routes_users, routes_v3, routes_v4
from hpcdaas.catalog.serve.accounts import Accounts
from hpcdaas.catalog.serve.auth import Gate, Generation
from hpcdaas.catalog.serve.refusal import answer, answer_errors
from hpcdaas.catalog.serve.requests import BodyLimit
from hpcdaas.catalog.serve.service import Service

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Settings:
    """How a catalogue is served.

    Attributes
    ----------
    generation : str
        The backend whose answers are given: ``v4`` or ``v5``.
    accounts : Accounts or None
        None: no logins, all may do everything. For loopback only.
    pid_pattern : str or None
        A regular expression for pids that are chosen.
    """

    generation: Generation = "v5"
    accounts: Accounts | None = None
    pid_pattern: str | None = None


def make_app(catalog: EmbeddedCatalog, settings: Settings | None = None) -> FastAPI:
    """Make the application that serves a catalogue.

    Parameters
    ----------
    catalog : EmbeddedCatalog
        Made if its file isn't there yet; brought up to date if an earlier version made it.
    settings : Settings, optional

    Raises
    ------
    InputError
        If the file is no catalogue, or can't be written.
    """
    settings = settings or Settings()
    with catalog.transaction(write=True):
        pass
    app = FastAPI(title="hpcdaas catalogue", version=hpcdaas.__version__, docs_url=None, redoc_url=None,
                  openapi_url="/explorer-json", redirect_slashes=False)  # fmt: skip
    app.state.service = Service(catalog, settings.pid_pattern)
    app.state.gate = Gate(settings.accounts, settings.generation)
    for routes in (routes_users, routes_jobs, routes_v3, routes_v4, pages):
        app.include_router(routes.router)
    answer_errors(app, pages.error_page)
    app.add_middleware(BodyLimit)
    app.add_middleware(_SafeHeaders)
    if settings.accounts is None:
        app.add_middleware(_LoopbackOnly)
    return app


class _SafeHeaders:
    """Puts headers on every answer that keep a page from loading or sending what it shouldn't."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _LoopbackOnly:
    """Without accounts, answers only what asks for this machine by a name of its own.

    A web page elsewhere could give its own name the address of loopback, and would then be let in
    by the browser of someone who looks at it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            origin = request.headers.get("origin")
            strange = origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}"
            if strange or not is_loopback(request.url.hostname or ""):
                await answer(403, "This catalogue has no accounts and is for this machine only.")(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Say whether a name or an address means this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
