"""A result: where it is, what made it, and what was measured on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Raw:
    """The raw scan that a result comes from.

    Attributes
    ----------
    name : str
        Name of the scan.
    files : tuple of Path
        Absolute; the file that was opened first, then what its links reach.
    identity : str
        64 hex digits; `hpcdaas.run.raw_identity`.
    metadata : mapping
        What the file says of sample, proposal, times ...
    technique, format : str
        For example ``tomography``, ``nxtomo``.
    shape : tuple of int
        (angles, rows, columns).
    """

    name: str
    files: tuple[Path, ...]
    identity: str
    metadata: Mapping[str, Any]
    technique: str
    format: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes
    ----------
    path : Path
        The result file, absolute.
    run : str
        Identity of the run, 64 hex digits.
    raw : Raw
        What it comes from.
    recipe : mapping
        The resolved recipe: ``{"name", "scan", "step": [...]}``, all parameters.
    shape : tuple of int
        Of the main dataset.
    started, ended : datetime
        UTC.
    seconds : mapping
        Wall time by stage.
    peak_memory_bytes : int
        Largest resident memory.
    metrics : mapping
        Numbers found on the way: plain numbers, or {"value", "unit"}.
    pid : str or None
        In the catalogue; None while it waits for registration.
    existed : bool
        True where this run's result was there already and nothing was done.
    """

    path: Path
    run: str
    raw: Raw
    recipe: Mapping[str, Any]
    shape: tuple[int, ...]
    started: datetime
    ended: datetime
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    pid: str | None = None
    existed: bool = False
