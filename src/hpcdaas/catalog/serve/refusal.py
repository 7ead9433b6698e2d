"""What the server says no with: SciCat's codes in the form that its backend gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from hpcdaas.errors import HpcdaasError


class Refusal(Exception):
    """An answer other than 2xx.

    Parameters
    ----------
    status : int
        The HTTP status.
    message : str or list of str
        What is wrong.
    """

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def answer(status: int, message: str | list[str]) -> JSONResponse:
    """Give the body that SciCat's backend gives with an error."""
    content = {"statusCode": status, "message": message, "error": HTTPStatus(status).phrase}
    return JSONResponse(content, status)


def complaints(errors: Any) -> list[str]:
    """Say in words what pydantic complains of, one line each.

    Parameters
    ----------
    errors : sequence of dict
        As from ``ValidationError.errors()``.
    """
    return [_complaint(error) for error in errors]


def _complaint(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "body")[:200]
    if error["type"] == "extra_forbidden":
        return f"property {where} should not exist"
    return f"{where}: {error['msg']}" if where else str(error["msg"])


def answer_errors(app: FastAPI, page: Callable[[Request, int, str | list[str]], Response]) -> None:
    """Make an application answer all errors: with this form to programs, with a page to people.

    Parameters
    ----------
    app : FastAPI
    page : callable
        Makes the page, from request, status and message.
    """

    async def say(request: Request, error: Exception) -> Response:
        status, message, headers = _told(error)
        path = request.url.path
        response = answer(status, message) if path.startswith("/api/") else page(request, status, message)
        response.headers.update(headers)
        return response

    for kind in (Refusal, RequestValidationError, HTTPException, HpcdaasError):
        app.add_exception_handler(kind, say)


def _told(error: Exception) -> tuple[int, str | list[str], Mapping[str, str]]:
    """Give status, message and headers of the answer to an error."""
    if isinstance(error, Refusal):
        return error.status, error.message, {}
    if isinstance(error, RequestValidationError):
        return 400, complaints(error.errors()), {}
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail), error.headers or {}
    return 503, str(error), {}  # the catalogue is busy, full or damaged: a client may try again later
