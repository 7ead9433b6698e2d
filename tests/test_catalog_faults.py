"""Faults over real HTTP between the client and `hpcdaas catalog serve`: each ends with one whole dataset."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog_runs import finished
from faulty_proxy import Proxy, between
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import DataFile, OrigDatablock, Record
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.settings import CatalogSettings
from scicat_server import Cut, Problem, every, once
from served import PASSWORD, Served, served

GENERATIONS = ["v4", "v5"]


@pytest.fixture(scope="module", params=GENERATIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), generation=request.param) as running:
        yield running


@pytest.fixture
def proxy(server: Served) -> Iterator[Proxy]:
    with between(server.url) as running:
        yield running


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return run_of(tmp_path)


def run_of(folder: Path, name: str = "tooth") -> Record:
    """A run of a scan that no other test has."""
    return make_record(finished(folder, name, scan=f"scan of {folder.name}"), thumbnail=b"\x89PNG")


def client(where: Proxy | Served, state: Path, patience: float = 30.0, **more: Any) -> Scicat:
    told = {"username": "ingestor", "password": PASSWORD, "owner_group": "p1", "owner": "A. Person",
            "contact_email": "a@x.org", "access_groups": ("ingestor",), **more}  # fmt: skip
    return Scicat(where.url, CatalogSettings.model_validate(told), state=state, patience=patience)


def whole(server: Served, record: Record) -> None:
    """Hold what is stored of a run against its record: one dataset, each file once, right totals, one picture."""
    catalog = EmbeddedCatalog(server.catalog)
    found = [d for d in catalog.datasets() if d["scientificMetadata"].get("run", {}).get("value") == record.run]
    assert len(found) == 1
    shown = catalog.dataset(found[0]["pid"])
    files = sorted((f["path"], f["size"], f.get("chk")) for b in shown["origdatablocks"] for f in b["dataFileList"])
    wanted = [f for block in record.derived_datablocks for f in block.dataFileList]
    assert files == sorted((f.path, f.size, f.chk) for f in wanted)
    assert (shown["size"], shown["numberOfFiles"]) == (sum(f.size for f in wanted), len(wanted))
    assert [p["caption"] for p in shown["attachments"]] == ([record.thumbnail.caption] if record.thumbnail else [])


@pytest.mark.parametrize("account", ["ingestor", "alice"])  # may choose a pid; may not
@pytest.mark.parametrize("route", [r"/datasets$", "origdatablocks", "attachments", "auth/login"])
@pytest.mark.parametrize("after", [False, True])
def test_cut_before_and_after_the_server_stored(
    tmp_path: Path, server: Served, proxy: Proxy, record: Record, route: str, after: bool, account: str
) -> None:
    proxy.fault = once(route, Cut(), after)
    catalog = client(proxy, tmp_path, username=account)
    pid = catalog.register(record)
    whole(server, record)
    assert catalog.register(record) == pid
    whole(server, record)


@pytest.mark.parametrize("nth", [2, 3, 5])
def test_every_nth_call_is_500(
    tmp_path: Path, server: Served, proxy: Proxy, record: Record, nth: int, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fault = every(nth, Problem(500, "Internal server error"))
    client(proxy, tmp_path, patience=60.0).register(record)
    # a picture is given up after some tries, and that is said
    skipped = any("The picture 'tooth" in line and "isn't in the catalogue" in line for line in caplog.messages)
    assert nth == 2 or not skipped
    whole(server, record.model_copy(update={"thumbnail": None}) if skipped else record)


@pytest.mark.parametrize("nth", [3, 4])
def test_every_nth_answer_is_lost(tmp_path: Path, server: Served, proxy: Proxy, record: Record, nth: int) -> None:
    """What the server did, and 500 came back for all that."""
    numbers = iter(range(1, 10_000))

    def lost(_: Any, method: str, path: str, after: bool) -> None:
        if after and next(numbers) % nth == 0:
            raise Problem(500, "Internal server error")

    proxy.fault = lost
    client(proxy, tmp_path, patience=60.0).register(record)
    whole(server, record)


@pytest.mark.parametrize("hosts", [1, 16])
def test_sixteen_registrations_of_one_run_at_once(tmp_path: Path, server: Served, record: Record, hosts: int) -> None:
    """From one account that shares its journals, and from hosts that know nothing of each other."""
    start, answers = threading.Barrier(16), []

    def register(number: int) -> None:
        catalog = client(server, tmp_path / f"host{number % hosts}", patience=60.0)
        start.wait()
        answers.append(catalog.register(record))

    threads = [threading.Thread(target=register, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [record.derived.pid] * 16
    whole(server, record)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("route", [r"/datasets$", "origdatablocks", "attachments"])
def test_a_token_that_expires_in_the_middle(tmp_path: Path, generation: str, route: str, record: Record) -> None:
    """It ends while the request is on its way: v5 says 401, v4 says 403."""
    with served(tmp_path, generation=generation, token_life=3) as server, between(server.url) as proxy:
        waited = []

        def slow(_: Any, method: str, path: str, after: bool) -> None:
            if method == "POST" and re.search(route, path) and not after and not waited:
                waited.append(time.sleep(4.1))

        proxy.fault = slow
        client(proxy, tmp_path).register(record)
        assert waited
        assert proxy.posts("auth/login") >= 2
        whole(server, record)


def many(record: Record, count: int, length: int = 0) -> Record:
    """A run of many files, with names that are so much longer."""
    names = [f"slice{i:06}{'x' * length}.tif" for i in range(count)]
    files = [DataFile(path=name, size=7, time="2026-03-01T12:00:00.000Z") for name in names]
    block = OrigDatablock(size=7 * count, dataFileList=tuple(files))
    return record.model_copy(update={"derived_datablocks": (block,)})


def test_a_body_of_over_16_mb_is_cut_into_smaller_ones(
    tmp_path: Path, server: Served, proxy: Proxy, record: Record
) -> None:
    record = many(record, 3000, 6000)  # 18 MB
    client(proxy, tmp_path).register(record)
    whole(server, record)
    sizes = [int(headers["Content-Length"]) for method, target, headers in proxy.requests if "blocks" in target]
    assert max(sizes) < 16_000_000
    assert proxy.posts("origdatablocks") == 2


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True])
def test_sixty_thousand_files(tmp_path: Path, server: Served, proxy: Proxy, record: Record, after: bool) -> None:
    """The second of three blocks is cut off."""
    record, seen = many(record, 60_000), []

    def cut(_: Any, method: str, path: str, done: bool) -> None:
        if method == "POST" and path.endswith("origdatablocks") and done == after:
            seen.append(path)
            if len(seen) == 2:
                raise Cut

    proxy.fault = cut
    client(proxy, tmp_path, patience=120.0).register(record)
    whole(server, record)
