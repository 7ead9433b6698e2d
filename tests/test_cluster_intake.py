"""From a file that is there to a run: what is cancelled, hangs, fails for a moment, and what must not grow."""

from __future__ import annotations

import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

import hpcdaas.cluster.ledger as ledger_module
import hpcdaas.cluster.scans.intake as module
from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.scans.child import LostError
from hpcdaas.cluster.scans.complete import Look
from hpcdaas.cluster.scans.intake import TRIES, Intake
from hpcdaas.cluster.scans.lookers import Hung
from hpcdaas.cluster.scans.prepare import Prepared
from hpcdaas.cluster.site.rule import Rule
from hpcdaas.errors import HpcdaasError, InputError, NoRoom
from office import RECIPE, Office

RULE = Rule(quiet=0.0, give_up=0.05)


class Hands:
    """The processes that open files, by hand."""

    def __init__(self, function: object) -> None:
        self.asked: list[Hashable] = []
        self._answers: list[tuple[Hashable, Any]] = []

    def ask(self, key: Hashable, *arguments: object) -> None:
        self.asked.append(key)

    def say(self, key: Hashable, answer: object) -> None:
        self._answers.append((key, answer))

    def answers(self) -> list[tuple[Hashable, Any]]:
        given, self._answers = self._answers, []
        return given

    def close(self) -> None:
        pass


class Desk:
    """An intake whose files are opened by hand."""

    def __init__(self, folder: Path, at_once: bool = False) -> None:
        self.office = Office(folder, detector=[RULE])
        self.ledger = self.office.ledger
        self.intake = Intake(
            self.office.site, self.ledger, self.office.state, self.office.dispatcher, self.office.tell, at_once
        )
        self.lookers: Hands = self.intake._lookers  # type: ignore[assignment]
        self.preparers: Hands = self.intake._preparers  # type: ignore[assignment]

    def scan(self, name: str = "a", recipe: str = "fast") -> Entry:
        path = self.office.folder / f"{name}.nxs"
        self.intake.seen(path, RULE)
        added = self.ledger.add(path, recipe, template="t")
        assert added
        return added

    def prepared(self, entry: Entry, run: str = "") -> Prepared:
        run = run or f"{entry.id:064x}"
        result = self.office.folder / f"{run[:8]}.h5"
        return Prepared(run, "fast", RECIPE, "tomography", result, (Path(entry.scan),), (4, 4, 4), 1.0, False)

    def looked(self, entry: Entry, state: str, reason: str = "", signature: str = "") -> None:
        self.lookers.say(Path(entry.scan), Look(state, reason, signature=signature, taken=time.monotonic()))
        self.intake.step()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(module, "Lookers", Hands)
    return Desk(tmp_path)


def test_from_found_to_queued(desk: Desk) -> None:
    entry = desk.scan()
    desk.intake.step()
    assert desk.lookers.asked == [Path(entry.scan)]
    desk.looked(entry, "whole")
    desk.intake.step()
    assert desk.preparers.asked == [entry.id]
    desk.preparers.say(entry.id, desk.prepared(entry))
    desk.intake.step()
    found = desk.ledger.entry(entry.id)
    assert (found.state, found.run) == (State.QUEUED, f"{entry.id:064x}")
    assert (desk.office.state.run_folder(found.run or "") / "recipe.toml").exists()


@pytest.mark.parametrize("verdict", ["waiting", "whole", "gone", "result"])
def test_cancelled_while_it_is_looked_at(desk: Desk, verdict: str) -> None:
    entry = desk.scan()
    desk.intake.step()
    desk.looked(entry, "waiting", "still written")
    desk.ledger.change(entry.id, state=State.CANCELLED)
    time.sleep(0.1)  # longer than the rule's patience
    desk.looked(entry, verdict, "still written")
    desk.intake.step()
    assert desk.ledger.entry(entry.id).state is State.CANCELLED
    assert not desk.preparers.asked
    # and taken up again where its user wants it so
    desk.ledger.change(entry.id, state=State.WAITING)
    desk.intake.step()
    desk.looked(entry, "whole")
    desk.intake.step()
    assert desk.preparers.asked == [entry.id]


def test_announced_while_it_is_looked_at(desk: Desk) -> None:
    entry = desk.scan()
    desk.intake.step()
    desk.intake.announce(Path(entry.scan))
    desk.intake.step()
    desk.looked(entry, "result")
    desk.preparers.say(entry.id, InputError("It is a result of hpcdaas."))
    desk.intake.step()
    assert desk.ledger.entry(entry.id).state is State.FAILED


