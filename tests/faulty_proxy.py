"""Stands between a client and a served catalogue, over real HTTP, and breaks what a test wants broken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from scicat_server import Cut, Problem

#: Told of the proxy, method, target and whether the server has answered; may raise `Problem` or `Cut`, or wait.
Fault = Callable[[Any, str, str, bool], None]

_PASSED = ("content-type", "authorization", "accept")


@dataclass
class Proxy:
    """Where it is, what it breaks, and what went through it: method, target, headers."""

    url: str = ""
    fault: Fault | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def posts(self, ending: str) -> int:
        return sum(method == "POST" and target.endswith(ending) for method, target, _ in self.requests)


@contextmanager
def between(server: str) -> Iterator[Proxy]:
    """Forward to a server from a free loopback port."""
    proxy = Proxy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            proxy.requests.append((self.command, self.path, dict(self.headers.items())))
            try:
                self.broken(after=False)
                headers = {name: self.headers[name] for name in _PASSED if name in self.headers}
                # the target as it came: a pid's slash stays escaped
                url = client.base_url.copy_with(raw_path=self.path.encode())
                answer = client.send(client.build_request(self.command, url, content=body, headers=headers))
                self.broken(after=True)
                self.answer(answer.status_code, answer.content, {"Date": answer.headers["date"]})
            except Problem as problem:
                self.answer(problem.status, b'{"message": "broken"}', problem.headers)
            except Cut:
                self.close_connection = True
                self.connection.close()

        def broken(self, after: bool) -> None:
            if proxy.fault:
                proxy.fault(proxy, self.command, self.path, after)

        def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = forward  # noqa: N815

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
    with httpx.Client(base_url=server, timeout=120, trust_env=False) as client:
        thread.start()
        proxy.url = f"http://127.0.0.1:{listening.server_address[1]}"
        try:
            yield proxy
        finally:
            listening.shutdown()
            thread.join()
            listening.server_close()
