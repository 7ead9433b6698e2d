"""The ledger: rows, transactions, what survives, and what is refused."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpcdaas.cluster.entry import State
from hpcdaas.cluster.ledger import EVENTS, Ledger, now
from hpcdaas.errors import HpcdaasError, InputError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def test_a_scan_is_there_once(ledger: Ledger) -> None:
    first = ledger.add(Path("/d/a.nxs"), "fine", template="t", recipe_file=Path("/r.toml"))
    assert first is not None
    assert (first.state, first.scan, first.recipe_file, first.attempt) == (State.WAITING, "/d/a.nxs", "/r.toml", 1)
    assert ledger.add(Path("/d/a.nxs"), "fine", template="t") is None
    assert ledger.add(Path("/d/a.nxs"), "fast", template="t") is not None
    assert ledger.add(Path("/d/a.nxs"), "fine", template="t", attempt=2) is not None
    assert ledger.counts()["waiting"] == 3


def test_names_that_are_not_utf8(ledger: Ledger) -> None:
    name = Path(os.fsdecode(b"/d/\xff\xfe.nxs"))
    added = ledger.add(name, "fine", template="t")
    assert added is not None
    assert Path(added.scan) == name
    assert ledger.of_scan(name) == [added]


def test_changes_are_remembered(ledger: Ledger) -> None:
    entry = ledger.add(Path("/d/a.nxs"), "fine", template="t")
    assert entry is not None
    ledger.change(entry.id, "complete", run="ab" * 32)
    ledger.change(entry.id, state=State.QUEUED)
    ledger.change(entry.id, reason="not worth a line")
    assert ledger.entry(entry.id).state is State.QUEUED
    assert [text for _, text in ledger.events(entry.id)] == ["complete", "queued"]


def test_several_changes_are_one(ledger: Ledger) -> None:
    entry = ledger.add(Path("/d/a.nxs"), "fine", template="t")
    assert entry is not None

    def broken() -> None:
        with ledger.changing():
            ledger.change(entry.id, state=State.QUEUED)
            with ledger.changing():
                ledger.change(entry.id, state=State.RUNNING)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert ledger.entry(entry.id) == entry
    assert ledger.events(entry.id) == []


def test_the_urgent_come_first(ledger: Ledger) -> None:
    for name, priority, group, more in (
        ("slow", 0, "a", {}),
        ("urgent", 5, "a", {}),
        ("paused", 9, "b", {}),
        ("later", 9, "a", {"not_before": now(60)}),
        ("placed", 9, "a", {"place": "job"}),
    ):
        ledger.add(Path(f"/d/{name}"), "r", template="t", state=State.QUEUED, priority=priority, group=group, **more)
    assert [Path(entry.scan).name for entry in ledger.ready(10, ["b"])] == ["urgent", "slow"]
    assert [Path(entry.scan).name for entry in ledger.ready(1)] == ["paused"]
    assert [Path(entry.scan).name for entry in ledger.placed()] == ["placed"]


def test_found_by_run_path_name_and_job(ledger: Ledger, tmp_path: Path) -> None:
    scan = tmp_path / "bone.nxs"
    entry = ledger.add(scan, "r", template="t", run="0123abcd" * 8, job="77")
    other = ledger.add(tmp_path / "other.nxs", "r", template="t", run="f" * 64)
    assert entry is not None
    for name in ("0123abcd" * 8, "0123abcd", "0123ABCD", str(scan), "bone.nxs", "77"):
        assert [found.id for found in ledger.find(name)] == [entry.id], name
    assert ledger.find("0123abce") == []
    assert [found.id for found in ledger.find("ffff")] == [other.id if other else 0]


def test_old_rows_are_forgotten(ledger: Ledger) -> None:
    ended = ledger.add(Path("/d/a"), "r", template="t", state=State.REGISTERED)
    live = ledger.add(Path("/d/b"), "r", template="t", state=State.RUNNING)
    assert ended is not None
    assert live is not None
    assert ledger.forget(now(-60)) == 0
    assert ledger.forget(now(60)) == 1
    assert [entry.id for entry in ledger.entries()] == [live.id]


def test_usage_by_group_and_month(ledger: Ledger) -> None:
    for name, group, ended, seconds in (
        ("a", "g", "2026-10-01T", 3600),
        ("b", "g", "2026-10-30T", 1800),
        ("c", None, "2026-11-02T", 60),
    ):
        ledger.add(Path(name), "r", template="t", run="ab" * 32, group=group, ended=ended, core_seconds=seconds)
    rows = ledger.usage()
    assert [(row["month"], row["group"], row["runs"], row["core_hours"]) for row in rows] == [
        ("2026-11", None, 1, 60 / 3600), ("2026-10", "g", 2, 1.5)
    ]  # fmt: skip
    assert len(ledger.usage("2026-10")) == 1


def test_threads_share_it(ledger: Ledger) -> None:
    entry = ledger.add(Path("/d/a"), "r", template="t")
    assert entry is not None

    def count() -> None:
        for _ in range(50):
            with ledger.changing():
                ledger.change(entry.id, tries=ledger.entry(entry.id).tries + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ledger.entry(entry.id).tries == 200


def test_killed_in_the_middle_of_a_change(tmp_path: Path) -> None:
    Ledger(tmp_path).add(Path("/d/a"), "r", template="t")
    code = f"""
import os, signal
from pathlib import Path
from hpcdaas.cluster.ledger import Ledger
ledger = Ledger(Path({str(tmp_path)!r}))
with ledger.changing():
    for number in range(5000):
        ledger.add(Path(f"/d/{{number}}"), "r", template="t")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    after = Ledger(tmp_path)
    assert [entry.scan for entry in after.entries()] == ["/d/a"]
    assert after.add(Path("/d/b"), "r", template="t") is not None