def test_a_scan_that_grows_for_hours_leaves_no_thousand_lines(desk: Desk) -> None:
    entry = desk.scan()
    for number in range(200):
        desk.looked(entry, "waiting", f"{number} of 200 frames are there", signature=str(number))
    assert desk.ledger.entry(entry.id).reason == "199 of 200 frames are there"
    assert desk.ledger.events(entry.id) == []


def test_the_host_s_clock_is_put_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    early = desk.scan("early")
    desk.intake.step()
    earlier = ledger_module.now(-3600.0)
    for where in (ledger_module, module):
        monkeypatch.setattr(where, "now", lambda later=0.0: earlier)
    late = desk.scan("late")
    desk.intake.step()
    assert set(desk.lookers.asked) == {Path(early.scan), Path(late.scan)}


def test_what_was_done_long_ago_costs_no_memory(desk: Desk) -> None:
    """A folder's listing names all its files after each start."""
    waits = desk.scan("waits")
    for number in range(100):
        desk.intake.seen(Path(f"/d/{number}"), RULE)
        desk.intake.announce(Path(f"/d/{number}"))
    desk.intake.step()
    assert list(desk.intake._rules) == [Path(waits.scan)]
    assert not desk.intake._complete


@pytest.mark.parametrize("trouble", [HpcdaasError("OSError: stale file handle"), LostError("Opening it ended it.")])
def test_an_error_that_is_not_the_scan_s_passes(
    desk: Desk, trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.0)
    entry = desk.scan()
    desk.intake.announce(Path(entry.scan))
    desk.intake.step()
    desk.preparers.say(entry.id, trouble)
    desk.intake.step()
    assert desk.ledger.entry(entry.id).state is State.WAITING
    assert desk.ledger.entry(entry.id).reason == str(trouble)
    desk.intake.step()
    assert desk.preparers.asked == [entry.id] * 2
    desk.preparers.say(entry.id, desk.prepared(entry))
    desk.intake.step()
    assert desk.ledger.entry(entry.id).state is State.QUEUED


def test_an_error_that_stays_is_a_failure_in_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", 0.0)
    entry = desk.scan()
    desk.intake.announce(Path(entry.scan))
    for number in range(TRIES):
        assert desk.ledger.entry(entry.id).state is State.WAITING, number
        desk.intake.step()
        desk.preparers.say(entry.id, HpcdaasError("OSError: broken"))
        desk.intake.step()
    assert desk.ledger.entry(entry.id).state is State.FAILED
    assert desk.ledger.entry(entry.id).reason == "OSError: broken"
    assert not desk.intake._failed


@pytest.mark.parametrize("answer", [Hung("no answer"), NoRoom("/out can't be written: Disk quota exceeded.")])
def test_what_hangs_or_is_full_waits_and_holds_nobody_up(
    tmp_path: Path, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Lookers", Hands)
    desk = Desk(tmp_path, at_once=True)
    hung, good = desk.scan("hung"), desk.scan("good")
    desk.intake.step()
    assert desk.intake.gathers
    desk.preparers.say(good.id, desk.prepared(good))
    desk.preparers.say(hung.id, answer)
    desk.intake.step()
    assert desk.ledger.entry(hung.id).state is State.WAITING
    assert desk.ledger.entry(hung.id).reason
    assert desk.ledger.entry(good.id).state is State.QUEUED
    assert not desk.intake.gathers


def test_a_copy_of_a_scan_follows_the_first(desk: Desk) -> None:
    first, copy = desk.scan("first"), desk.scan("copy")
    for entry in (first, copy):
        desk.intake.announce(Path(entry.scan))
    desk.intake.step()
    for entry in (first, copy):
        desk.preparers.say(entry.id, desk.prepared(entry, "ab" * 32))
    desk.intake.step()
    assert desk.ledger.entry(copy.id).twin == first.id
    desk.office.round()
    assert len(desk.office.slurm.states) == 1


def test_the_rule_of_a_scan_that_is_retried_is_that_of_its_folder(desk: Desk) -> None:
    rules = (Rule(name="raw", files=("raw/*.h5",)), Rule(name="series", files=("tiff/*/",)), Rule(name="any"))
    site = desk.office.site.model_copy(update={"detector": rules})
    found = [site.rule_for(Path(path)).name for path in ("/d/p1/raw/a.h5", "/d/p1/tiff/s1", "/d/p1/a.h5", "/d/x.txt")]
    assert found == ["raw", "series", "any", "raw"]
