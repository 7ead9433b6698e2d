"""What a check of ``hpcdaas doctor`` has found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["ok", "missing", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes
    ----------
    state : str
        ``ok``; ``missing``: optional, and not there; ``wrong``: there, and it doesn't work.
    found : str
        What is there, one line.
    next : str
        What to do where it isn't fine.
    name : str
        What was looked at.
    """

    state: State
    found: str
    next: str = ""
    name: str = ""

    def named(self, name: str) -> Finding:
        """Give the same finding with a name."""
        return replace(self, name=name)

    def as_json(self) -> dict[str, str]:
        """Give it for ``--json``."""
        return {"name": self.name, "state": self.state, "found": self.found, "next": self.next}


def ok(found: str) -> Finding:
    """It is there and works."""
    return Finding("ok", found)


def missing(found: str, then: str) -> Finding:
    """It is optional and not there."""
    return Finding("missing", found, then)


def wrong(found: str, then: str) -> Finding:
    """It doesn't work."""
    return Finding("wrong", found, then)
