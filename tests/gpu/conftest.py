"""Tests on a GPU: the same as those of the other backends; without one they are skipped and say why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # what the tests of other backends use

from hpcdaas.backend import get_backend
from hpcdaas.errors import InputError


@pytest.fixture(scope="session")
def gpu():
    """Give the backend of a GPU."""
    try:
        return get_backend("cuda")
    except InputError as error:
        pytest.skip(f"{error.message} {error.hint}")
