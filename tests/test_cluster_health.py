"""What `status --health` says is wrong, and what it doesn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcdaas.cluster.entry import State
from hpcdaas.cluster.health import trouble
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.site import HealthTable

LIMITS = HealthTable(waiting=3600.0, outbox=3600.0, heartbeat=120.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path)
    made.say("heartbeat", now())
    return made


def date(ledger: Ledger, column: str, hours: float) -> None:
    with ledger.changing():
        ledger._db.execute(f"UPDATE entry SET {column} = ?", (now(-hours * 3600),))


def test_all_is_well_when_there_is_nothing_to_do(ledger: Ledger) -> None:
    assert trouble(ledger, LIMITS, watched=True) == ""
    ledger.add(Path("/d/old"), "r", template="t", state=State.REGISTERED, found=now(-9e6), queued=now(-9e6))
    assert trouble(ledger, LIMITS, watched=True) == ""


def test_no_watcher_and_one_that_gives_no_sign_of_life(ledger: Ledger) -> None:
    assert trouble(ledger, LIMITS, watched=False) == "No watcher is at work."
    ledger.say("heartbeat", now(-200))
    assert "sign of life is 200 s old" in trouble(ledger, LIMITS, watched=True)


@pytest.mark.parametrize(
    ("state", "column", "says"),
    [
        (State.WAITING, "changed", "A scan has waited"),
        (State.QUEUED, "queued", "A scan has waited"),
        (State.DONE, "ended", "waited for the catalogue"),
    ],
)
def test_what_is_too_old(ledger: Ledger, state: State, column: str, says: str) -> None:
    ledger.add(Path("/d/a"), "r", template="t", state=state)
    date(ledger, column, 0.5)
    assert trouble(ledger, LIMITS, watched=True) == ""
    date(ledger, column, 2)
    assert says in trouble(ledger, LIMITS, watched=True)


def test_a_scan_that_is_written_for_hours_or_tried_again_after_days_is_no_trouble(ledger: Ledger) -> None:
    entry = ledger.add(Path("/d/a"), "r", template="t")
    assert entry
    date(ledger, "found", 50)
    ledger.change(entry.id, reason="70 of 100 frames are there")
    assert trouble(ledger, LIMITS, watched=True) == ""
