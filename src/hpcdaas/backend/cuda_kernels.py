"""Where the kernels are, and their text as a compiler is given it."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import hpcdaas
from hpcdaas.errors import HpcdaasError

_INCLUDE = re.compile(r'^#include "(\w+\.h)"$')


@lru_cache(maxsize=1)
def folder() -> Path:
    """Find the folder of kernels: beside the package in a checkout, in it where it is installed.

    Raises
    ------
    HpcdaasError
        If there is none.
    """
    package = Path(hpcdaas.__file__).resolve().parent
    for place in (package.parents[1] / "kernels", package / "kernels"):
        if (place / "element.h").is_file():
            return place
    raise HpcdaasError(f"The kernels are neither in {package} nor beside it.", "Install hpcdaas again.")


def source(name: str, place: Path | None = None) -> str:
    """Give the text of a kernel with its headers in it, each once; lines keep their names and numbers in messages.

    A compiler that keeps what it has compiled by the text alone notices this way when a header has changed.

    Parameters
    ----------
    name : str
        Of the file, without ``.cu``.
    place : Path, optional
        Folder; default: that of the package's kernels.
    """
    return "\n".join(_lines(place or folder(), f"{name}.cu", set())) + "\n"


def _lines(place: Path, name: str, known: set[str]) -> list[str]:
    known.add(name)
    out = [f'#line 1 "{name}"']
    for number, line in enumerate((place / name).read_text().splitlines(), 1):
        included = _INCLUDE.match(line)
        if included is None:
            out.append("" if line == "#pragma once" else line)
        elif included[1] not in known:
            out += [*_lines(place, included[1], known), f'#line {number + 1} "{name}"']
        else:
            out.append("")
    return out
