"""Where results go: the names that ``-o TEMPLATE`` stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from hpcdaas.errors import InputError, nearest

#: What a template may use.
WORDS = ("proposal", "folder", "scan", "recipe", "run8")
#: Where the template is a folder.
NAME = "{scan}_{recipe}_{run8}.h5"
#: A scan without a proposal.
UNKNOWN = "unknown"


def complete(template: str) -> str:
    """Check a template, and give the file's name to one that is a folder.

    Raises
    ------
    InputError
        If it uses an unknown word, or would give all scans one name.
    """
    if template.endswith("/") or Path(template).is_dir():
        template = f"{template.rstrip('/')}/{NAME}"
    words = re.findall(r"\{(.*?)\}", template)
    unknown = next((word for word in words if word not in WORDS), None)
    if unknown is not None:
        raise InputError(f"-o {template} uses {{{unknown}}}.", nearest(unknown, WORDS))
    fixed = Path(template.split("{", 1)[0] + "_").parent
    if not fixed.is_dir():
        raise InputError(f"There is no folder {fixed}.", "Make it, or choose another -o.")
    return os.fspath(Path(template).absolute())


def check_many(template: str, scans: int = 2, recipes: int = 1) -> None:
    """Refuse a template that gives several runs one name.

    Parameters
    ----------
    template : str
    scans, recipes : int, optional
        How many there are, or may come.

    Raises
    ------
    InputError
        If there are several scans, and neither ``{scan}`` nor ``{run8}`` is in it; or several recipes, and neither
        ``{recipe}`` nor ``{run8}`` is.
    """
    used = set(re.findall(r"\{(.*?)\}", template))
    for word, count in (("scan", scans), ("recipe", recipes)):
        if count > 1 and not {word, "run8"} & used:
            raise InputError(f"-o {template} gives all {word}s the same result.", f"Use words: {NAME}.")


def fill(template: str, words: Mapping[str, str]) -> Path:
    """Give the place of a result.

    Parameters
    ----------
    template : str
        See `complete`.
    words : mapping
        For ``{proposal} {folder} {scan} {recipe} {run8}``. They come from files and may hold anything:
        what is put in is one part of a path, and never leads out of the folder.

    Returns
    -------
    Path
    """
    safe = {key: _part(value) for key, value in words.items()}
    return Path(re.sub(r"\{(\w+)\}", lambda found: safe[found.group(1)], template))


def _part(text: str) -> str:
    """Make a word one harmless part of a path: no separator, no control code, no dot at the start."""
    kept = "".join("_" if c == "/" or not c.isprintable() else c for c in text.strip())
    return re.sub(r"^\.+", "_", kept)[:150] or UNKNOWN
