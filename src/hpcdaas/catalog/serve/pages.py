"""The web pages: the list of datasets, one dataset, and the login. Made here, no JavaScript."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from http import HTTPStatus
from importlib import resources
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

import jinja2
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from hpcdaas.catalog import embedded_rows as rows
from hpcdaas.catalog import embedded_search as search
from hpcdaas.catalog.serve import shown
from hpcdaas.catalog.serve.asking import TheGate, TheService
from hpcdaas.catalog.serve.auth import COOKIE, User
from hpcdaas.catalog.serve.refusal import Refusal

router = APIRouter(include_in_schema=False)

PAGE = 25
#: The most files that a dataset's page lists, and the most datasets that it links to.
FILES, LINKS = 200, 50
#: A picture never changes under its name.
_KEEP = {"Cache-Control": "private, max-age=86400, immutable", "Content-Security-Policy": "default-src 'none'; sandbox"}


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "moment": shown.moment, "bytes": shown.bytes_for_people, "inpath": lambda text: quote(text, safe=""),
        "number": "{:,}".format,
    }  # fmt: skip
    made.globals["techniques"] = shown.TECHNIQUES
    return made


_PAGES = _environment()
_STYLE = resources.files(__package__).joinpath("style.css").read_bytes()


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Make a page."""
    page = _PAGES.get_template(template).render(**values)
    return HTMLResponse(page.encode(errors="replace"), status)  # names needn't be UTF-8


def error_page(request: Request, status: int, message: str | list[str]) -> Response:
    """Make the page that says what went wrong; who isn't logged in may do that first."""
    gate = request.app.state.gate
    user = gate.visitor(request)
    if status == 403 and not user.known:
        return RedirectResponse("/login", 303)
    told = " ".join(message) if isinstance(message, list) else message
    told = "There is no such page." if told == HTTPStatus.NOT_FOUND.phrase else told
    title = {403: "Not yours to see", 404: "Not here"}.get(status, HTTPStatus(status).phrase)
    return render("error.html", status, user=user, gate=gate, title=title, message=told)


@router.get("/style.css")
def style() -> Response:
    """Give the style sheet."""
    return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