def test_no_ledger_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no ledger in"):
        Ledger(tmp_path, write=False)
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_just_being_made_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()  # SQLite makes the file before its first change is done
    with pytest.raises(InputError, match="There is no ledger in"):
        Ledger(tmp_path, write=False)
    Ledger(tmp_path).close()
    Ledger(tmp_path, write=False).close()


def test_newer_and_foreign_files_are_refused(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="newer hpcdaas"):
        Ledger(tmp_path)
    (tmp_path / "ledger.db").unlink()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(InputError, match="another program's database"):
        Ledger(tmp_path)
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="can't be opened"):
        Ledger(tmp_path)


def test_full_disk_is_said(ledger: Ledger) -> None:
    ledger._db.execute("PRAGMA max_page_count = 20")
    with pytest.raises(HpcdaasError, match="full"):  # noqa: PT012
        for number in range(10000):
            ledger.add(Path(f"/d/{number}"), "r", template="t" * 100)
    assert ledger.counts()["waiting"] > 0


def test_a_name_stands_for_itself_only(ledger: Ledger) -> None:
    """Who cancels scan_1 must not hit scan-1, nor SCAN_1."""
    for name in ("scan_1.nxs", "scan-1.nxs", "SCAN_1.nxs", "100%.nxs", "100x.nxs"):
        ledger.add(Path("/d") / name, "r", template="t")
    strange = Path(os.fsdecode(b"/d\xff/odd_1.nxs"))
    ledger.add(strange, "r", template="t")
    for name in ("scan_1.nxs", "100%.nxs"):
        assert [Path(entry.scan).name for entry in ledger.find(name)] == [name]
    assert [Path(entry.scan) for entry in ledger.find("odd_1.nxs")] == [strange]


def test_a_link_is_found_by_its_own_name(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "raw.nxs").touch()
    link = tmp_path.resolve() / "scan.nxs"
    link.symlink_to(tmp_path / "there" / "raw.nxs")
    entry = ledger.add(link, "r", template="t")
    assert ledger.find(str(link)) == [entry]


def test_json_of_names_that_are_not_utf8(ledger: Ledger) -> None:
    ledger.add(Path(os.fsdecode(b"/d/\xff.nxs")), "r", template="t")
    ledger.add(Path("/d/é.nxs"), "r", template="t")
    assert [row["scan"] for row in json.loads(ledger.as_json(["scan"]))] == ["/d/\ufffd.nxs", "/d/é.nxs"]


def test_a_reason_may_name_a_file_that_is_not_utf8(ledger: Ledger) -> None:
    entry = ledger.add(Path(os.fsdecode(b"/d/\xff.nxs")), "r", template="t")
    assert entry
    ledger.change(entry.id, f"{entry.scan} vanished", reason=f"{entry.scan} vanished")
    assert ledger.entry(entry.id).reason == "/d/?.nxs vanished"
    assert [text for _, text in ledger.events(entry.id)] == ["/d/?.nxs vanished"]


def test_what_another_process_adds_is_never_dated_back(ledger: Ledger) -> None:
    """It may have to wait until it can write; who asks for what is new since must see it."""
    other = Ledger(ledger.path.parent)
    with ledger.changing():
        thread = threading.Thread(target=lambda: other.add(Path("/d/late"), "r", template="t"))
        thread.start()
        time.sleep(0.3)
        ledger.add(Path("/d/early"), "r", template="t")
    thread.join(30)
    early, late = sorted(ledger.waiting(), key=lambda entry: entry.scan)
    assert early.changed is not None
    assert late in ledger.waiting(early.changed)


def test_the_history_of_an_entry_has_an_end(ledger: Ledger) -> None:
    entry, other = (ledger.add(Path(name), "r", template="t") for name in ("/d/a", "/d/b"))
    assert entry
    assert other
    ledger.change(other.id, "first")
    for number in range(3 * EVENTS):
        ledger.change(entry.id, f"try {number}")
    said = [text for _, text in ledger.events(entry.id)]
    assert said == [f"try {number}" for number in range(2 * EVENTS, 3 * EVENTS)]
    assert len(ledger.events(other.id)) == 1


def test_no_room_is_none(ledger: Ledger) -> None:
    ledger.add(Path("/d/a"), "r", template="t", state=State.QUEUED)
    assert [len(ledger.ready(limit)) for limit in (-1, 0, 1)] == [0, 0, 1]


def test_small_and_large_runs_apart(ledger: Ledger) -> None:
    for name, values in (
        ("small", {"work": 1.0}), ("unknown", {}), ("large", {"work": 9.0}), ("more", {"work": 1.0, "memory": 10**9})
    ):  # fmt: skip
        ledger.add(Path(f"/d/{name}"), "r", template="t", state=State.QUEUED, **values)
    assert [Path(entry.scan).name for entry in ledger.ready(9, most=5.0)] == ["small", "unknown"]
    assert [Path(entry.scan).name for entry in ledger.ready(9, above=5.0)] == ["large", "more"]


def test_groups_take_turns(ledger: Ledger) -> None:
    for name, group in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b"), ("n1", None)):
        ledger.add(Path(f"/d/{name}"), "r", template="t", state=State.QUEUED, group=group)
    assert [Path(entry.scan).name for entry in ledger.ready(9)] == ["a1", "b1", "n1", "a2", "b2", "a3"]
    ledger.add(Path("/d/b0"), "r", template="t", state=State.RUNNING, group="b", place="job")
    assert [Path(entry.scan).name for entry in ledger.ready(4)] == ["a1", "n1", "a2", "b1"]
