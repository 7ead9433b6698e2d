"""A lease: a file that one process at a time holds, and that says which one."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Seconds between renewals of a lease, and after which one of another host has expired.
RENEW, EXPIRED = 20.0, 120.0


class Held(Exception):
    """Another process holds the lease; `holder` says ``host``, ``pid``, ``job`` where they are known."""

    def __init__(self, holder: dict[str, Any]) -> None:
        super().__init__(f"process {holder.get('pid', '?')} on {holder.get('host', 'this host')}")
        self.holder = holder


class Lease:
    """A file that is locked and says who holds it.

    A lock ends with its process, however that ends. Where locks don't reach, on other hosts, the
    file's time tells whether its holder lives: it is renewed, and too old a time counts as expired.

    Parameters
    ----------
    path : Path
        The file; its folder has to be there.
    token : str, optional
        Tells this holder from all others. Default: random.

    Raises
    ------
    Held
        If another process holds it.
    FileNotFoundError
        If the folder isn't there, or was removed meanwhile: try again.
    OSError
        If the file can't be written.
    """

    def __init__(self, path: Path, token: str = "") -> None:
        self.path, self.token = path, token or uuid.uuid4().hex
        self._ended = threading.Event()
        self._descriptor = self._take()
        threading.Thread(target=self._renew, name="lease", daemon=True).start()

    def _take(self) -> int:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino != self.path.stat().st_ino:
                raise FileNotFoundError(self.path)
            self._refuse_other_host(descriptor)
            holder = {"host": socket.gethostname(), "pid": os.getpid(), "token": self.token}
            holder["job"] = os.environ.get("SLURM_JOB_ID", "")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            os.fsync(descriptor)
        except BlockingIOError:
            found = _holder(descriptor)
            os.close(descriptor)
            raise Held(found) from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _refuse_other_host(self, descriptor: int) -> None:
        found = _holder(descriptor)
        job = os.environ.get("SLURM_JOB_ID")
        if job and found.get("job") == job:  # queued again: what held it has ended with the node
            return
        age = time.time() - os.fstat(descriptor).st_mtime
        if found and found.get("host") != socket.gethostname() and not found.get("ended") and age < EXPIRED:
            raise Held(found)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW):
            with suppress(OSError):  # a file system that is away for a moment: `held` tells when it matters
                os.utime(self._descriptor)

    def held(self) -> bool:
        """Say whether the lease is still ours."""
        return bool(read_holder(self.path).get("token") == self.token)

    def release(self) -> None:
        """Give the lease back; once is enough."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self.held():
            with suppress(OSError):  # the disk is full: a lease that says nothing is nobody's
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, json.dumps({"host": socket.gethostname(), "ended": True}).encode(), 0)
        os.close(self._descriptor)


def end(path: Path, job: str) -> None:
    """End the lease of a job that is gone, as SLURM says: nobody has to wait until it expires."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = _holder(descriptor)
            if found.get("job") == job:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({**found, "ended": True}).encode(), 0)
        finally:
            os.close(descriptor)


def read_holder(path: Path) -> dict[str, Any]:
    """Say who held a lease last; nothing where nobody did. Locks are not asked."""
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _holder(descriptor: int) -> dict[str, Any]:
    return _parsed(os.pread(descriptor, 4096, 0))


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
