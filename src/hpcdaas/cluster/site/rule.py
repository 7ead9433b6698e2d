"""Which files of a watched folder are scans, and what shows that one is finished. Data only, nothing in it is run."""

from __future__ import annotations

import glob
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from hpcdaas.errors import InputError
from hpcdaas.params import Parameters, Time, explain

#: Words that `Rule.done` may use.
WORDS = ("name", "stem", "folder")
_WORD = re.compile(r"\{([^{}]*)\}")


class Rule(Parameters):
    """What one detector's scans look like: a table ``[[detector]]``.

    A pattern of `files` or `skip` without a slash is about a name, at any depth; one with a slash is
    about the whole path below the watched folder, where ``**`` stands for any folders. One that ends
    with a slash means folders, for scans of many TIFF files.
    """

    name: str = Field("any", min_length=1, description="what messages call it")
    files: tuple[str, ...] = Field(
        ("*.h5", "*.hdf5", "*.nxs", "*.cxi", "*.ptyd"), min_length=1, description="patterns of the files that are scans"
    )
    skip: tuple[str, ...] = Field(
        ("*_data_[0-9]*.h5",), description="patterns of files that are none, for example those that a master links to"
    )
    done: str | None = Field(
        None,
        min_length=1,
        description="pattern of a file that shows that a scan is finished, from the scan's folder; knows {name}, "
        "{stem} and {folder}, the name of that folder",
    )
    frames: int | str | None = Field(
        None, description="frames that a scan has: a number, or where in the file it stands; default: as the file says"
    )
    data: str | None = Field(None, description="where the frames are in a file without a known layout")
    quiet: Time = Field(5.0, ge=0, description="how long nothing must have changed")
    give_up: Time = Field(3600.0, gt=0, description="how long after the last change an incomplete scan ends as partial")
    blank: bool = Field(False, description="whether the last frame may be empty, as darks of a counting detector are")

    @field_validator("files", "skip")
    @classmethod
    def _relative(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not pattern.strip("/"):
                raise ValueError("a pattern names something")
            if pattern.startswith("/") or ".." in pattern.split("/"):
                raise ValueError("patterns are relative to the watched folder, and don't lead out of it")
        return patterns

    @field_validator("done")
    @classmethod
    def _known_words(cls, done: str | None) -> str | None:
        if done is not None and done.startswith("/"):
            raise ValueError("a pattern begins at the scan's folder; '..' leads out of it")
        for word in _WORD.findall(done or ""):
            if word not in WORDS:
                raise ValueError(f"'{{{word}}}' isn't known; known are {{name}}, {{stem}} and {{folder}}")
        return done

    @field_validator("frames", mode="before")
    @classmethod
    def _number_or_place(cls, frames: Any) -> Any:
        if isinstance(frames, bool) or (isinstance(frames, int) and frames < 1):
            raise ValueError("a number of frames is at least 1")
        if isinstance(frames, str) and not frames.strip("/"):
            raise ValueError("a path in the file names a dataset")
        return frames

    def matches(self, relative: str, folder: bool = False) -> bool:
        """Say whether a path below the watched folder is a scan by its name.

        Parameters
        ----------
        relative : str
            From the watched folder, with slashes.
        folder : bool, optional
            Whether it is a folder.
        """
        if any(part.startswith(".") or part.endswith(".partial") for part in relative.split("/")):
            return False  # temporary names of copies, and results in the making
        if relative.endswith(".record.json"):
            return False
        wanted, unwanted = _expressions(self.files, folder), _expressions(self.skip, folder)
        return bool(wanted and wanted.match(relative)) and not (unwanted and unwanted.match(relative))

    def finished(self, path: Path) -> bool:
        """Say whether the file that `done` speaks of is there; True without such a pattern."""
        if self.done is None:
            return True
        words = {"name": path.name, "stem": path.stem, "folder": path.absolute().parent.name}
        pattern = _WORD.sub(lambda word: glob.escape(words[word.group(1)]), self.done)
        return any(path.absolute().parent.glob(pattern))


@lru_cache(256)
def _expressions(patterns: tuple[str, ...], folder: bool) -> re.Pattern[str] | None:
    """One expression for all patterns about files, or about folders."""
    chosen = [_translated(pattern.rstrip("/")) for pattern in patterns if pattern.endswith("/") == folder]
    return re.compile("|".join(chosen), re.DOTALL) if chosen else None


def _translated(pattern: str) -> str:
    parts = pattern.split("/") if "/" in pattern else ["**", pattern]
    text = ""
    for part in parts[:-1]:
        text += "(?:[^/]*/)*" if part == "**" else f"{_part(part)}/"
    return f"(?:{text}{'.*' if parts[-1] == '**' else _part(parts[-1])})\\Z"


def _part(part: str) -> str:
    """Translate a pattern of one name: ``*``, ``?``, ``[...]``."""
    text = ""
    for piece in re.findall(r"\[!?[^\]]+\]|.", part, re.DOTALL):
        if len(piece) > 1:
            negated = piece[1] == "!"
            inside = piece[1 + negated : -1].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            text += f"[{'^/' if negated else ''}{inside}]"
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
    return text


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read rules from a TOML file of their own, which holds ``[[detector]]`` tables.

    Raises
    ------
    InputError
        If it can't be read, is no TOML, holds an unknown key, or a value can't be.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"The rules {path} can't be read: {reason}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The rules {path} are no TOML: {error}.") from error
    tables = content.pop("detector", None)
    if content or not isinstance(tables, list) or not tables:
        raise InputError(f"The rules {path} hold something else than [[detector]] tables.", "Begin with [[detector]].")
    return tuple(parse_rule(table, f"[[detector]] number {number} of {path}") for number, table in enumerate(tables, 1))


def parse_rule(table: Mapping[str, Any], where: str) -> Rule:
    """Check one table; raises as `load_rules`."""
    try:
        return Rule.model_validate(table)
    except ValidationError as error:
        raise explain(error, where, Rule) from None
