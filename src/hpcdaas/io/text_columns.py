"""Columns of numbers in text, CSV and SPEC files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError


@dataclass(frozen=True)
class Columns:
    """Numbers by row and column.

    Attributes
    ----------
    labels : tuple of str
        One per column; () where the file names none.
    numbers : ndarray, (row, column), float64
    """

    labels: tuple[str, ...]
    numbers: NDArray[np.float64]


def read_columns(path: Path, scan: str = "") -> Columns:
    """Read a file of columns.

    Parameters
    ----------
    path : Path
        Numbers parted by blanks, commas, semicolons or tabs; the last line before them may name the columns.
        SPEC files (lines ``#S`` and ``#L``) hold several scans.
    scan : str, optional
        Number of the scan in a SPEC file.

    Raises
    ------
    InputError
        If it is no text, rows differ in length, or it isn't clear which scan is meant.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"scan.positions: {path} is neither text, nor NumPy, nor HDF5.") from error
    if any(line.startswith("#S ") for line in lines):
        lines = _scan_of(lines, scan, path)
    heading, width = "", 0
    numbers: list[list[float]] = []
    for count, line in enumerate(lines, 1):
        content = line.strip()
        values = _numbers(content.partition("#")[0])
        if values is None or not values:
            if numbers and content and not content.startswith("#"):
                raise InputError(f"scan.positions: line {count} of {path.name} ('{content[:40]}') holds no numbers.")
            heading = content if content and not numbers else heading
            continue
        width = width or len(values)
        if len(values) != width:
            raise InputError(f"scan.positions: rows of {path.name} have {width} and {len(values)} columns.")
        numbers.append(values)
    if not numbers:
        raise InputError(f"scan.positions: {path} holds no numbers.")
    return Columns(_labels(heading, width), np.array(numbers, np.float64))


def _scan_of(lines: list[str], scan: str, path: Path) -> list[str]:
    """Give the lines of one scan of a SPEC file."""
    starts = [place for place, line in enumerate(lines) if line.startswith("#S ")]
    names = ["".join(lines[place].split()[1:2]) for place in starts]
    wanted = scan.split(":")[0] if scan.split(":")[0].isdigit() else ""
    if wanted not in names and (wanted or len(names) > 1):
        what = f"no scan {wanted}" if wanted else f"{len(names)} scans"
        known = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        raise InputError(
            f"scan.positions: {path} holds {what}; there are {known}.", "Say which: -s scan.positions=FILE:NUMBER."
        )
    place = starts[names.index(wanted)] if wanted else starts[0]
    end = next((start for start in starts if start > place), len(lines))
    within = lines[place:end]
    label = [line for line in within if line.startswith("#L")]
    return label + [line for line in within if not line.startswith(("#", "@"))]


def _numbers(content: str) -> list[float] | None:
    """Give the numbers of a line; None where something is none."""
    words = content.replace(",", " ").replace(";", " ").split()
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _labels(heading: str, width: int) -> tuple[str, ...]:
    """Split the line that names the columns in the way that gives one name for each; () where none does."""
    content = (heading[2:] if heading.startswith("#L") else heading.lstrip("#%")).strip()
    for labels in (
        *(content.split(mark) for mark in (",", ";", "\t")),
        re.split(r" {2,}", content),  # SPEC: names hold single blanks
        re.sub(r"\s+([\(\[])", r"\1", content).split(),
    ):
        if len(labels) == width and width > 1:
            return tuple(label.strip().strip("\"'") for label in labels)
    return ()
