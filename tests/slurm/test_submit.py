"""`submit`, `status`, `cancel` and `retry` against a real SLURM: jobs of their own, arrays, what goes wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from private_slurm import eventually

from desk import RECIPE, Desk


def test_jobs_go_on_after_submit_has_left(desk: Desk) -> None:
    scan = desk.scan('a scan\'s "name" $HOME é.nxs')
    assert "job" in desk.submit([scan])
    eventually("registered", lambda: desk.states() == ["registered"], 60)
    run = desk.runs()[0]
    assert Path(run["result"]).exists()
    assert run["job"].isdigit()
    assert [dataset["pid"] for dataset in desk.datasets()] == [run["pid"]]
    assert "complete" not in desk.submit([scan])  # it is there already
    assert len(desk.runs()) == 1


def test_waiting_for_several_as_an_array(desk: Desk) -> None:
    scans = [desk.scan(f"s{number}.nxs", number) for number in range(5)]
    said = desk.run("submit", *scans, "-r", "r.toml", "-o", "out/", "--json")
    jobs = {run["job"] for run in json.loads(said)["runs"]}
    assert len(jobs) == 5
    assert len({job.partition("_")[0] for job in jobs}) == 1
    eventually("registered", lambda: desk.states() == ["registered"] * 5, 60)
    assert len(desk.datasets()) == 5
    assert len({run["result"] for run in desk.runs()}) == 5


def test_ranks_over_two_nodes(desk: Desk) -> None:
    desk.site(
        '[[pool]]\nname = "mpi"\npartition = "day"\nnodes = 2\nranks = 1\ncores = 1\nmemory = "1 GB"\n'
        "[limits]\npool_seconds = 0"
    )
    scan = desk.scan()
    desk.submit([scan], "--wait")
    run = desk.runs()[0]
    assert run["state"] == "registered"
    shown = desk.cluster.command("scontrol", "show", "job", run["job"])
    assert "NumNodes=2" in shown
    outcome = json.loads((Path(run["log"]).parent / "outcome.json").read_text())
    assert outcome["run"] == run["run"]


def test_what_slurm_refuses_is_said(desk: Desk) -> None:
    desk.site(
        '[[pool]]\nname = "cpu"\npartition = "day"\nmemory = "1 GB"\naccount = "nobody"\n[limits]\npool_seconds = 0'
    )
    (desk.folder / "site.toml").write_text(
        (desk.folder / "site.toml")
        .read_text()
        .replace('name = "day"', 'name = "nowhere"')
        .replace('"day"', '"nowhere"')
    )
    said = desk.submit([desk.scan()], "--wait", code=1)
    assert "1 of 1 failed" in said
    assert "partition" in str(desk.runs()[0]["reason"])


def test_a_run_that_fails_fails_once(desk: Desk) -> None:
    scan = desk.scan()
    recipe = desk.folder / "r.toml"
    step = '[[step]]\nuse = "center"\n[[step]]\nuse = "fbp"'  # which can't be found in so few pixels
    recipe.write_text(RECIPE.replace("center = 31.5", "").replace('[[step]]\nuse = "fbp"', step))
    desk.submit([scan], "--wait", code=1)
    run = desk.runs()[0]
    assert (run["state"], run["job"] is not None) == ("failed", True)
    assert "rotation centre isn't sure" in run["reason"]
    assert desk.datasets() == []
    assert list((desk.folder / "out").iterdir()) == []


def test_cancelled_in_the_queue(desk: Desk) -> None:
    desk.cluster.command("sbatch", "--exclusive", "--nodes=2", "--wrap=sleep 100", "--output=/dev/null")
    eventually("it is full", lambda: "RUNNING" in desk.cluster.command("squeue", "-h", "-o", "%T"))
    scan = desk.scan()
    desk.submit([scan])
    job = desk.runs()[0]["job"]
    assert "1 cancelled" in desk.run("cancel", scan)
    assert desk.states() == ["cancelled"]
    eventually(
        "it is gone", lambda: "CANCELLED" in desk.cluster.command("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")
    )
    desk.cluster.cancel_all()
    assert "1 will be tried" in desk.run("retry", scan)
    desk.submit([scan], "--wait")
    assert desk.states() == ["registered"]


def test_again_is_another_run(desk: Desk) -> None:
    scan = desk.scan()
    desk.submit([scan], "--wait")
    desk.submit([scan], "--wait", "--again")
    first, second = desk.runs()
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["run"] != second["run"]
    assert len(desk.datasets()) == 2


def test_a_copy_is_the_same_scan(desk: Desk) -> None:
    scan = desk.scan()
    copy = scan.with_name("copy.nxs")
    copy.write_bytes(scan.read_bytes())
    desk.submit([scan, copy], "--wait")
    first, second = desk.runs()
    assert first["run"] == second["run"]
    assert first["result"] == second["result"]
    assert [first["state"], second["state"]] == ["registered"] * 2
    assert len(desk.datasets()) == 1


def test_no_secret_and_no_variable_of_the_submitter_reaches_a_job(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.cluster.environment["HPCDAAS_CATALOG_TOKEN"] = "very-secret"
    try:
        desk.submit([desk.scan()], "--wait")
    finally:
        del desk.cluster.environment["HPCDAAS_CATALOG_TOKEN"]
    for path in desk.folder.rglob("*"):
        assert not path.is_file() or b"very-secret" not in path.read_bytes(), path
    assert os.environ.get("HPCDAAS_CATALOG_TOKEN") is None


@pytest.mark.parametrize("where", ["pools", "jobs"])
def test_what_the_site_says_of_results(desk: Desk, where: str) -> None:
    desk.site(
        '[[pool]]\nname = "cpu"\npartition = "day"\nmemory = "1 GB"\n'
        '[files]\nmode = "0640"\ngroup = "daemon"\n[catalog]\nprefix = "20.500.7/"\n'
        f"[limits]\npool_seconds = {60 if where == 'pools' else 0}"
    )
    desk.submit([desk.scan()], "--wait")
    run = desk.runs()[0]
    result = Path(run["result"])
    assert (run["job"] is None) == (where == "pools")
    assert result.stat().st_mode & 0o7777 == 0o640
    assert result.group() == "daemon"
    assert run["pid"].startswith("20.500.7/")
    assert [dataset["pid"] for dataset in desk.datasets()] == [run["pid"]]
