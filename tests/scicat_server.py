"""A SciCat backend over real HTTP for tests: what CONTRACT-like notes say of two generations, with faults on demand."""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMON = {
    "pid", "owner", "ownerGroup", "accessGroups", "contactEmail", "sourceFolder", "creationTime", "datasetName", "type",
    "description", "techniques", "scientificMetadata", "relationships", "inputDatasets", "usedSoftware",
    "jobParameters", "jobLogData", "keywords", "size", "numberOfFiles",
}  # fmt: skip
RAW = {"creationLocation", "dataFormat", "startTime", "endTime"}
FIELDS = {
    ("v3", "raw"): COMMON | RAW | {"principalInvestigator", "proposalId", "sampleId", "instrumentId"},
    ("v3", "derived"): COMMON | {"investigator", "proposalId"},
    ("v4", "raw"): COMMON | RAW | {"principalInvestigators", "proposalIds", "sampleIds", "instrumentIds"},
}
FIELDS["v4", "derived"] = FIELDS["v4", "raw"]
REQUIRED = {"ownerGroup", "owner", "contactEmail", "sourceFolder", "creationTime", "datasetName", "type"}
MORE = {
    ("v3", "raw"): {"principalInvestigator", "creationLocation"},
    ("v3", "derived"): {"investigator", "inputDatasets", "usedSoftware"},
}
RELATED = {4: {"pid", "relationship"}, 5: {"identifier", "identifierType", "relationship", "entityType"}}
SINGULAR = {"proposalIds": "proposalId", "sampleIds": "sampleId", "instrumentIds": "instrumentId",
            "principalInvestigators": "principalInvestigator"}  # fmt: skip


@dataclass(frozen=True)
class Account:
    password: str
    groups: tuple[str, ...] = ()
    privileged: bool = False


class Problem(Exception):
    def __init__(self, status: int, message: Any, headers: dict[str, str] | None = None) -> None:
        self.status, self.message, self.headers = status, message, headers or {}


class Cut(Exception):
    """The connection ends without an answer."""


#: Looks at a request before the server acts on it, and again after; may raise `Problem` or `Cut`, or wait.
Fault = Callable[["Backend", str, str, bool], None]


