"""The backend of a rank that a test started: on a GPU, which ranks may share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hpcdaas.backend import Backend, get_backend


@contextmanager
def make_backend() -> Iterator[Backend]:
    yield get_backend("cuda")
