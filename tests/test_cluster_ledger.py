"""The ledger: rows, transactions, what survives, and what is refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpcdaas.cluster.entry import State
from hpcdaas.cluster.ledger import Ledger, now
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