@dataclass
class Backend:
    """What the server has and how it behaves."""

    generation: int = 5
    v4_route: bool = True
    token_life: float = 3600.0
    clock: float = 0.0  # how far its clock is ahead, seconds
    accounts: dict[str, Account] = field(
        default_factory=lambda: {
            "ingestor": Account("s3cret-pass", ("ingestors",), privileged=True),
            "user": Account("s3cret-pass", ("p17",)),
        }
    )
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    blocks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pictures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    logins: int = 0
    given: list[str] = field(default_factory=list)  # tokens
    fault: Fault | None = None
    url: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def now(self) -> float:
        return time.time() + self.clock

    def token(self, name: str, life: float | None = None) -> str:
        now = self.now()
        payload = {"username": name, "iat": now, "exp": now + (self.token_life if life is None else life)}
        payload["id"] = uuid.uuid4().hex
        parts = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in ({"alg": "x"}, payload)]
        return ".".join([*(part.rstrip(b"=").decode() for part in parts), "c2lnbmF0dXJl"])

    def posts(self, ending: str) -> list[Any]:
        return [body for method, path, body in self.requests if method == "POST" and path.endswith(ending)]

    # who asks

    def account(self, header: str, write: bool) -> Account | None:
        if not header:
            return None
        text = header.removeprefix("Bearer ").split(".")[1]
        payload = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if payload["exp"] <= self.now():
            if self.generation == 5:
                raise Problem(401, "Unauthorized")
            if write:
                raise Problem(403, "Forbidden resource")
            return None
        return self.accounts[payload["username"]]

    def handle(self, method: str, target: str, header: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        path = parts.path
        if path == "/api/v3/auth/login":
            account = self.accounts.get(body.get("username"))
            if account is None or account.password != body.get("password"):
                raise Problem(401, "Unauthorized")
            self.logins += 1
            token = self.token(body["username"])
            self.given.append(token)
            return 201, {"access_token": token, "id": token, "expires_in": self.token_life, "ttl": self.token_life,
                         "created": iso(self.now()), "userId": "1", "user": {}}  # fmt: skip
        who = self.account(header, method == "POST")
        wanted = json.loads(parse_qs(parts.query).get("filter", ["{}"])[0])
        if found := re.fullmatch(r"/api/(v3|v4)/datasets", path):
            if found[1] == "v4" and not self.v4_route:
                raise Problem(404, f"Cannot {method} {path}")
            return self.make(found[1], who, body) if method == "POST" else (200, self.search(who, wanted))
        if found := re.fullmatch(r"/api/v3/datasets/([^/]+)(?:/(origdatablocks|attachments))?", path):
            return self.one(method, unquote(found[1]), found[2], who, body)
        if path == "/api/v4/jobs" and method == "POST":
            return self.job(who, body)
        raise Problem(404, f"Cannot {method} {path}")

    def make(self, version: str, who: Account | None, body: dict[str, Any]) -> tuple[int, Any]:
        if who is None:
            raise Problem(403, "Forbidden resource")
        kind = body.get("type", "")
        if kind not in ("raw", "derived"):
            raise Problem(400, ["type must be one of raw, derived"])
        wrong = [f"property {key} should not exist" for key in set(body) - FIELDS[version, kind]]
        wrong += [f"{key} must be given" for key in (REQUIRED | MORE.get((version, kind), set())) - set(body)]
        for entry in body.get("relationships", ()):
            if set(entry) != RELATED[self.generation]:
                wrong.append(f"relationships.0.property {min(set(entry) ^ RELATED[self.generation])} is wrong")
        if not all(re.fullmatch(r"[^@;]+@[^@;]+", part) for part in body.get("contactEmail", "").split(";")):
            wrong.append("contactEmail must be an email")
        if any(set(key) & set(".$[]<>") for key in keys(body.get("scientificMetadata", {}))):
            wrong.append("keys must not hold such characters")
        if wrong:
            raise Problem(400, wrong)
        if not who.privileged and (body["ownerGroup"] not in who.groups or "pid" in body):
            raise Problem(403, "Unauthorized to create this dataset")
        pid = body.get("pid") or f"20.500.99999/{uuid.uuid4()}"
        with self.lock:
            if pid in self.datasets:
                raise Problem(409, "pid already exists")
            stored = {SINGULAR.get(k, k): (v[0] if k in SINGULAR and v else v) for k, v in body.items()}
            stored |= {"pid": pid, "createdAt": iso(self.now()), "updatedAt": iso(self.now())}
            self.datasets[pid] = {"size": 0, "numberOfFiles": 0, **stored}
            self.blocks[pid], self.pictures[pid] = [], []
        return 201, self.datasets[pid]

    def readable(self, dataset: dict[str, Any], who: Account | None) -> bool:
        return bool(who and {dataset["ownerGroup"], *dataset.get("accessGroups", ())} & set(who.groups))

    def search(self, who: Account | None, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        def value(dataset: Any, key: str) -> Any:
            for part in key.split("."):
                dataset = dataset.get(part) if isinstance(dataset, dict) else None
            return dataset

        def fits(found: Any, condition: Any) -> bool:
            if isinstance(condition, dict):
                return bool(re.search(condition["$regex"], str(found)))
            return condition in found if isinstance(found, list) else found == condition

        limits = wanted.get("limits", {})
        start, count = limits.get("skip", 0), limits.get("limit", 100)
        with self.lock:
            rows = [d for d in self.datasets.values() if self.readable(d, who)]
        rows = [d for d in rows if all(fits(value(d, k), c) for k, c in wanted.get("where", {}).items())]
        if limits.get("order") == "creationTime:desc":
            rows.sort(key=lambda d: d["creationTime"], reverse=True)
        return rows[start : start + count]

    def one(self, method: str, pid: str, part: str | None, who: Account | None, body: Any) -> tuple[int, Any]:
        if pid not in self.datasets:
            raise Problem(404, f"dataset: {pid} not found")
        dataset = self.datasets[pid]
        if method == "GET":
            if not self.readable(dataset, who):
                raise Problem(403, "Unauthorized access")
            shown = {
                None: dataset,
                "origdatablocks": self.blocks.get(pid, []),
                "attachments": self.pictures.get(pid, []),
            }
            return 200, shown[part]
        if who is None or not (who.privileged or dataset["ownerGroup"] in who.groups):
            raise Problem(403, "Unauthorized access")
        if part == "attachments":
            needed = {"ownerGroup", "caption"}
            if set(body) - needed - {"accessGroups", "thumbnail"} or not needed <= set(body):
                raise Problem(400, "bad attachment")
            self.pictures[pid].append(body)
            return 201, body
        if set(body) - {"size", "chkAlg", "dataFileList"} or not body["dataFileList"]:
            raise Problem(400, "bad block")
        with self.lock:
            self.blocks[pid].append({**body, "_id": str(uuid.uuid4()), "datasetId": pid})
            dataset["size"] += body["size"]
            dataset["numberOfFiles"] += len(body["dataFileList"])
            dataset["updatedAt"] = iso(self.now())
        return 201, body

    def job(self, who: Account | None, body: dict[str, Any]) -> tuple[int, Any]:
        if who is None:
            raise Problem(403, "Forbidden resource")
        if body["type"] not in ("archive", "retrieve"):
            raise Problem(400, "Invalid job type")
        if body["type"] == "retrieve" and not any(job["type"] == "archive" for job in self.jobs):
            raise Problem(400, "The dataset isn't retrievable")
        self.jobs.append({**body, "id": str(uuid.uuid4())})
        return 201, self.jobs[-1]


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)


@contextmanager
def serving(backend: Backend | None = None) -> Iterator[Backend]:
    """Serve a backend on a free loopback port."""
    backend = backend or Backend()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # header and body in one packet, else each answer waits for an acknowledgement

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = self.rfile.read(length)
            body = json.loads(content) if content else None
            with backend.lock:
                backend.requests.append((self.command, urlsplit(self.path).path, body))
            try:
                if backend.fault:
                    backend.fault(backend, self.command, self.path, False)
                if length > 16_000_000:
                    raise Problem(500, "Internal server error")
                status, said = backend.handle(self.command, self.path, self.headers.get("Authorization", ""), body)
                if backend.fault:
                    backend.fault(backend, self.command, self.path, True)
                extra: dict[str, str] = {}
            except Problem as problem:
                status, said, extra = problem.status, {"message": problem.message}, problem.headers
            except Cut:
                self.close_connection = True
                self.connection.close()
                return
            text = json.dumps(said).encode()
            self.send_response_only(status)
            for name, value in {"Date": formatdate(backend.now(), usegmt=True), **extra}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            self.wfile.flush()

        do_GET = do_POST = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    backend.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield backend
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def every(nth: int, error: Exception) -> Fault:
    """Make every n-th request fail before the server acts on it."""
    numbers = itertools.count(1)

    def fault(backend: Backend, method: str, path: str, after: bool) -> None:
        if not after and next(numbers) % nth == 0:
            raise error

    return fault


def once(matching: str, error: Exception, after: bool, method: str = "POST") -> Fault:
    """Make the first request to a route fail, before or after the server acts on it."""
    left = [1]

    def fault(backend: Backend, asked: str, path: str, done: bool) -> None:
        if asked == method and done == after and re.search(matching, path) and left[0]:
            left[0] = 0
            raise error

    return fault
