"""Keep one daemon: start it, and end it and all that came from it when standard input ends, however that happens.

Run as ``python keeper.py LOG COMMAND...``; says the daemon's process id on standard output. What a daemon leaves behind
when it ends (a job's processes, after a node's daemon was killed) stays with its keeper.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

#: Of Linux's prctl: a signal when the parent ends; orphans of all generations become children of this process.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def children(pid: int) -> list[int]:
    """Give the processes that a process has started, or taken over."""
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """Give all that came from a process."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        new = children(waiting.pop())
        found += new
        waiting += new
    return found


def kill(pids: list[int]) -> None:
    """End processes at once."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def reap() -> None:
    """Forget children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_all(daemon: int, grace: float = 3.0) -> None:
    """End the daemon, politely at first, then all that is left of it."""
    with suppress(ProcessLookupError):
        os.kill(daemon, signal.SIGTERM)
    patience = time.monotonic() + grace
    while time.monotonic() < patience and daemon in children(os.getpid()):
        time.sleep(0.02)
        reap()
    for _ in range(500):  # a process may start others while it is being killed
        reap()
        left = descendants(os.getpid())
        if not left:
            return
        kill(left)
        time.sleep(0.01)


def main(log: str, command: list[str]) -> None:
    """Start a daemon and keep it."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with Path(log).open("ab") as file:
        daemon = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),
        )
    signal.signal(signal.SIGCHLD, lambda *_: reap())
    print(daemon.pid, flush=True)
    while os.read(0, 1):
        pass
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_all(daemon.pid)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
