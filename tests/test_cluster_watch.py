"""The watcher's rounds: what it sweeps and what it leaves, who it makes way for, what it says and how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from hpcdaas.cluster.entry import State
from hpcdaas.cluster.ledger import now
from hpcdaas.cluster.poster import Poster
from hpcdaas.cluster.scans.folder import Changes, Folders, Seen
from hpcdaas.cluster.scans.intake import Intake
from hpcdaas.cluster.scans.recipes import Asked
from hpcdaas.cluster.site.rule import Rule
from hpcdaas.cluster.watch import Orders, Watch
from hpcdaas.errors import HpcdaasError
from hpcdaas.io.nxtomo_writer import write_simulation
from hpcdaas.tomo.simulate import Simulation, SimulationParameters
from office import Office

RULE = Rule(quiet=0.0, files=("*.nxs",))


class Quiet:
    """A poster that nobody calls."""

    def call(self) -> None:
        pass


class Given:
    """Watched folders, by hand."""

    def __init__(self) -> None:
        self.next = Changes()

    def poll(self, wait: float = 0.0) -> Changes:
        return self.answers()

    def answers(self, wait: float = 0.0) -> Changes:
        given, self.next = self.next, Changes()
        return given

    def ask(self) -> None:
        pass


class Place:
    """A watcher of folders that the test fills in, with real processes that open files."""

    def __init__(self, folder: Path, **orders: Any) -> None:
        self.office = Office(folder, detector=[RULE])
        self.folders = Given()
        self.lease = self.office.state.take()
        self.intake = Intake(
            self.office.site, self.office.ledger, self.office.state, self.office.dispatcher, self.office.tell
        )
        self.watch = Watch(
            self.office.site, self.office.state, self.office.ledger, cast(Folders, self.folders),
            Orders((Asked(None, "default", 0),), f"{folder}/out/{{scan}}.h5", **orders), self.intake,
            self.office.dispatcher, cast(Poster, Quiet()), self.office.tell, threading.Event(),
        )  # fmt: skip

    def close(self) -> None:
        self.intake.close()
        self.lease.release()

    def until(self, holds: Any, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.office.ledger.entries()
            self.watch.round()
            time.sleep(0.05)

    def states(self) -> list[str]:
        return [entry.state for entry in self.office.ledger.entries()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def simulate(path: Path, seed: int) -> None:
    write_simulation(path, Simulation(SimulationParameters(rows=2, columns=32, angles=16, seed=seed)))


def test_a_scan_that_was_rewritten_while_nobody_looked_is_done_once_more(place: Place, tmp_path: Path) -> None:
    scan = tmp_path / "a.nxs"
    simulate(scan, 1)
    place.folders.next = Changes(new=[Seen(scan, RULE)])
    place.until(lambda: place.states() == ["queued"])
    (first,) = place.office.ledger.entries()
    place.office.ledger.change(first.id, state=State.REGISTERED, place=None)
    # the same again is no other scan
    place.folders.next = Changes(new=[Seen(scan, RULE)], doubtful=[Seen(scan, RULE)])
    place.watch.round()
    place.until(lambda: not place.intake._doubts)
    assert place.states() == ["registered"]
    # removed, and made anew between two looks
    scan.unlink()
    simulate(scan, 2)
    place.folders.next = Changes(new=[Seen(scan, RULE)], doubtful=[Seen(scan, RULE)])
    place.until(lambda: place.states() == ["queued"])
    assert place.office.ledger.entry(first.id).run != first.run


def test_a_result_that_makes_way_for_a_scan_is_found(place: Place, tmp_path: Path) -> None:
    scan = tmp_path / "a.nxs"
    simulate(scan, 1)
    place.folders.next = Changes(changed=[Seen(scan, RULE)])  # it is known to the folder, and not to the ledger
    place.watch.round()
    assert place.states() == ["waiting"]


def test_what_can_not_be_listed_is_said_once_and_not_with_every_poll(place: Place) -> None:
    for _ in range(5):
        place.folders.next = Changes(
            errors=[(Path("/d/closed"), "Permission denied")], refused=[(Path("/d/x.nxs"), "it is a link")]
        )
        place.watch.round()
    assert place.office.events("folder", "refused") == ["refused", "folder"]
    place.folders.next = Changes(errors=[(Path("/d/closed"), "Stale file handle")])
    place.watch.round()
    assert place.office.events("folder", "refused") == ["refused", "folder", "folder"]


def test_figures_that_can_not_be_written_hold_nothing_up(tmp_path: Path) -> None:
    place = Place(tmp_path, prometheus=tmp_path / "nowhere" / "hpcdaas.prom")
    try:
        place.watch.round()
        assert place.office.events("prometheus") == ["prometheus"]
        assert place.office.ledger.fact("heartbeat")
    finally:
        place.close()


def test_a_watcher_that_counted_as_dead_makes_way(place: Place) -> None:
    """Its host stood still for minutes, and another one took over; two must not move the same runs."""
    place.watch.round()
    lease = place.office.state.path / "lease"
    lease.write_text('{"host": "elsewhere", "pid": 7, "token": "another"}')
    with pytest.raises(HpcdaasError, match="process 7 on elsewhere"):
        place.watch.round()
    assert "elsewhere" in lease.read_text()


def test_nothing_is_left_to_do_where_a_record_waits_for_an_operator(place: Place) -> None:
    entry = place.office.queued()
    assert not place.watch.idle()
    place.office.ledger.change(entry.id, state=State.DONE)
    assert not place.watch.idle()
    place.office.ledger.change(entry.id, not_before=now(600))  # the catalogue refused it
    assert place.watch.idle()
