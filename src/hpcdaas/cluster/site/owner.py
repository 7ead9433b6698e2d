"""Whose a scan is: rules of the site file from its path to proposal, group, account and the folders it may reach."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from pydantic import Field, field_validator

from hpcdaas.errors import InputError
from hpcdaas.params import Parameters


class Asked(Parameters):
    """What SLURM is asked with for a job: left out where nobody says."""

    account: str | None = Field(None, description="whose hours are used")
    qos: str | None = Field(None, description="quality of service")
    reservation: str | None = Field(None, description="reservation")

    def options(self) -> dict[str, str]:
        """Give what is said, by sbatch's names."""
        return {name: value for name in Asked.model_fields if (value := getattr(self, name))}


class Owner(Asked):
    """A rule: scans whose path matches `pattern` belong to somebody.

    In `pattern`, ``{word}`` is one part of a path, ``*`` anything in one part, ``**`` anything. The
    words may be used in the other fields: ``pattern = "/data/{proposal}/**"``, ``group = "p{proposal}"``.
    """

    pattern: str = Field(description="of a scan's path, links resolved")
    proposal: str | None = Field(None, description="proposal")
    owner: str | None = Field(None, description="person, for the catalogue")
    group: str | None = Field(None, description="owner group, in the catalogue and for quotas")
    access_groups: tuple[str, ...] = Field((), description="groups that may read in the catalogue")
    contact_email: str | None = Field(None, description="for the catalogue")
    roots: tuple[str, ...] = Field(
        min_length=1, description="folders under which all files must lie that a scan reaches"
    )

    @field_validator("pattern")
    @classmethod
    def _absolute(cls, pattern: str) -> str:
        if not pattern.startswith("/"):
            raise ValueError("a pattern begins with /")
        try:
            _expression(pattern)
        except re.error as error:
            raise ValueError("words in {} are letters, digits and _, each once") from error
        return pattern

    def of(self, path: Path) -> Owner | None:
        """Give this rule with its words filled in for a scan, or None where it says nothing about it.

        Raises
        ------
        InputError
            If a field uses a word that the pattern lacks.
        """
        found = _expression(self.pattern).fullmatch(os.fspath(path))
        if found is None:
            return None
        content = {key: _filled(value, found.groupdict()) for key, value in self.model_dump().items()}
        return Owner.model_validate(content | {"pattern": self.pattern})

    def check_roots(self, files: Iterable[Path]) -> None:
        """Refuse a scan that reaches files outside of its folders.

        Raises
        ------
        InputError
            If one of the files, links resolved, lies elsewhere.
        """
        roots = [Path(os.path.realpath(root)) for root in self.roots]
        for file in files:
            real = Path(os.path.realpath(file))
            if not any(real.is_relative_to(root) for root in roots):
                raise InputError(
                    f"The scan reaches {real}, which is outside of {', '.join(map(str, roots))}.",
                    "Its owner may only use files there: see [[owner]] in the site file.",
                )


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\}|\*\*|\*)", pattern)
    kinds = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(_part(part, kinds) for part in parts), re.DOTALL)


def _part(part: str, kinds: Mapping[str, str]) -> str:
    if part.startswith("{") and part.endswith("}"):
        return f"(?P<{part[1:-1]}>[^/]+)"
    return kinds.get(part) or re.escape(part)


def _filled(value: str | tuple[str, ...] | None, words: Mapping[str, str]) -> str | tuple[str, ...] | None:
    if isinstance(value, tuple):
        return tuple(str(_filled(item, words)) for item in value)
    if value is None:
        return None
    try:
        return re.sub(r"\{(\w+)\}", lambda found: words[found.group(1)], value)
    except KeyError as error:
        raise InputError(f"The site file uses {{{error.args[0]}}} in an [[owner]] whose pattern lacks it.") from None
