"""What is removed after its time, and what stays because somebody still needs it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import now
from hpcdaas.cluster.watch import sweep
from hpcdaas.lease import Lease
from office import Office


def ended(office: Office, name: str, state: State, days: float, run: str = "") -> Entry:
    """Make an entry that came to its end some days ago, with its folder and a checkpoint."""
    entry = office.queued(name, run=run, state=state)
    partial = Path(f"{entry.result}.partial")
    partial.mkdir(exist_ok=True)
    (partial / "checkpoint.json").write_text("{}")
    office.ledger.change(entry.id, "ended")
    with office.ledger.changing():
        office.ledger._db.execute("UPDATE entry SET changed = ? WHERE id = ?", (now(-days * 86400), entry.id))
    old = time.time() - days * 86400
    os.utime(office.state.path / "runs" / (entry.run or "")[:16], (old, old))
    return entry


def folder_of(office: Office, entry: Entry) -> Path:
    return office.state.path / "runs" / (entry.run or "")[:16]


def test_what_is_kept_and_for_how_long(tmp_path: Path) -> None:
    office = Office(tmp_path)
    fresh = ended(office, "fresh", State.FAILED, 1)
    week = ended(office, "week", State.FAILED, 8)
    month = ended(office, "month", State.CANCELLED, 40)
    done = ended(office, "done", State.REGISTERED, 40)
    sweep(office.site, office.state, office.ledger)
    assert [folder_of(office, entry).exists() for entry in (fresh, week, month, done)] == [True, True, False, False]
    assert [Path(f"{e.result}.partial").exists() for e in (fresh, week, month)] == [True, False, False]
    assert len(office.ledger.entries()) == 4


def test_what_a_run_still_needs_is_not_swept_with_a_copy_s(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ended(office, "copy", State.CANCELLED, 40, run="ab" * 32)
    waits = office.queued("b", run="ab" * 32, result=str(tmp_path / f"copy_{'ab' * 4}.h5"))
    os.utime(folder_of(office, waits), (1, 1))
    sweep(office.site, office.state, office.ledger)
    assert (folder_of(office, waits) / "recipe.toml").exists()
    assert Path(f"{waits.result}.partial").exists()


def test_a_checkpoint_at_which_somebody_works_stays(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entry = ended(office, "a", State.FAILED, 40)
    lease = Lease(Path(f"{entry.result}.partial") / "lease")
    sweep(office.site, office.state, office.ledger)
    assert Path(f"{entry.result}.partial").exists()
    lease.release()


def test_logs_of_arrays_and_folders_of_runs_that_nobody_knows_any_more(tmp_path: Path) -> None:
    office = Office(tmp_path)
    logs = office.state.path / "arrays"
    logs.mkdir()
    (logs / "slurm-1_0.log").touch()
    (logs / "slurm-2_0.log").touch()
    os.utime(logs / "slurm-1_0.log", (1, 1))
    unknown = office.state.run_folder("cd" * 32)
    (unknown / "run.sh").touch()
    os.utime(unknown, (1, 1))
    sweep(office.site, office.state, office.ledger)
    assert [path.name for path in logs.iterdir()] == ["slurm-2_0.log"]
    assert not unknown.exists()


def test_a_scan_that_is_still_there_stays_known(tmp_path: Path) -> None:
    """After a start its folder names it as new; it must not be done once more because that was long ago."""
    office = Office(tmp_path)
    there, gone = (ended(office, name, State.REGISTERED, 400) for name in ("there", "gone"))
    Path(there.scan).touch()
    sweep(office.site, office.state, office.ledger)
    assert [entry.id for entry in office.ledger.entries()] == [there.id]
    assert office.ledger.events(there.id) == office.ledger.events(gone.id) == []


def test_a_sweep_looks_at_each_ended_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 365,000 a year: it is done every hour."""
    office = Office(tmp_path)
    ended(office, "a", State.FAILED, 40)
    looked: list[Path] = []
    monkeypatch.setattr("hpcdaas.cluster.watch._remove", looked.append)
    for _ in range(3):
        sweep(office.site, office.state, office.ledger)
    assert len(looked) == 1
