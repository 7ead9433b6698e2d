"""`submit`, `status`, `retry`, `cancel` without a cluster: two at once, odd names, what is named and what isn't."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from desk import RECIPE, Desk
from hpcdaas.cluster.entry import State
from hpcdaas.cluster.ledger import Ledger


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def ledger_of(desk: Desk) -> Ledger:
    return Ledger(desk.folder / "state" / "hpcdaas")


def test_several_at_once_leave_nothing_undone(desk: Desk) -> None:
    """One does the work of those that come meanwhile, and may leave before it has come to theirs."""
    scans = [desk.scan(f"s{number}.nxs", number) for number in range(4)]
    at_work = [desk.start("submit", scan, "-r", "r.toml", "-o", "out/") for scan in scans]
    said = [process.communicate(timeout=120) for process in at_work]
    assert [process.returncode for process in at_work] == [0] * 4, said
    assert desk.states() == ["registered"] * 4
    assert len(desk.datasets()) == 4


def test_names_that_would_steer_a_terminal(desk: Desk) -> None:
    whole = desk.scan("a.nxs").read_bytes()
    scan = desk.folder / "scans" / "\x1b[2J\n[b].nxs"
    scan.write_bytes(whole)
    said = desk.run("submit", scan, "-r", "r.toml", "-o", "out/")
    assert "registered" in said
    for text in (said, desk.run("status"), desk.run("status", scan)):
        assert "\x1b" not in text
        assert "[b].nxs" in text
    assert desk.states() == ["registered"]


def test_a_name_that_is_not_utf8_is_refused_and_harms_no_other_scan(desk: Desk) -> None:
    """Neither results nor catalogues can hold it; the ledger, Dask and `status` must live with it."""
    good = desk.scan("a.nxs")
    bad = os.fsdecode(os.fsencode(desk.folder / "scans") + b"/\xff.nxs")
    Path(bad).write_bytes(good.read_bytes())
    said = desk.run("submit", bad, good, "-r", "r.toml", "-o", "out/", code=1)
    assert "isn't UTF-8. Rename it." in said
    runs = desk.runs()
    assert sorted(run["state"] for run in runs) == ["failed", "registered"]
    assert "isn't UTF-8" in desk.run("status", "--failed")
    assert "isn't UTF-8" in desk.run("status", bad)


def test_a_twin_whose_first_was_forgotten(desk: Desk) -> None:
    scan = desk.scan("a.nxs")
    copy = scan.with_name("copy.nxs")
    copy.write_bytes(scan.read_bytes())
    desk.run("submit", scan, copy, "-r", "r.toml", "-o", "out/")
    ledger = ledger_of(desk)
    (first, second) = sorted(ledger.entries(), key=lambda entry: entry.twin or 0)
    assert second.twin == first.id
    ledger.remove(first.id)
    assert "registered" in desk.run("submit", second.scan, "-r", "r.toml", "-o", "out/")


def test_two_recipes_that_would_give_one_name(desk: Desk) -> None:
    (desk.folder / "q.toml").write_text(RECIPE.replace('"fast"', '"quick"'))
    for verb, what in (("submit", desk.scan("a.nxs")), ("watch", desk.folder / "scans")):
        said = desk.run(verb, what, "-r", "r.toml", "-r", "q.toml", "-o", "out/{scan}.h5", code=2)
        assert "gives all recipes the same result" in said
        assert len(said.strip().splitlines()) <= 2
    assert not (desk.folder / "state").exists()


def test_two_scans_whose_results_have_one_name(desk: Desk) -> None:
    """The second one is refused, and says why; the first one's result stays."""
    (desk.folder / "scans" / "b").mkdir()
    scans = [desk.scan("a.nxs", 1), desk.scan("b/a.nxs", 2)]
    said = desk.run("submit", *scans, "-r", "r.toml", "-o", "out/{scan}.h5", code=1)
    assert "1 of 2 failed" in said
    runs = {run["state"]: run for run in desk.runs()}
    assert set(runs) == {"registered", "failed"}
    assert "holds another run" in runs["failed"]["reason"]
    assert len(desk.datasets()) == 1


def test_only_what_is_named_is_cancelled(desk: Desk) -> None:
    ledger = Ledger(desk.folder / "state" / "hpcdaas")
    for name in ("scan_1.nxs", "scan-1.nxs"):
        ledger.add(desk.folder / "scans" / name, "r", template="t")
    assert "1 cancelled" in desk.run("cancel", "scan_1.nxs")
    assert sorted((Path(e.scan).name, e.state) for e in ledger.entries()) == [
        ("scan-1.nxs", "waiting"), ("scan_1.nxs", "cancelled")
    ]  # fmt: skip
    assert ledger.find("scan_1.nxs")[0].ended


def test_retry_leaves_alone_what_is_under_way(desk: Desk) -> None:
    ledger = Ledger(desk.folder / "state" / "hpcdaas")
    entry = ledger.add(desk.folder / "a.nxs", "r", template="t", state=State.RUNNING, place="job", job="7")
    assert entry
    assert "0 will be tried" in desk.run("retry", "a.nxs")
    assert ledger.entry(entry.id) == entry


def test_announced_names_may_be_anything(tmp_path: Path) -> None:
    """One that isn't UTF-8 costs no other line, and a space at the end belongs to a name."""
    code = (
        "import time\nfrom hpcdaas.cli.watch import Lines\nlines, found = Lines(), []\n"
        "while len(found) < 3:\n    found += lines.paths()\n    time.sleep(0.05)\n"
        "import os, sys\nsys.stdout.buffer.write(b'|'.join(os.fsencode(path) for path in found))"
    )
    folder = os.fsencode(tmp_path.resolve())
    names = [folder + b"/\xff.nxs", folder + b"/ a .nxs", folder + b"/last.nxs"]
    given = b"\n".join([names[0], b"", names[1], names[2], b""])
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, timeout=60, check=True)
    assert done.stdout.split(b"|") == names


def test_a_signal_while_it_starts_leaves_nothing_that_hinders_the_next(desk: Desk) -> None:
    desk.site('[limits]\npoll = 0.2\n[[detector]]\nfiles = ["*.nxs"]\nquiet = "0.2 s"\n')
    desk.scan("a.nxs", 1)
    for delay in (0.3, 0.8, 1.2, 1.6, 2.0, 2.5):
        process = desk.start("watch", "scans", "-o", "out/", "-r", "r.toml")
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGTERM)
    desk.run("watch", "scans", "-o", "out/", "-r", "r.toml", "--once")
    assert desk.states() == ["registered"]
    assert len(desk.datasets()) == 1
    assert json.loads(desk.run("status", "--json"))["counts"]["registered"] == 1
