"""The recipes that scans are to be reconstructed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcdaas.errors import InputError
from hpcdaas.recipe import load_recipe


@dataclass(frozen=True)
class Asked:
    """A recipe that is asked for.

    Attributes
    ----------
    file : Path or None
        None: the default of the technique.
    name : str
    priority : int
        Higher goes first.
    """

    file: Path | None
    name: str
    priority: int


def asked(files: Sequence[Path]) -> list[Asked]:
    """Load recipes, so that a wrong one is found before work starts.

    Raises
    ------
    InputError
        If one is refused, or two have one name.
    """
    found = [Asked(file.absolute(), load_recipe(file).name, -place) for place, file in enumerate(files)]
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"Two recipes are called '{twice}'.", "Give one of them another name = ...")
    return found or [Asked(None, "default", 0)]
