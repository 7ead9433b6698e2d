"""Filters of the list routes, turned into queries."""

from __future__ import annotations

from typing import Any

from hpcdaas.catalog.embedded_search import Query
from hpcdaas.catalog.embedded_where import BadFilter, Condition, condition
from hpcdaas.catalog.serve.auth import User
from hpcdaas.catalog.serve.refusal import Refusal
from hpcdaas.catalog.serve.requests import query_object, whole

#: How many datasets a list of the v4 routes, and a full query, gives where no limit is said.
V4_LIMIT, FULL_LIMIT = 100, 25

_RELATIONS = {
    "EQUAL_TO": "eq",
    "EQUAL_TO_STRING": "eq",
    "EQUAL_TO_NUMERIC": "eq",
    "GREATER_THAN": "gt",
    "GREATER_THAN_OR_EQUAL": "gte",
    "LESS_THAN": "lt",
    "LESS_THAN_OR_EQUAL": "lte",
    "CONTAINS_STRING": "like",
}


class Filter:
    """A list route's filter.

    Attributes
    ----------
    query : Query
    include : set of str
        What comes along: ``origdatablocks``, ``attachments``.
    fields : list of str or None
        The fields to give; None: all.
    """

    def __init__(self, query: Query, include: set[str], fields: list[str] | None) -> None:
        self.query, self.include, self.fields = query, include, fields

    def chosen(self, document: dict[str, Any]) -> dict[str, Any]:
        """Keep the fields that are asked for, and the pid."""
        if self.fields is None:
            return document
        top = {name.partition(".")[0] for name in self.fields} | {"pid"} | self.include
        return {key: value for key, value in document.items() if key in top}


def list_filter(text: str | None, user: User, default: int | None) -> Filter:
    """Read ``?filter=`` of the v3 and the v4 routes.

    Parameters
    ----------
    text : str or None
        JSON with ``where``, ``limits`` (``limit``, ``skip``, ``order`` or ``sort``), ``include`` and ``fields``.
    user : User
        Only what it may read is asked for.
    default : int or None
        The limit where none is given; None: all.

    Raises
    ------
    Refusal
        400 if it can't be understood.
    """
    given = query_object(text, "filter")
    limits = given.get("limits") or {key: given[key] for key in ("limit", "skip", "order") if key in given}
    words = (given.get("where") or {}).pop("$text", None) if isinstance(given.get("where"), dict) else None
    text_wanted = str(words.get("$search", "")) if isinstance(words, dict) else ""
    query = Query(
        conditions=[_condition(given.get("where") or {}), user.visible()], text=text_wanted, **_limits(limits, default)
    )
    return Filter(query, _include(given.get("include")), _fields(given.get("fields")))


def full_query(fields: str | None, limits: str | None, user: User) -> Query:
    """Read ``?fields=`` and ``?limits=`` of `fullquery` and its like.

    Raises
    ------
    Refusal
        400 if they can't be understood.
    """
    given = query_object(fields, "fields")
    text, where = given.pop("text", ""), []
    if not isinstance(text, str):
        raise Refusal(400, "text must be a string")
    mode = given.pop("mode", {})
    where.append(_condition(mode or {}))
    for name in ("userGroups", "metadataKey", "_id"):
        given.pop(name, None)
    where += [_scientific(item) for item in _list_of(given.pop("scientific", None) or [], "scientific")]
    where += [_full_field(name, value) for name, value in given.items()]
    return Query(conditions=[*where, user.visible()], text=text, **_limits(query_object(limits, "limits"), FULL_LIMIT))


def _full_field(name: str, value: Any) -> Condition:
    if isinstance(value, dict) and {"begin", "end"} & value.keys():
        bounds = {word: value[key] for key, word in (("begin", "gte"), ("end", "lte")) if value.get(key) is not None}
        return _condition({name: bounds} if bounds else {})
    if isinstance(value, list):
        return _condition({name: {"in": value}} if value else {})
    return _condition({name: value})


def _scientific(item: Any) -> Condition:
    if not isinstance(item, dict) or not isinstance(item.get("lhs"), str):
        raise Refusal(400, "scientific needs lhs, relation and rhs")
    word = _RELATIONS.get(str(item.get("relation")))
    if word is None:
        raise Refusal(400, f"relation must be one of {', '.join(_RELATIONS)}")
    key = f"scientificMetadata.{item['lhs'].removeprefix('scientificMetadata.').removesuffix('.value')}.value"
    return _condition({key: {word: item.get("rhs")}})


def _condition(where: Any) -> Condition:
    try:
        return condition(where)
    except BadFilter as error:
        raise Refusal(400, str(error)) from None


def _limits(given: Any, default: int | None) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Refusal(400, "limits must be an object")
    found: dict[str, Any] = {
        "limit": whole(given.get("limit"), "limit", default),
        "skip": whole(given.get("skip"), "skip", 0),
    }
    order = _order(given.get("order") or given.get("sort"))
    return found | ({"order": order} if order else {})


def _order(given: Any) -> list[tuple[str, bool]]:
    """Read ``"field:desc"``, ``["field desc"]`` or ``{"field": "desc"}``."""
    if not given:
        return []
    if isinstance(given, dict):
        return [(str(field), str(way).lower() in ("desc", "-1")) for field, way in given.items()]
    parts = given if isinstance(given, list) else [given]
    words = [str(part).replace(":", " ").split() for part in parts]
    return [(word[0], word[-1].lower() == "desc") for word in words if word]


def _include(given: Any) -> set[str]:
    items = _list_of(given or [], "include")
    names = [item.get("relation") if isinstance(item, dict) else item for item in items]
    if "all" in names:
        return {"origdatablocks", "attachments"}
    return {str(name) for name in names} & {"origdatablocks", "attachments"}


def _fields(given: Any) -> list[str] | None:
    if not given:
        return None
    if isinstance(given, dict):
        return [str(name) for name, wanted in given.items() if wanted] or None
    return [str(name) for name in _list_of(given, "fields")]


def _list_of(given: Any, name: str) -> list[Any]:
    if not isinstance(given, list):
        raise Refusal(400, f"{name} must be a list")
    return given
