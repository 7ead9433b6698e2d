"""Requests made up from what the server says of its routes: none gets a 500 that the contract doesn't ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans

from hpcdaas.catalog.embedded import EmbeddedCatalog
from served import Served, served
from served_documents import block, derived, png

schemathesis = pytest.importorskip("schemathesis")

#: Requests for each route; more where somebody has the time: HPCDAAS_EXAMPLES=500.
EXAMPLES = int(os.environ.get("HPCDAAS_EXAMPLES", "8"))
PID = "20.500.12345/0B5D8E9A-1C6F-4B7E-9F3C-2A1D4E5F6A7B"


@pytest.fixture(scope="module", params=["v4", "v5"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One with a dataset, its files and a picture, so that requests find something."""
    with served(tmp_path_factory.mktemp("served"), generation=request.param) as running:
        with running.client("admin") as client:
            assert client.post("/api/v3/datasets", json=derived(pid=PID)).status_code == 201
            at = f"/api/v3/datasets/{PID.replace('/', '%2F')}"
            assert client.post(f"{at}/origdatablocks", json=block()).status_code == 201
            picture = {"ownerGroup": "p1", "caption": "slice", "thumbnail": png()}
            assert client.post(f"{at}/attachments", json=picture).status_code == 201
        yield running


def operations(server: Served) -> list[Any]:
    schema = schemathesis.openapi.from_url(f"{server.url}/explorer-json")
    found = [result.ok() for result in schema.get_all_operations()]
    assert len(found) > 30
    return found


def asked_for(method: str, path: str, body: Any) -> bool:
    """Say whether the contract says 500: an owner left out on the v4 route, a picture's name that is taken."""
    return method == "POST" and (
        (path.endswith("/v4/datasets") and not (isinstance(body, dict) and body.get("owner")))
        or path.endswith("/attachments")
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"], ids=["valid", "not valid"])
@pytest.mark.parametrize("account", ["admin", None])
def test_no_made_up_request_gets_a_500(server: Served, account: str | None, mode: str) -> None:
    headers = {"Authorization": f"Bearer {server.token(account)}"} if account else {}
    before, tried = stored(server), set()
    for operation in operations(server):
        if mode == "NEGATIVE" and not (operation.body or operation.query):
            continue  # nothing in it that could be wrong

        @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode]), known=booleans())
        @settings(
            max_examples=EXAMPLES if account else max(EXAMPLES // 5, 1), deadline=None, derandomize=True, database=None,
            phases=(Phase.generate,), suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case: Any, known: bool) -> None:
            if known and case.method != "DELETE" and "pid" in (case.path_parameters or {}):
                case.path_parameters["pid"] = PID.replace("/", "%2F")
            answer = case.call(base_url=server.url, headers=headers)
            tried.add((case.method, case.path))
            if answer.status_code >= 500:
                assert asked_for(case.method, case.path, case.body), f"{case.as_curl_command()}: {answer.text}"

        check()
    assert len(tried) > 15
    assert server.process.poll() is None
    assert httpx.get(f"{server.url}/api/v3/health").status_code == 200
    if account is None:  # who isn't logged in has changed nothing
        assert stored(server) == before


def stored(server: Served) -> list[dict[str, Any]]:
    """Give all datasets; none of them has become one that can't be read."""
    return EmbeddedCatalog(server.catalog).datasets()