@router.get("/")
def list_page(
    request: Request,
    service: TheService,
    gate: TheGate,
    q: str = "",
    type: str = "",
    proposal: str = "",
    technique: str = "",
    page: Annotated[str, Query()] = "1",
) -> Response:
    """Show the list of datasets."""
    user = gate.visitor(request)
    chosen = {"type": type, "proposal": proposal, "technique": technique}
    visible = user.visible()
    conditions = [visible, *((f"dataset.{name} = ?", [value]) for name, value in chosen.items() if value)]
    number = min(max(int(page[:9]), 1), 10**6) if page.isascii() and page.isdigit() else 1
    query = search.Query(conditions, q[:500], skip=(number - 1) * PAGE, limit=PAGE)
    catalog = service.catalog
    total = search.count(catalog, query)
    found = search.find(catalog, query)
    everything = search.Query([visible])
    given = {"q": q, **chosen}
    return render(
        "list.html", datasets=_summaries(service, found), total=total, first=query.skip + 1, number=number,
        last=query.skip + len(found), pages=max(-(-total // PAGE), 1), given=given, user=user, gate=gate,
        choices=search.values_of(catalog, list(chosen), everything),
        link=lambda other: "/?" + urlencode({k: v for k, v in {**given, "page": other}.items() if v}),
    )  # fmt: skip


@router.get("/dataset/{pid:path}")
def dataset_page(pid: str, request: Request, service: TheService, gate: TheGate) -> Response:
    """Show one dataset."""
    user = gate.visitor(request)
    dataset = service.read(pid, user)
    inputs = [str(source) for source in dataset.get("inputDatasets") or ()]
    with service.catalog.transaction() as db:
        outputs = rows.outputs_of(db, pid)
        pictures = _pictures(db, pid)
    files, more = _files(service, pid)
    return render(
        "dataset.html", dataset=dataset, user=user, gate=gate, files=files, more=more,
        pictures=pictures,
        groups=shown.groups(dataset.get("scientificMetadata")),
        recipe=json.dumps(dataset["jobParameters"], indent=2, ensure_ascii=False) if dataset.get("jobParameters") else "",  # noqa: E501
        made_from=_linked(service, user, inputs), made_of_it=_linked(service, user, outputs),
    )  # fmt: skip


@router.get("/picture/{number}")
def picture(number: str, request: Request, service: TheService, gate: TheGate) -> Response:
    """Give a picture."""
    user = gate.visitor(request)
    with service.catalog.transaction() as db:
        found = db.execute(
            "SELECT attachment.document, dataset.* FROM attachment JOIN dataset ON dataset.id = dataset"
            " WHERE attachment.id = ?",
            (int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1,),
        ).fetchone()
    if found is None or not user.may_read(found):
        raise Refusal(404, "There is no such picture.")
    decoded = shown.picture(json.loads(found["document"]).get("thumbnail"))
    if decoded is None:
        raise Refusal(404, "There is no such picture.")
    return Response(decoded[1], media_type=decoded[0], headers=_KEEP)


@router.get("/login")
def login_page(request: Request, gate: TheGate) -> Response:
    """Show the login."""
    return render("login.html", user=gate.visitor(request), gate=gate, failed=False)


@router.post("/login")
async def login(request: Request, gate: TheGate) -> Response:
    """Log in: keep the token in a cookie that no script reads and no other site sends."""
    given = dict(parse_qsl((await request.body()).decode(errors="replace"), max_num_fields=10))
    try:
        answer = await run_in_threadpool(gate.login, given.get("username", ""), given.get("password", ""))
    except Refusal:
        return render("login.html", 401, user=gate.visitor(request), gate=gate, failed=True)
    response = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, answer["id"], answer["ttl"], httponly=True, samesite="strict", secure=secure)
    return response


@router.post("/logout")
def logout() -> Response:
    """Forget the token."""
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


def _summaries(service: TheService, found: Sequence[Any]) -> list[dict[str, Any]]:
    """Give what a list shows of datasets: their documents, and the name of the first picture."""
    with service.catalog.transaction() as db:
        pictures = db.execute(
            "SELECT dataset, id FROM attachment WHERE dataset IN (SELECT value FROM json_each(?)) ORDER BY id DESC",
            (json.dumps([row["id"] for row in found]),),
        ).fetchall()
    first = {row["dataset"]: row["id"] for row in pictures}
    return [rows.document_of(row) | {"picture": first.get(row["id"])} for row in found]


def _pictures(db: sqlite3.Connection, pid: str) -> list[dict[str, Any]]:
    """Give number and caption of the pictures of a dataset that a page may show."""
    row = rows.get_dataset(db, pid)
    number = row["id"] if row is not None else -1
    found = [(each["id"], json.loads(each["document"])) for each in rows.attachments_of(db, [number])[number]]
    return [{"id": i, "caption": p.get("caption", "")} for i, p in found if shown.picture(p.get("thumbnail"))]


def _linked(service: TheService, user: User, pids: Sequence[str]) -> list[dict[str, Any]]:
    """Give what is shown of datasets that another one names; of those not there, or not for this user, the pid."""
    listed = json.dumps(pids[:LINKS])
    query = search.Query([("dataset.pid IN (SELECT value FROM json_each(?))", [listed]), user.visible()], limit=LINKS)
    known = {each["pid"]: each for each in _summaries(service, search.find(service.catalog, query))}
    return [known.get(pid, {"pid": pid, "unknown": True}) for pid in pids[:LINKS]]


def _files(service: TheService, pid: str) -> tuple[list[dict[str, Any]], int]:
    """Give the first files of a dataset, and how many more there are."""
    with service.catalog.transaction() as db:
        row = rows.get_dataset(db, pid)
        assert row is not None
        blocks = db.execute("SELECT document FROM datablock WHERE dataset = ? ORDER BY id LIMIT ?", (row["id"], FILES))
        found: list[dict[str, Any]] = []
        for block in blocks:
            content = json.loads(block["document"])
            found += [{"algorithm": content.get("chkAlg") or "", **file} for file in content["dataFileList"]]
            if len(found) >= FILES:
                break
    return found[:FILES], max(row["files"] - FILES, len(found[FILES:]), 0)
