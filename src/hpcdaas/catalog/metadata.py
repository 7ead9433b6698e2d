"""Metadata in the form that SciCat takes: ``{key: {value, unit}}``, plain values, keys without certain characters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Characters that keys of metadata must not hold.
_FORBIDDEN = str.maketrans(dict.fromkeys(".$[]<>", "_"))


def entries(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn metadata into SciCat's entries ``{key: {"value", "unit"}}``.

    Parameters
    ----------
    values : mapping
        Plain values, NumPy's too, or mappings with `value` and perhaps `unit`. None is left out.

    Returns
    -------
    dict
        With keys that SciCat accepts; the unit of what has none is empty.
    """
    found = {}
    for key, value in values.items():
        entry = value if isinstance(value, Mapping) and "value" in value else {"value": value}
        if entry["value"] is not None:
            found[key] = {"value": plain(entry["value"]), "unit": str(entry.get("unit") or "")}
    cleaned: dict[str, Any] = clean(found)
    return cleaned


def clean_key(key: str) -> str:
    """Replace what a key must not hold."""
    return key.translate(_FORBIDDEN) or "_"


def clean(value: Any) -> Any:
    """Replace forbidden characters in all keys; keys that become equal stay apart by trailing underscores."""
    if isinstance(value, list):
        return [clean(item) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    # keys that stay as they are come first, so that none of them is renamed
    for key in sorted(value, key=lambda k: clean_key(str(k)) != k):
        name = clean_key(str(key))
        while name in found:
            name += "_"
        found[name] = clean(value[key])
    return found


def plain(value: Any) -> Any:
    """Turn a value into what JSON holds; numbers that aren't finite become words."""
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool | int | float | None):
        return value
    return str(value).encode(errors="replace").decode()  # lone surrogates, as in names that aren't UTF-8
