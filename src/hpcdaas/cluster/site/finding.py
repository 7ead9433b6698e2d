"""What a check has found: of a site file, of this machine, of a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line for people.

    Attributes
    ----------
    name : str
        What was looked at.
    state : str
        ``ok``; ``note``: optional and not there, or it couldn't be looked at; ``wrong``: something is to be done.
    found : str
        What is there, one line.
    then : str
        What to do where it isn't fine.
    """

    name: str
    state: State
    found: str
    then: str = ""

    def as_json(self) -> dict[str, str]:
        """Give it for ``--json``."""
        return {"name": self.name, "state": self.state, "found": self.found, "next": self.then}


def ok(name: str, found: str) -> Finding:
    """It is there and works."""
    return Finding(name, "ok", found)


def note(name: str, found: str, then: str = "") -> Finding:
    """It isn't there and needn't be, or nobody could tell."""
    return Finding(name, "note", found, then)


def wrong(name: str, found: str, then: str = "") -> Finding:
    """It doesn't work."""
    return Finding(name, "wrong", found, then)
