"""A process that answers questions one at a time, and that its parent may lose: it hangs or dies, and nothing else."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

from hpcdaas.errors import HpcdaasError

#: Seconds that a process may take to start: importing over a network takes long at times.
START = 120.0
_LENGTH = struct.Struct("<Q")
_PR_SET_PDEATHSIG = 1


class LostError(HpcdaasError):
    """The process ended without an answer."""


class Child:
    """A process that calls a function for us.

    Parameters
    ----------
    function : callable
        Of a module, or a method of an object; travels by pickle, once.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        # Without the parent's main thread nobody would end a child that is stuck in an open.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        program = f"from hpcdaas.cluster.scans.child import serve; serve({parent})"
        # A process and not a thread, and no fork: one that hangs in the kernel can only be left behind, and the
        # parent has threads. A session of its own: Ctrl-C is for the parent, which ends its children.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._in, self._out = self.process.stdin, self.process.stdout
        assert self._in is not None
        assert self._out is not None
        os.set_blocking(self._out.fileno(), False)
        os.set_blocking(self._in.fileno(), False)
        self._buffer = bytearray()
        self._started = time.monotonic()
        self._asked = 0.0
        self.ready = self.busy = False
        self._write(function)

    def fileno(self) -> int:
        """Descriptor that can be read when there is an answer."""
        assert self._out is not None
        return self._out.fileno()

    def ask(self, *arguments: Any) -> None:
        """Ask for a call; the child must not be busy. Never blocks; a child that is gone is noticed by `answer`."""
        self.busy, self._asked = True, time.monotonic()
        self._write(arguments)

    def _write(self, content: Any) -> None:
        assert self._in is not None
        data = pickle.dumps(content)
        with suppress(OSError):  # a pipe has room for a question; if not, nobody reads, and time runs out
            os.write(self._in.fileno(), _LENGTH.pack(len(data)) + data)

    def answer(self) -> tuple[Any, Exception | None] | None:
        """Give (value, error) of the question, or None while there is no answer.

        Raises
        ------
        LostError
            If the process has ended, with the last line that it wrote.
        """
        ended = self._read()
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if len(self._buffer) < _LENGTH.size + length:
                break
            content = pickle.loads(self._buffer[_LENGTH.size : _LENGTH.size + length])
            del self._buffer[: _LENGTH.size + length]
            if not self.ready:
                self.ready = True
                self._asked = max(self._asked, time.monotonic()) if self.busy else 0.0
                continue
            self.busy = False
            value, error = content
            return value, error
        if ended:
            raise LostError(f"The process ended: {self.last_words()}")
        return None

    def _read(self) -> bool:
        """Take in what was written; say whether the other end is closed."""
        while True:
            try:
                data = os.read(self.fileno(), 1 << 20)
            except BlockingIOError:
                return False
            if not data:
                return True
            self._buffer += data

    def late(self, timeout: float) -> bool:
        """Say whether an answer, or the start, takes longer than it may."""
        if not self.ready:
            return time.monotonic() - self._started > max(START, timeout)
        return self.busy and time.monotonic() - self._asked > timeout

    def last_words(self) -> str:
        """Give the last line of the process's standard error."""
        self._log.seek(0)
        lines = self._log.read()[-4096:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it was killed"

    def kill(self) -> None:
        """End it at once; `gone` says whether that worked."""
        for pipe in (self._in, self._out):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._log.close()
        self.process.kill()

    def gone(self, wait: float = 0.0) -> bool:
        """Say whether the process has ended; one that hangs in the kernel can't, until its file system answers."""
        try:
            self.process.wait(wait or 0.001)
        except subprocess.TimeoutExpired:
            return False
        return True


def wait_for(children: list[Child], seconds: float) -> None:
    """Sleep until one of the children has something to say, at most some seconds."""
    poll = select.poll()  # select.select knows no descriptors above 1023
    for child in children:
        poll.register(child.fileno(), select.POLLIN)
    poll.poll(max(0.0, seconds) * 1000)


def serve(parent: int) -> None:
    """Be the child: call the function that comes first with the arguments that come then, until the pipe ends."""
    if parent:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get among the answers
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        function = _receive(incoming)
        _send(outgoing, True)
        while True:
            _send(outgoing, _called(function, _receive(incoming)))


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return function(*arguments), None
    except HpcdaasError as error:
        return None, error
    except Exception as error:  # it may be of a class that can't travel
        return None, HpcdaasError(f"{type(error).__name__}: {error}")


def _receive(stream: BinaryIO) -> Any:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    return pickle.loads(stream.read(length))


def _send(stream: BinaryIO, content: Any) -> None:
    data = pickle.dumps(content)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()
