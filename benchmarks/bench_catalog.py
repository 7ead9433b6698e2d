"""Registering results, and looking for them among 10,000 datasets.

The time that a registration adds to a run: record with the checksums of 20 files of 100 kB, provenance, and the
catalogue, embedded or served by another process (with a login, as each run has). 10,000 datasets are listed and
searched in the process itself and over HTTP. 8 processes register runs of different scans in one embedded catalogue.
The limits: the same files synced and one commit; a request that asks for nothing; bare commits of one process.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import rocrate.rocrate  # noqa: F401  (a run has it in memory by then, as well as the client)

from catalog_job import (
    Served,
    alike,
    bare_commits,
    fill,
    make_result,
    register,
    served,
    synced_files,
    together,
)
from common import Goal, Report, interleave, options, timed
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.scicat import Scicat
from scan_file import scratch_option

EMBEDDED, HTTP, FILES = "a result, embedded catalogue", "a result, served catalogue", "its files and a commit alone"
RATE, COMMIT = "a run, 8 processes at once", "a bare commit, one process"
NOTHING = "a request for nothing"
PAGE, SEARCH = "newest 25 of 10,000, in process", "25 that hold a word, in process"
WEB = {
    "web page, newest 25": ("/", {}),
    "web page, a word": ("/", {"q": "scan0123"}),
    "web page, a word that all hold": ("/", {"q": "tomography"}),
    "web page, proposal and technique": ("/", {"proposal": "2026-7", "technique": "PaNET01207"}),
    "REST, newest 25": (
        "/api/v3/datasets", {"filter": json.dumps({"limits": {"limit": 25, "order": "creationTime:desc"}})},
    ),
    "REST, a word": (
        "/api/v3/datasets/fullquery", {"fields": '{"text": "scan0123"}', "limits": '{"limit": 25}'},
    ),
}  # fmt: skip
PROCESSES = 8


def main() -> None:
    parser = options(__doc__ or "", repeats=5)
    scratch_option(parser)
    given = parser.parse_args()
    datasets, each = (200, 2) if given.quick else (10_000, 50)
    given.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.scratch) as name:
        folder = Path(name)
        record = make_record(make_result(folder, "first"), thumbnail=b"\x89PNG" * 2500)
        large = EmbeddedCatalog(folder / "large.db")
        fill(large, record, datasets)
        with served(large.path, folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            _log_in(client, server)
            tasks = {
                **_registrations(folder, server),
                **_looks(large, client),
                RATE: lambda: together(_fresh(folder), record, PROCESSES, each),
                COMMIT: lambda: bare_commits(_fresh(folder), 4 * each),
            }
            for task in tasks:
                if task not in (RATE, COMMIT):
                    tasks[task]()
            rounds = interleave(tasks, given.repeats)
        large.register(alike(record, "last"))
    settings = {"datasets": datasets, "files of a result": 20, "processes": PROCESSES, "runs of each": each}
    report = Report("catalog", settings | {"rounds": given.repeats})
    for task in (EMBEDDED, HTTP):
        report.compare(rounds, task, FILES, Goal(0.3, 0.1, on="value"))
    for task in (PAGE, SEARCH, *WEB):
        report.compare(rounds, task, NOTHING, Goal(0.1, 0.03, on="value"))
    rate, commits = 1 / rounds.median(RATE), 1 / rounds.median(COMMIT)
    goal = Goal(200, 1000, at_least=True, on="value")
    report.add("runs, 8 processes at once", rate, "1/s", limit="bare commits, one process", limit_value=commits,
               ratio=rounds.ratio(COMMIT, RATE), goal=goal)  # fmt: skip
    report.finish(given, rounds)


def _fresh(folder: Path) -> Path:
    return folder / f"{uuid.uuid4().hex}.db"


def _log_in(client: httpx.Client, server: Served) -> None:
    password = server.settings.password
    assert password is not None
    body = {"username": server.settings.username, "password": password.get_secret_value()}
    token = client.post("/api/v3/auth/login", json=body).json()["access_token"]
    # pages take the cookie, routes the header
    client.cookies.set("hpcdaas_token", token)
    client.headers["Authorization"] = f"Bearer {token}"


def _registrations(folder: Path, server: Served) -> dict[str, Callable[[], float]]:
    numbers = itertools.count()
    small, like = EmbeddedCatalog(folder / "small.db"), make_result(folder, "like")
    register(like, small)

    def of_new(name: str, serve: bool) -> float:
        result = make_result(folder, f"{name}{next(numbers)}")
        catalog = Scicat(server.url, server.settings, state=folder / "state") if serve else small
        return timed(lambda: register(result, catalog))()

    beside = folder / "beside"
    beside.mkdir()
    return {
        EMBEDDED: lambda: of_new("embedded", False),
        HTTP: lambda: of_new("served", True),
        FILES: timed(lambda: synced_files(beside, like)),
    }


def _looks(catalog: EmbeddedCatalog, client: httpx.Client) -> dict[str, Callable[[], float]]:
    def ask(route: str, parameters: dict[str, str]) -> Callable[[], float]:
        return timed(lambda: client.get(route, params=parameters).raise_for_status())

    return {
        PAGE: timed(lambda: catalog.datasets(limit=25)),
        SEARCH: timed(lambda: catalog.datasets(text="scan0123", limit=25)),
        **{name: ask(*where) for name, where in WEB.items()},
        NOTHING: ask("/api/v3/health", {}),
    }


if __name__ == "__main__":
    main()
