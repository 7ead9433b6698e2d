"""Datasets as the pages show them: words, numbers and units for people."""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: Names of techniques by the last part of their PaNET identifier, for lists that hold only that.
TECHNIQUES = {"PaNET01207": "x-ray tomography", "PaNET01212": "ptychography"}

_PICTURE = re.compile(r"data:(image/(?:png|jpeg|webp|gif));base64,", re.IGNORECASE)
#: Units that may carry a prefix.
_PREFIXED = {"m", "s", "eV", "A", "W", "Pa", "Hz", "J", "V", "Gy"}
_PREFIXES = {-5: "f", -4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}
_LONGEST = 400


@dataclass(frozen=True)
class Group:
    """Parameters that belong together, as (name, value) lines; `name` is empty for those of no group."""

    name: str
    lines: list[tuple[str, str]]


def bytes_for_people(size: float) -> str:
    """Write a size in decimal units, for example ``3.4 GB``."""
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000 or unit == "PB":
            break
        size /= 1000
    return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"


def moment(text: str) -> str:
    """Write a stored time for people, in UTC."""
    try:
        return f"{datetime.fromisoformat(text):%-d %B %Y, %H:%M} UTC"
    except ValueError:
        return text


def quantity(value: Any, unit: str = "") -> str:
    """Write a value with its unit: 6.5e-07 m becomes 0.65 µm, a list its numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and unit in _PREFIXED and value and math.isfinite(value):
        step = min(max(math.floor(math.log10(abs(value)) / 3), min(_PREFIXES)), max(_PREFIXES))
        return f"{value / 1000.0**step:.6g} {_PREFIXES[step]}{unit}"
    if isinstance(value, int) and abs(value) >= 10**300:
        return str(value)[:20] + "…"
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, list) and value and all(isinstance(item, int) for item in value) and len(value) < 6:
        text = " × ".join(str(item) for item in value)
    elif isinstance(value, list):
        text = ", ".join(quantity(item) for item in value[:20]) + (" …" if len(value) > 20 else "")
    else:
        text = "" if value is None else str(value)
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
    return f"{text} {unit}".strip()


def label(key: str) -> str:
    """Write a key for people: ``centerConfidence`` and ``center_confidence`` become ``center confidence``."""
    apart = re.sub(r"(?<=[a-z0-9])([A-Z])(?=[a-z])", lambda found: f" {found[1].lower()}", key)
    return apart.replace("_", " ").strip()


def _group_name(outer: str, key: str) -> str:
    name = label(key).removesuffix(" parameters")
    return f"{outer}: {name}" if outer else name[:1].upper() + name[1:]


def groups(metadata: Any, name: str = "") -> list[Group]:
    """Sort nested metadata into groups of lines, empty ones left out.

    Parameters
    ----------
    metadata : JSON value
        Such as a dataset's `scientificMetadata`.
    name : str
        The group that this is.
    """
    if not isinstance(metadata, dict):
        return []
    own, inner = [], []
    for key, item in metadata.items():
        if isinstance(item, dict) and "value" in item:
            own.append((label(key), quantity(item["value"], str(item.get("unit") or ""))))
        elif isinstance(item, dict):
            inner += groups(item, _group_name(name, key))
        elif item is not None:
            own.append((label(key), quantity(item)))
    return ([Group(name, own)] if own else []) + inner


def picture(thumbnail: Any) -> tuple[str, bytes] | None:
    """Give the type and the bytes of a picture in a data URI; None where it is none that a page may show."""
    if not isinstance(thumbnail, str) or not (found := _PICTURE.match(thumbnail)):
        return None
    try:
        return found[1].lower(), base64.b64decode(thumbnail[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        return None
