"""The outbox: a record beside its result waits until a catalogue has it.

There is no other list of what waits: a record that was copied, moved or made on a compute node is found where it
lies. What was delivered is in the journals of the account, see `hpcdaas.catalog.journal`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpcdaas.catalog.outcome import Delivered, Held, NotYet, Outcome, Refused, Unreachable, Waiting
from hpcdaas.catalog.record import is_record, read_record, record_path
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.store import Store
from hpcdaas.errors import HpcdaasError, InputError

#: Bytes of a log that are read.
LOG_END = 50_000


def deliver_one(path: Path, catalog: Store, log: Path | None = None) -> Outcome:
    """Deliver one record.

    May be called by several processes at once, ended at any time, and called again: the catalogue ends up with one
    whole dataset. A record that was delivered as it is now is not sent again.

    Parameters
    ----------
    path : Path
        The record.
    catalog : Store
        Where it goes; one that is kept for many records saves logins.
    log : Path, optional
        The log of the run, where the record holds none; its end goes in.

    Returns
    -------
    Delivered, Waiting or Held
        Nothing is raised for what is wrong with the record, the settings or the catalogue.
    """
    try:
        record = read_record(path)
        if not isinstance(catalog, Scicat):
            return Delivered(catalog.register(record))
        done = catalog.delivered(record)
        return Delivered(done or catalog.register(record, _end(log)))
    except NotYet as error:
        return Waiting(str(error), away=isinstance(error, Unreachable))
    except (Refused, InputError) as error:
        return Held(str(error))
    except HpcdaasError as error:
        return Waiting(str(error))


def deliver(paths: Iterable[Path], catalog: Store) -> Iterator[tuple[Path, Outcome]]:
    """Deliver records one after the other, and tell of each what became of it.

    Once the catalogue is away, the rest waits without being tried.
    """
    away: Waiting | None = None
    for path in paths:
        outcome: Outcome = away or deliver_one(path, catalog)
        if isinstance(outcome, Waiting) and outcome.away:
            away = outcome
        yield path, outcome


def records(places: Iterable[Path]) -> list[Path]:
    """Find the records in files and folders.

    Parameters
    ----------
    places : iterable of Path
        Records, results with a record beside them, or folders, which are searched with all that is in them.

    Raises
    ------
    InputError
        If a place isn't there, or is a result without a record.
    """
    found: dict[Path, None] = {}
    for place in places:
        if place.is_dir() and not (place.name and record_path(place).exists()):  # "." and "/" have no name
            found |= dict.fromkeys(_in_folder(place))
        elif is_record(place) and place.exists():
            found[place] = None
        elif record_path(place).exists():
            found[record_path(place)] = None
        else:
            reason = "has no record beside it" if place.exists() else "isn't there"
            raise InputError(f"{place} {reason}.", "Give a result, its .record.json, or a folder of results.")
    return list(found)


def _in_folder(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        # what is in the making has no record yet
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.endswith(".partial"))
        yield from (Path(here, name) for name in sorted(files) if is_record(Path(name)) and not name.startswith("."))


def _end(log: Path | None) -> str:
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_END))
            return file.read().decode(errors="replace")
    except OSError:
        return ""  # a log that was cleaned away holds nothing up
