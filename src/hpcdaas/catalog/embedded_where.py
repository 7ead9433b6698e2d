"""Filters in the words of SciCat's clients (LoopBack's and MongoDB's) as SQL conditions.

Nothing of a filter gets into the SQL text: names of fields become bound JSON paths, and values bound values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: Fields that stand in narrow rows.
COLUMNS = {
    "pid": "dataset.pid",
    "type": "dataset.type",
    "datasetName": "dataset.name",
    "proposalId": "dataset.proposal",
    "ownerGroup": "dataset.owner_group",
    "creationTime": "dataset.created",
    "isPublished": "dataset.published",
    "size": "dataset.size",
    "numberOfFiles": "dataset.files",
    "createdAt": "dataset.registered",
    "updatedAt": "dataset.updated",
    "createdBy": "dataset.author",
    "updatedBy": "dataset.editor",
    "scientificMetadata.run.value": "dataset.run",
}
_NAMES = {"id": "pid", "_id": "pid"}
#: Lists of the v4 routes are kept only where they hold more than the one value of the v3 routes.
_LISTS = {"proposalIds": "proposalId", "sampleIds": "sampleId", "instrumentIds": "instrumentId"}
_LISTS_OF_OBJECTS = ("techniques", "relationships")

_COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PATTERNS = {"like", "ilike", "regexp", "regex"}
_DEEPEST, _MOST = 8, 200
_WILDCARDS, _ALTERNATIVES = 4, 8

Condition = tuple[str, list[Any]]


class BadFilter(ValueError):
    """A filter that can't be understood; its text says why."""


def condition(where: Any, depth: int = 0) -> Condition:
    """Turn a ``where`` into an SQL condition on `dataset` joined with `document`.

    Parameters
    ----------
    where : dict
        ``{field: value}``, ``{field: {operator: value}}``, ``{"and": [...]}``, ``{"or": [...]}``; operators with
        or without a dollar sign. A list's field equals what is one of its items.

    Returns
    -------
    str
        The condition.
    list
        Its values.

    Raises
    ------
    BadFilter
        If it can't be understood.
    """
    if not isinstance(where, dict):
        raise BadFilter("where must be an object")
    if depth > _DEEPEST or len(where) > _MOST:
        raise BadFilter("where is too large")
    parts = [_part(str(key), value, depth) for key, value in where.items()]
    return _joined(parts, "AND")


def _part(key: str, value: Any, depth: int) -> Condition:
    name = key.removeprefix("$").lower()
    if name in ("and", "or") and isinstance(value, list):
        if len(value) > _MOST:
            raise BadFilter("where is too large")
        return _joined([condition(item, depth + 1) for item in value], name.upper())
    if isinstance(value, dict) and value and all(_is_operator(str(word)) for word in value):
        options = {str(word).removeprefix("$"): operand for word, operand in value.items()}
        case = "i" not in str(options.pop("options", ""))
        return _joined([_operator(key, word, operand, case) for word, operand in options.items()], "AND")
    if isinstance(value, list):
        return _operator(key, "in", value, True)
    return _equals(key, value)


def _is_operator(word: str) -> bool:
    known = {*_COMPARE, *_PATTERNS, "eq", "ne", "neq", "in", "inq", "nin", "exists", "between", "options"}
    return word.removeprefix("$") in known


def _operator(key: str, word: str, value: Any, case: bool) -> Condition:
    if word in _COMPARE:
        return _tested(key, lambda x: (f"{x} {_COMPARE[word]} ?", [_scalar(value)]))
    if word in _PATTERNS:
        return _like(key, value, case and word != "ilike")
    if word in ("in", "inq", "nin"):
        values = [_scalar(item) for item in _list(value)]
        found = _tested(key, lambda x: (f"{x} IN ({', '.join('?' * len(values))})", values))
        return found if word != "nin" else _not(found)
    if word == "between":
        low, high = (*_list(value), None, None)[:2]
        return _tested(key, lambda x: (f"{x} BETWEEN ? AND ?", [_scalar(low), _scalar(high)]))
    if word == "exists":
        found = _tested(key, lambda x: (f"{x} IS NOT NULL", []), objects=True)
        return found if value else _not(found)
    return _equals(key, value) if word == "eq" else _not(_equals(key, value))


