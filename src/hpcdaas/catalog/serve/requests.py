"""What comes in: JSON read strictly, bodies that are too large or never end, filters in the query string."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpcdaas.catalog.serve.refusal import Refusal, answer

#: What SciCat's backend takes.
LARGEST_BODY = 16 * 1024 * 1024
#: How long to wait for the next piece of a body, seconds.
_PATIENCE = 30.0


class _StrictRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            try:  # no NaN, no halves of surrogate pairs, no bottomless nesting: none of them could be answered
                self._json = from_json(await self.body(), allow_inf_nan=False)
            except ValueError as error:
                raise RequestValidationError([{"loc": ("body",), "type": "json_invalid", "msg": str(error)}]) from None
        return self._json


class StrictRoute(APIRoute):
    """A route that reads JSON strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


class BodyLimit:
    """Reads bodies whole before anything is done with them; refuses those that are too large or don't come.

    As SciCat's backend does, it answers a body of over 16 MB with 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(scope, receive)
        except Refusal as refusal:
            response = answer(refusal.status, refusal.message)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        if body is None:  # the client has gone
            return
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(messages, None) or await receive()

        await self._app(scope, replay, send)


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > LARGEST_BODY:
        raise Refusal(500, "request entity too large")
    body = bytearray()
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), _PATIENCE)
        except TimeoutError:
            raise Refusal(408, f"Nothing came for {_PATIENCE:.0f} s.") from None
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_BODY:
            raise Refusal(500, "request entity too large")
    return bytes(body)


def query_object(text: str | None, name: str) -> dict[str, Any]:
    """Read a JSON object from the query string; nothing counts as an empty one.

    Raises
    ------
    Refusal
        400 if it is none.
    """
    if not text:
        return {}
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, f"{name} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(400, f"{name} must be a JSON object")
    return value


def whole(value: Any, name: str, default: int | None) -> int | None:
    """Read a count from a filter, given as a number or as digits.

    Raises
    ------
    Refusal
        400 if it is none.
    """
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:18])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise Refusal(400, f"{name} must be a whole number")
    return value


def dumps(content: Any) -> bytes:
    """Write an answer."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
