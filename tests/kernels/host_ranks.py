"""The backend of a rank that a test started: kernels on the host, compiled in a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from host_device import Compiler, HostBackend, HostDevice


@contextmanager
def make_backend() -> Iterator[HostBackend]:
    with tempfile.TemporaryDirectory() as target:
        yield HostBackend(HostDevice(Compiler(Path(target))))
