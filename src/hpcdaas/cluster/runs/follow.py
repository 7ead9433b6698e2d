"""What follows from how a start of a run ended: the changes of its row in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import now
from hpcdaas.cluster.runs.ending import Ending, Meaning
from hpcdaas.cluster.site import Site

#: Seconds until a run is tried again whose disk is full, or that another process is at work on.
LATER = 30.0


def follow(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    """Say what changes.

    Parameters
    ----------
    site : Site
        Its limits.
    entry : Entry
        The row as it is.
    ending : Ending

    Returns
    -------
    dict
        Columns with their new values, ``state`` among them.
    """
    return _RULES[ending.meaning](site, entry, ending)


def _back(**values: Any) -> dict[str, Any]:
    """Queue a run again."""
    return {"state": State.QUEUED, "place": None, "intent": None, "job": None, **values}


def _done(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    return {"state": State.DONE, "reason": None, "ended": ending.ended or now()}


def _failed(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    return {"state": State.FAILED, "reason": ending.reason, "ended": ending.ended or now()}


def _cancelled(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    return {"state": State.CANCELLED, "reason": ending.reason or None, "ended": ending.ended or now()}


def _again(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    if entry.tries >= site.limits.tries:
        return _failed(site, entry, ending)
    return _back(reason=ending.reason)


def _on(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    return _back(tries=entry.tries - 1)  # it has come further


def _later(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    return _back(tries=entry.tries - 1, reason=ending.reason, not_before=now(LATER))


def _anew(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    forgotten = dict.fromkeys(("run", "twin", "signature", "not_before"))
    return {**_back(), **forgotten, "state": State.WAITING, "reason": ending.reason, "tries": 0}


def _more_time(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    if entry.tries >= site.limits.tries:
        return _failed(site, entry, ending)
    return _back(seconds=2 * max(entry.seconds or 0.0, ending.seconds, 600.0), reason=ending.reason)


def _more_memory(site: Site, entry: Entry, ending: Ending) -> dict[str, Any]:
    there = max((partition.memory for partition in site.partition), default=0)
    if entry.tries >= site.limits.tries or (entry.memory or 0) >= there:
        return _failed(site, entry, ending)
    return _back(memory=there, reason=ending.reason)


_RULES: dict[Meaning, Callable[[Site, Entry, Ending], dict[str, Any]]] = {
    Meaning.DONE: _done,
    Meaning.FAILED: _failed,
    Meaning.CANCELLED: _cancelled,
    Meaning.AGAIN: _again,
    Meaning.ON: _on,
    Meaning.BUSY: _later,
    Meaning.NO_ROOM: _later,
    Meaning.REWRITTEN: _anew,
    Meaning.MORE_TIME: _more_time,
    Meaning.MORE_MEMORY: _more_memory,
}
