"""Registering: what happens to an entry while its record is on its way, and records that nobody takes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

import hpcdaas.cluster.poster as module
from hpcdaas.catalog.outcome import Delivered, Held, Outcome, Waiting
from hpcdaas.catalog.record import record_path
from hpcdaas.catalog.store import Store
from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.poster import Poster
from office import Office


class Counter:
    """A catalogue by hand."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        self.office = office
        self.act: Callable[[Path], Outcome] = lambda path: Delivered("pid")
        self.came: list[str] = []
        monkeypatch.setattr(module, "deliver_one", self._deliver)
        self.poster = Poster(office.ledger, cast(Store, None), office.dispatcher, office.tell, lambda: None)
        self.poster._until = math.inf  # its thread does nothing by itself

    def _deliver(self, path: Path, catalog: Store, log: Path | None = None) -> Outcome:
        self.came.append(path.name)
        return self.act(path)

    def done(self, name: str, **values: object) -> Entry:
        return self.office.queued(name, state=State.DONE, **values)


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    made = Counter(Office(tmp_path), monkeypatch)
    yield made
    made.poster.close()


def test_rewritten_while_its_record_is_on_its_way(counter: Counter) -> None:
    entry = counter.done("a")

    def deliver(path: Path) -> Outcome:
        counter.office.dispatcher.rewritten(Path(entry.scan))
        return Delivered("pid")

    counter.act = deliver
    counter.poster.step()
    found = counter.office.entry(entry)
    assert (found.state, found.pid) == (State.WAITING, None)


def test_cancelled_while_its_record_is_on_its_way(counter: Counter) -> None:
    """The catalogue has it: the ledger says what is true."""
    entry = counter.done("a")

    def deliver(path: Path) -> Outcome:
        counter.office.ledger.change(entry.id, state=State.CANCELLED)
        return Delivered("pid")

    counter.act = deliver
    counter.poster.step()
    assert counter.office.entry(entry).state is State.REGISTERED


@pytest.mark.parametrize("trouble", [KeyError("odd"), OSError(5, "Input/output error"), RuntimeError("x")])
def test_a_record_that_nobody_thought_of_holds_no_other_up(counter: Counter, trouble: Exception) -> None:
    bad, good = counter.done("bad"), counter.done("good")

    def deliver(path: Path) -> Outcome:
        if path.name.startswith("bad"):
            raise trouble
        return Delivered("pid")

    counter.act = deliver
    counter.poster._until = 0.0
    counter.poster.call()
    until = time.monotonic() + 20
    while counter.office.entry(good).state is not State.REGISTERED:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert counter.office.entry(bad).state is State.DONE
    assert "Its record waits" in (counter.office.entry(bad).reason or "")
    assert any(thread.name == "poster" for thread in threading.enumerate())


def test_a_record_that_is_refused_is_left_for_a_while_and_a_catalogue_that_is_away_is_not_asked_for_each(
    counter: Counter,
) -> None:
    entries = [counter.done(name) for name in ("a", "b", "c")]
    counter.act = lambda path: Held("no such group")
    counter.poster.step()
    counter.poster.step()
    assert len(counter.came) == 3
    for entry in entries:
        counter.office.ledger.change(entry.id, not_before=None)
    counter.came.clear()
    counter.act = lambda path: Waiting("it is away", away=True)
    counter.poster.step()
    assert len(counter.came) == 1


def test_a_copy_is_registered_with_the_first(counter: Counter) -> None:
    first = counter.done("first")
    copy = counter.done("copy", run=first.run, twin=first.id)
    counter.poster.step()
    assert counter.came == [record_path(Path(first.result or "")).name]
    assert [counter.office.entry(entry).state for entry in (first, copy)] == [State.REGISTERED] * 2
    assert counter.office.entry(copy).pid == "pid"
