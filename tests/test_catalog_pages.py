"""The pages and who may see what in them; the verbs that serve them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from catalog_runs import finished
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.serve.accounts import read_accounts
from hpcdaas.catalog.serve.app import make_app
from hpcdaas.catalog.serve.listen import serving
from hpcdaas.catalog.store import open_catalog
from hpcdaas.cli import demo
from hpcdaas.cli.catalog import app
from hpcdaas.errors import InputError
from hpcdaas.pipeline.options import Watcher
from served import PASSWORD, Served, served
from served_documents import derived, png

PICTURE = {"ownerGroup": "p1", "caption": "slice", "thumbnail": png()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One dataset of p1, one of p3, one that is published; each with a picture."""
    with served(tmp_path_factory.mktemp("served")) as running, running.client("admin") as client:
        for pid, group, public in (("x/one", "p1", False), ("x/three", "p3", False), ("x/all", "p9", True)):
            body = derived(pid=pid, ownerGroup=group, isPublished=public, datasetName=pid, proposalId=f"of {group}")
            assert client.post("/api/v3/datasets", json=body).status_code == 201
            at = f"/api/v3/datasets/{pid.replace('/', '%2F')}/attachments"
            assert client.post(at, json=PICTURE).status_code == 201
        yield running


@contextmanager
def visitor(server: Served, name: str | None = None) -> Iterator[httpx.Client]:
    """Give what a browser is, logged in by the form where a name is given."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        if name:
            answer = client.post("/login", data={"username": name, "password": PASSWORD})
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
        yield client


@pytest.mark.parametrize(
    ("name", "seen"), [(None, {"x/all"}), ("alice", {"x/all", "x/one"}), ("bob", {"x/all", "x/three"}),
                       ("admin", {"x/all", "x/one", "x/three"})]
)  # fmt: skip
def test_a_visitor_sees_what_is_for_him(server: Served, name: str | None, seen: set[str]) -> None:
    with visitor(server, name) as client:
        html = client.get("/").text
        assert {pid for pid in ("x/one", "x/three", "x/all") if f">{pid}</a>" in html} == seen
        # nor do the choices, counts and words tell of the others
        assert ("of p3 (1)" in html) == ("x/three" in seen)
        assert ("dataset matches." in client.get("/", params={"q": "three"}).text) == ("x/three" not in seen)
        for number, pid in enumerate(("x/one", "x/three", "x/all"), 1):
            page = client.get(f"/dataset/{pid}")
            assert page.status_code == (200 if pid in seen else 303 if name is None else 403)
            assert client.get(f"/picture/{number}").status_code == (200 if pid in seen else 404)


def test_a_wrong_password_and_the_way_out(server: Served) -> None:
    with visitor(server) as client:
        refused = client.post("/login", data={"username": "alice", "password": "wrong"})
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
        assert "Name or password is wrong" in refused.text
        assert client.get("/dataset/x/one").headers["location"] == "/login"
    with visitor(server, "alice") as client:
        assert "alice" in client.get("/").text
        client.post("/logout")
        assert client.get("/dataset/x/one").status_code == 303


def test_the_cookie_reads_and_never_writes(server: Served) -> None:
    """A form of another site that the browser sends along with the cookie changes nothing."""
    with visitor(server, "alice") as client:
        assert client.get("/api/v3/datasets/x%2Fone").status_code == 200
        for route, body in (("/api/v3/datasets", derived()), ("/api/v3/datasets/x%2Fone/attachments", PICTURE)):
            assert client.post(route, json=body).status_code == 401
        assert client.patch("/api/v3/datasets/x%2Fone", json={"description": "x"}).status_code == 401
        assert client.delete("/api/v3/datasets/x%2Fone").status_code == 401


def test_every_answer_has_the_headers_that_keep_browsers_safe(server: Served) -> None:
    with visitor(server, "admin") as client:
        for path in ("/", "/dataset/x/one", "/picture/1", "/login", "/style.css", "/api/v3/datasets", "/nothing"):
            headers = client.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert headers["x-content-type-options"] == "nosniff"
        assert client.get("/picture/1").headers["content-type"] == "image/png"
        for path in ("/nothing", "/picture/x", "/picture/99999", "/dataset/none"):
            assert client.get(path).status_code == 404
        assert client.get("/", params={"page": "-1", "q": "\x00*\"'"}).status_code == 200


# without accounts


def test_without_accounts_only_this_machine_by_its_own_name_is_let_in(tmp_path: Path) -> None:
    with served(tmp_path, logins=False) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/").status_code == 200
        port = server.url.rsplit(":", 1)[1]
        assert client.get("/", headers={"Host": f"localhost:{port}"}).status_code == 200
        # a name that somebody else gave our address
        assert client.get("/", headers={"Host": "evil.example.org"}).status_code == 403
        body = derived(pid="x/y")
        assert client.post("/api/v3/datasets", json=body, headers={"Origin": "https://evil.org"}).status_code == 403
        assert client.post("/api/v3/datasets", json=body).status_code == 201


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_other_addresses_only_with_accounts(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match="on this machine only"):
        CliRunner().invoke(
            app, ["serve", "--catalog", str(tmp_path / "c.db"), "--host", host, "--port", "0"], catch_exceptions=False
        )
    with served(tmp_path, "--host", "0.0.0.0") as server:
        assert server.process.stderr is not None
        assert "in plain text" in server.process.stderr.readline()
        port = server.url.rsplit(":", 1)[1]
        assert httpx.get(f"http://127.0.0.1:{port}/api/v3/health").status_code == 200
        assert httpx.post(f"http://127.0.0.1:{port}/api/v3/datasets", json=derived()).status_code == 401


def test_accounts_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "accounts.json"

    def call(*arguments: str, password: str = "a long one\n") -> str:
        answer = CliRunner().invoke(app, ["account", *arguments, "--accounts", str(file)], input=password,
                                    catch_exceptions=False)  # fmt: skip
        assert answer.exit_code == 0
        assert "a long one" not in answer.output
        return answer.output

    call("carol", "--group", "p1", "--group", "p2")
    call("robot", "--role", "ingestor", "--group", "robots", password="another\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "a long one" not in file.read_text()
    known = read_accounts(file)
    assert known.checked("carol", "a long one") is not None
    assert known.checked("carol", "another") is None
    assert known.accounts["carol"].groups == ("p1", "p2")
    call("carol", "--remove")
    assert set(read_accounts(file).accounts) == {"robot"}
    for arguments, said in ((["x", "--role", "king"], "no role"), (["carol", "--remove"], "no account carol")):
        with pytest.raises(InputError, match=said):
            call(*arguments)
    with pytest.raises(InputError, match="empty password"):
        call("x", password="\n")
    file.chmod(0o644)
    with pytest.raises(InputError, match="Others may read"):
        call("x")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = ["serve", "--catalog", str(tmp_path / "c.db"), "--port", str(taken.getsockname()[1])]
        with pytest.raises(InputError, match="can't be listened on"):
            CliRunner().invoke(app, command, catch_exceptions=False)


# the embedded catalogue on the command line


def test_a_raw_scan_is_registered_into_the_embedded_catalogue(
    tmp_path: Path, write_nxtomo: Callable[..., Path], counts: Callable[..., Any]
) -> None:
    keys, angles = [1, 2, *[0] * 8], [0, 0, *range(0, 180, 23)]
    scan, catalog = write_nxtomo(counts((10, 2, 32)), keys, angles, name="raw scan.nxs"), tmp_path / "c.db"
    for _ in range(2):
        answer = CliRunner().invoke(app, ["register", str(scan), "--catalog", str(catalog)], catch_exceptions=False)
        assert answer.exit_code == 0
    (dataset,) = EmbeddedCatalog(catalog).datasets()
    assert dataset["pid"] in answer.output
    assert (dataset["type"], dataset["numberOfFiles"], dataset["size"]) == ("raw", 1, scan.stat().st_size)
    assert dataset["techniques"][0]["pid"].endswith("PaNET01207")


def test_a_result_without_its_record_is_not_taken_for_a_raw_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        CliRunner().invoke(app, ["register", str(tmp_path / "x"), "--catalog", str(tmp_path / "c.db")],
                           catch_exceptions=False)  # fmt: skip


def test_list_takes_words_and_a_limit(tmp_path: Path) -> None:
    catalog = open_catalog(str(tmp_path / "c.db"))
    for i in range(3):
        catalog.register(make_record(finished(tmp_path, f"tooth{i}", ended=i)))

    def call(*arguments: str) -> str:
        answer = CliRunner().invoke(app, ["list", "--catalog", str(tmp_path / "c.db"), *arguments],
                                    catch_exceptions=False)  # fmt: skip
        return answer.stdout

    assert "tooth1" in call("--search", "tooth1")
    assert "tooth2" not in call("--search", "tooth1")
    assert call("--type", "derived", "--limit", "1").count("derived") == 1
    assert call("--search", "elephant").strip() == "No dataset is like that."


# within a process


def test_what_the_demo_talks_to_is_served_over_http_and_ends_with_it(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path), thumbnail=b"\x89PNG")
    with demo._catalogue(tmp_path / "catalog.db", Watcher()) as catalog:
        url = catalog.url  # type: ignore[attr-defined]
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/api/v3/datasets").json() == []  # a stranger sees nothing
        assert httpx.post(f"{url}/api/v3/datasets", json=derived()).status_code == 401
        pid = catalog.register(record)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/api/v3/health")
    found = EmbeddedCatalog(tmp_path / "catalog.db")
    assert {d["type"] for d in found.datasets()} == {"raw", "derived"}
    assert found.dataset(pid)["attachments"]


def test_served_from_a_thread(tmp_path: Path) -> None:
    with serving(make_app(EmbeddedCatalog(tmp_path / "c.db"))) as url:
        assert httpx.get(f"{url}/api/v3/health").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_server_ends_at_sigterm_with_code_0(tmp_path: Path) -> None:
    with served(tmp_path, logins=False) as server:
        server.process.terminate()
        assert server.process.wait(20) == 0


def test_answers_are_sent_at_once(tmp_path: Path) -> None:
    """No answer waits for the acknowledgement of its head, which comes after 40 ms."""
    start = (
        "import time, httpx, sys; c = httpx.Client(base_url=sys.argv[1]); c.get('/api/v3/health')\n"
        "def one():\n"
        "    s = time.perf_counter(); c.get('/api/v3/datasets/count'); return time.perf_counter() - s\n"
        "print(sorted(one() for _ in range(60))[15])"
    )
    with served(tmp_path, logins=False) as server:
        done = subprocess.run([sys.executable, "-c", start, server.url], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.03
