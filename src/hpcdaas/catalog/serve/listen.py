"""Listens until it is told to stop."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from hpcdaas.errors import HpcdaasError, InputError

#: How long to wait at the end for answers that are on their way, seconds.
_GRACE = 5
#: How long to wait for a server to start, seconds.
_START = 30


def open_socket(host: str, port: int) -> socket.socket:
    """Take an address and a port; port 0 means a free one.

    Raises
    ------
    InputError
        If it can't be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # the protocol is named: of sockets without it asyncio doesn't turn off Nagle's algorithm, and an answer's
        # body then waits 40 ms for the head to be acknowledged
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{host} port {port} can't be listened on: {reason}.", "Give another --port or --host."
        ) from error
    return listening


def listen(
    app: FastAPI, listening: socket.socket, ready: Callable[[], None], tls: tuple[str, str] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    app : FastAPI
    listening : socket.socket
        Bound; closed at the end.
    ready : callable
        Called when requests are answered.
    tls : (str, str), optional
        Files of certificate and key.
    """
    _server(app, ready, tls).run(sockets=[listening])


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve on loopback, at a free port, from a thread of this process, as long as the context lasts.

    Yields
    ------
    str
        The address, such as ``http://127.0.0.1:41234``.

    Raises
    ------
    HpcdaasError
        If the server doesn't start.
    """
    listening, ready = open_socket("127.0.0.1", 0), threading.Event()
    server = _server(app, ready.set)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        if not ready.wait(_START):
            raise HpcdaasError("The catalogue can't be served.")
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(2 * _GRACE)


def _server(app: FastAPI, ready: Callable[[], None], tls: tuple[str, str] | None = None) -> _Server:
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=_GRACE, timeout_keep_alive=30, h11_max_incomplete_event_size=64 * 1024,
        ssl_certfile=certificate, ssl_keyfile=key,
    )  # fmt: skip
    return _Server(config, ready)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End well at a signal, instead of sending it to oneself once more afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
