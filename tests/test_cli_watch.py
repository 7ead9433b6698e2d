"""`watch` and `status` without a cluster: from a scan that is being written to its registered result."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import pytest

from desk import RECIPE, Desk
from hpcdaas.io.nxtomo_writer import write_simulation
from hpcdaas.tomo.simulate import Simulation, SimulationParameters

QUICK = '[limits]\npoll = 0.2\n[[detector]]\nfiles = ["*.nxs"]\nquiet = "0.5 s"\ngive_up = "3 s"\n'
PATIENCE = 90.0


class Watcher:
    """A watcher that is at work, and what it said."""

    def __init__(self, desk: Desk, *arguments: object, **pipes: Any) -> None:
        self.desk, self._log = desk, desk.folder / "events.jsonl"
        with self._log.open("ab") as log:
            self.process = desk.start("watch", "scans", *arguments, stderr=log, **pipes)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def wait(self, what: Callable[[], object]) -> None:
        until = time.monotonic() + PATIENCE
        while not what():
            assert self.process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < until, self._log.read_text()[-3000:]
            time.sleep(0.1)

    def names(self, event: str) -> list[str]:
        """Give the scans of some events, in their order."""
        return [Path(told["scan"]).stem for told in self.events if told["event"] == event]


@contextmanager
def watcher(desk: Desk, *arguments: object, **pipes: Any) -> Iterator[Watcher]:
    made = Watcher(desk, *(arguments or ("-o", "out/", "-r", "r.toml")), **pipes)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.communicate()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.site(QUICK)
    return made


def test_the_way_of_a_watched_scan(desk: Desk) -> None:
    desk.scan("one.nxs", 1)
    with watcher(desk, "-o", "out/", "-r", "r.toml", "--prometheus", "figures.prom") as at_work:
        at_work.wait(lambda: at_work.names("registered") == ["one"])
        assert all(set(event) >= {"time", "event"} for event in at_work.events)
        assert desk.run("status", "--health").strip() == "All is well."

        # what is still written is waited for; a half copy ends as partial, visibly
        whole = desk.scan("whole.bin", 2).read_bytes()
        (desk.folder / "scans" / "half.nxs").write_bytes(whole[: len(whole) // 2])
        at_work.wait(lambda: at_work.names("partial") == ["half"])

        # two watchers on one state folder: the second refuses
        second = desk.run("watch", "scans", "-o", "out/", "-r", "r.toml", code=2)
        assert "is looked after by" in second

        # one that is rewritten is another scan, and is done once more
        desk.scan("one.nxs", 3)
        at_work.wait(lambda: at_work.names("registered") == ["one", "one"])

        at_work.process.send_signal(signal.SIGTERM)
        assert at_work.process.wait(60) == 0
    assert at_work.events[-1]["event"] == "stopped"
    runs = {Path(run["scan"]).stem: run for run in desk.runs()}
    assert {name: run["state"] for name, run in runs.items()} == {"one": "registered", "half": "partial"}
    assert runs["half"]["reason"]
    assert len(desk.datasets()) == 2
    assert 'hpcdaas_runs{state="registered"}' in (desk.folder / "figures.prom").read_text()
    assert "No watcher is at work" in desk.run("status", "--health", code=1)
    assert "half.nxs" in desk.run("status", "--failed")
    assert json.loads(desk.run("status", "one.nxs", "--json"))["runs"][0]["pid"] == runs["one"]["pid"]
    usage = json.loads(desk.run("status", "--usage", "--json"))
    assert sum(row["runs"] for row in usage) == 1
    assert usage[0]["core_hours"] > 0


def test_several_recipes_go_in_their_order_and_drain_ends_the_watcher(desk: Desk) -> None:
    for number in range(4):
        desk.scan(f"s{number}.nxs", number)
    (desk.folder / "preview.toml").write_text(
        RECIPE.replace('"fast"', '"preview"').replace("[scan]", '[scan]\nrows = "1:2"')
    )
    with watcher(desk, "-o", "out/{recipe}/", "-r", "preview.toml", "-r", "r.toml") as at_work:
        at_work.wait(lambda: len(at_work.names("registered")) == 8)
        done = [event["recipe"] for event in at_work.events if event["event"] == "done"]
        assert "ended" in desk.run("watch", "scans", "-o", "out/", "--drain")
        assert at_work.process.wait(60) == 0
    assert done.index("preview") < done.index("fast")
    for run in desk.runs():
        with h5py.File(run["result"]) as file:
            assert len(file["entry/data/data"]) == (1 if run["recipe"] == "preview" else 4)


def test_announced_scans_need_no_folder_to_be_found_in(desk: Desk) -> None:
    (desk.folder / "elsewhere").mkdir()
    path = desk.folder / "elsewhere" / "x.nxs"
    write_simulation(path, Simulation(SimulationParameters(seed=5, rows=4, columns=64, angles=48)))
    with watcher(desk, "-o", "out/", "-r", "r.toml", "--announced", stdin=subprocess.PIPE) as at_work:
        assert at_work.process.stdin
        at_work.process.stdin.write(f"{path}\n")
        at_work.process.stdin.flush()
        at_work.wait(lambda: at_work.names("registered") == ["x"])


def test_a_recipe_that_fails_at_once_fails_once_for_each_scan(desk: Desk) -> None:
    (desk.folder / "r.toml").write_text(RECIPE.replace("center = 31.5", "center = 3100.5"))
    for number in range(3):
        desk.scan(f"s{number}.nxs", number)
    with watcher(desk) as at_work:
        at_work.wait(lambda: len(at_work.names("failed")) == 3)
        time.sleep(2)
        assert len(at_work.names("failed")) == 3
    for run in desk.runs():
        assert (run["state"], "center" in run["reason"] or "centre" in run["reason"]) == ("failed", True)
    assert not list((desk.folder / "out").iterdir())


def test_once_ends_when_all_is_done(desk: Desk) -> None:
    desk.scan("a.nxs", 1)
    desk.run("watch", "scans", "-o", "out/", "-r", "r.toml", "--once")
    assert desk.states() == ["registered"]
    # once more there is nothing to do, and paused nothing is started
    desk.run("watch", "scans", "-o", "out/", "-r", "r.toml", "--once")
    assert len(desk.datasets()) == 1
    desk.run("pause")
    desk.scan("b.nxs", 2)
    with watcher(desk) as at_work:
        at_work.wait(lambda: at_work.names("queued") == ["b"])
        time.sleep(1)
        assert not at_work.names("done")
        desk.run("pause", "--off")
        at_work.wait(lambda: at_work.names("registered") == ["b"])


@pytest.mark.parametrize(
    ("site", "says"),
    [
        ("[limits]\npol = 3\n", "pol"),
        ("[limits\n", "no TOML"),
        ('[[partition]]\nname = "day"\n', "cores"),
        ('timezone = "Mars/Olympus"\n', "time zone"),
        ('[[detector]]\nfiles = ["/abs/*.h5"]\n', "relative"),
    ],
)
def test_a_malformed_site_file_is_refused_in_one_line(desk: Desk, site: str, says: str) -> None:
    desk.site(site)
    said = desk.run("watch", "scans", "-o", "out/", "-r", "r.toml", code=2)
    assert says in said
    assert len(said.strip().splitlines()) <= 2
    assert not (desk.folder / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("watch", "nowhere", "-o", "out/"), "There is no folder"),
        (("watch", "scans", "-o", "out/{scann}.h5"), "scann"),
        (("watch", "scans", "-o", "out/one.h5"), "one.h5"),
        (("watch", "scans", "-o", "out/", "-r", "no.toml"), "no.toml"),
        (("submit", "scans/none.nxs", "-o", "out/"), "There is no file"),
        (("status", "abcdef"), "ledger"),
    ],
)
def test_wrong_arguments(desk: Desk, arguments: tuple[str, ...], says: str) -> None:
    said = desk.run(*arguments, code=2)
    assert says in said
    assert len(said.strip().splitlines()) <= 2


def test_a_scan_that_vanishes_while_it_waits(desk: Desk) -> None:
    desk.site(QUICK.replace('quiet = "0.5 s"', 'quiet = "4 s"').replace('"3 s"', '"60 s"'))
    scan = desk.scan("gone.nxs", 1)
    with watcher(desk) as at_work:
        at_work.wait(lambda: at_work.names("found") == ["gone"])
        scan.unlink()
        at_work.wait(lambda: at_work.names("failed") == ["gone"])
    assert "vanished" in desk.runs()[0]["reason"]