def _equals(key: str, value: Any) -> Condition:
    if value is None:
        return _not(_tested(key, lambda x: (f"{x} IS NOT NULL", []), objects=True))
    bound = _scalar(value)
    return _tested(key, lambda x: (f"{x} = ?", [bound]))


def _tested(key: str, test: Callable[[str], Condition], objects: bool = False) -> Condition:
    """Hold a field, or any item of it if it is a list, against a test."""
    key = _NAMES.get(key, key)
    if key in COLUMNS:
        return test(COLUMNS[key])
    first, _, rest = key.partition(".")
    if first in _LISTS and not rest:
        sql, values = test("item.value")
        given = "coalesce(json_extract(document.document, ?), json_array(json_extract(document.document, ?)))"
        return (
            f"EXISTS (SELECT 1 FROM json_each({given}) AS item WHERE {sql})",
            [_path(first), _path(_LISTS[first]), *values],
        )
    if first in _LISTS_OF_OBJECTS and rest:
        sql, values = test("json_extract(item.value, ?)")
        each = f"EXISTS (SELECT 1 FROM json_each(document.document, ?) AS item WHERE {sql})"
        return each, [_path(first), _path(rest), *values]
    if objects:
        return "json_type(document.document, ?) IS NOT NULL", [_path(key)]
    sql, values = test("item.value")
    return f"EXISTS (SELECT 1 FROM json_each(document.document, ?) AS item WHERE {sql})", [_path(key), *values]


def _like(key: str, value: Any, case: bool) -> Condition:
    """Hold a field against a pattern: plain text, ``.*`` or ``%`` for anything, ``^`` and ``$`` at the ends, ``(a|b)``.

    Regular expressions beyond that can take time without bound, and aren't understood.
    """
    if not isinstance(value, str):
        raise BadFilter(f"the pattern for {key[:80]} must be a string")
    return _joined([_plain_like(key, pattern, case) for pattern in _alternatives(key, value)], "OR")


def _alternatives(key: str, pattern: str) -> list[str]:
    """Write a pattern with groups of alternatives, ``(^|/)beginning``, as several without."""
    found = [""]
    for piece in re.split(r"(\([^()]*\))", pattern):
        choices = piece[1:-1].split("|") if piece.startswith("(") and piece.endswith(")") else [piece]
        found = [before + choice for before in found for choice in choices]
        if len(found) > _ALTERNATIVES:
            raise BadFilter(f"the pattern for {key[:80]} has more than {_ALTERNATIVES} alternatives")
    return found


def _plain_like(key: str, pattern: str, case: bool) -> Condition:
    start, end = pattern.startswith("^"), pattern.endswith("$")
    pieces = pattern[int(start) : len(pattern) - int(end)].replace(".*", "%").split("%")
    if len(pieces) - 1 > _WILDCARDS:
        raise BadFilter(f"the pattern for {key[:80]} has more than {_WILDCARDS} wildcards")
    if any(set("\\[](){}|*+?^$") & set(piece) for piece in pieces):
        raise BadFilter(f"the pattern for {key[:80]} may hold plain text, .* or %, ^ and $ at the ends, (a|b)")
    pieces = ([] if start else [""]) + pieces + ([] if end else [""])
    if case:
        return _tested(key, lambda x: (f"{x} GLOB ?", ["*".join(pieces)]))
    text = "%".join(piece.replace("_", "\\_") for piece in pieces)
    return _tested(key, lambda x: (f"{x} LIKE ? ESCAPE '\\'", [text]))


def _path(key: str) -> str:
    if '"' in key or "\0" in key or len(key) > 500:
        raise BadFilter("the name of a field can't be understood")
    return "$" + "".join(f'."{part}"' for part in key.split("."))


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value) if abs(value) < 1e300 else float("inf")
    if value is None or isinstance(value, str | int | float):
        return value
    raise BadFilter("values must be strings, numbers or booleans")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > 1000:
        raise BadFilter("a list of up to 1000 values is needed")
    return value


def _not(inner: Condition) -> Condition:
    # a comparison with NULL is neither true nor false
    return f"coalesce(NOT ({inner[0]}), 1)", inner[1]


def _joined(parts: list[Condition], word: str) -> Condition:
    if not parts:
        return "1", []
    return f"({f' {word} '.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]
