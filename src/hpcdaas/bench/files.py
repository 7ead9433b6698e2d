"""Reads what the benchmark and the scripts in `benchmarks/` have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hpcdaas.errors import InputError

#: Without these a file is none of ours.
NEEDED = ("benchmark", "machine", "figures")


def load(path: Path) -> dict[str, Any]:
    """Read a file of figures; ``file`` is added, its name.

    Raises
    ------
    InputError
        If it can't be read, or is something else.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}.", "'hpcdaas bench -o FILE' writes one.") from error
    whole = isinstance(found, dict) and all(name in found for name in NEEDED)
    if not whole or not all(isinstance(f, dict) and {"name", "value", "unit"} <= f.keys() for f in found["figures"]):
        raise InputError(f"{path} holds no figures of a benchmark.", "'hpcdaas bench -o FILE' writes some.")
    found["file"] = path.name
    return found
