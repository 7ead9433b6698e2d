"""Who does which run, and what follows: crash windows, cancelled and rewritten runs, one group beside another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hpcdaas.cluster.entry import State
from hpcdaas.cluster.runs.ending import Ending, Meaning
from hpcdaas.cluster.slurm import SlurmAway, SlurmRefused
from office import Office, outcome

AWAY = SlurmAway("SLURM doesn't answer: test.")
BIG = 4 * 3600.0  # core seconds: more than a pool takes


def test_the_cap_on_queued_jobs_holds_beside_a_pool(tmp_path: Path) -> None:
    office = Office(tmp_path, pools=True, limits={"queued": 3})
    for number in range(20):
        office.queued(f"big{number}", work=BIG)
    for _ in range(5):
        office.round()
    assert len(office.slurm.states) == 3


@pytest.mark.parametrize("first", ["small", "big"])
def test_runs_for_a_pool_and_runs_for_jobs_do_not_wait_for_each_other(tmp_path: Path, first: str) -> None:
    office = Office(tmp_path, pools=True, limits={"queued": 3})
    for number in range(60):
        office.queued(f"first{number}", work=1.0 if first == "small" else BIG)
    other = office.queued("other", work=BIG if first == "small" else 1.0)
    for _ in range(3):
        office.round()
    assert office.entry(other).place == ("job" if first == "small" else "pool:cpu")


def test_a_group_with_very_many_scans_does_not_keep_another_one_waiting(tmp_path: Path) -> None:
    office = Office(tmp_path, limits={"queued": 4})
    many = [office.queued(f"a{number:02}", group="a") for number in range(30)]
    office.round()
    one = office.queued("b", group="b")
    assert sum(office.entry(entry).place is not None for entry in many) == 4
    job = office.entry(many[0]).job
    assert job
    office.ended(many[0], 0)
    office.slurm.set(job, "COMPLETED")
    office.round()
    assert office.entry(one).place == "job"


def test_the_urgent_go_first_whatever_their_group(tmp_path: Path) -> None:
    office = Office(tmp_path, limits={"queued": 1})
    office.queued("a", group="a", priority=-1)
    preview = office.queued("b", group="a", priority=0)
    office.queued("c", group="b", priority=-1)
    office.round()
    assert office.entry(preview).place == "job"


def test_slurm_that_is_away_is_not_asked_once_for_each_run(tmp_path: Path) -> None:
    """Each call may take half a minute: the watcher would neither look at folders nor end."""
    office = Office(tmp_path)
    office.slurm.trouble["submit"] = AWAY
    entries = [office.queued(f"a{number}", work=1000.0 * number) for number in range(30)]
    office.round()
    assert office.slurm.calls.count("submit") == 1
    del office.slurm.trouble["submit"]
    office.round()
    assert all(office.entry(entry).state is State.QUEUED for entry in entries)


def test_slurm_that_is_away_when_an_array_is_to_be_made(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.slurm.trouble["configuration"] = AWAY
    entries = [office.queued(f"a{number}") for number in range(5)]
    office.round()
    assert "slurm away" in office.events()
    del office.slurm.trouble["configuration"]
    office.round()
    assert [office.entry(entry).job for entry in entries] == [f"101_{index}" for index in range(5)]


def test_runs_that_are_nearly_alike_are_one_array(tmp_path: Path) -> None:
    """Estimates are corrected with every run that ends, and so they are never quite the same."""
    office = Office(tmp_path)
    entries = [office.queued(f"a{number}", work=1.0 + 0.01 * number) for number in range(5)]
    office.round()
    assert {(office.entry(entry).job or "").partition("_")[0] for entry in entries} == {"101"}


def test_what_slurm_is_asked_and_cannot_be_fails_that_run_only(tmp_path: Path) -> None:
    """A group's folder may have any name, and becomes its account."""
    folder = tmp_path / "p\n1"
    folder.mkdir()
    owners = [{"pattern": f"{tmp_path}/{{proposal}}/**", "account": "{proposal}", "roots": [str(tmp_path)]}]
    office = Office(tmp_path, owner=[*owners, {"pattern": f"{tmp_path}/*", "roots": [str(tmp_path)]}])
    bad = office.queued("p\n1/a", run="ab" * 32, result=str(tmp_path / "x.h5"))
    good = office.queued("b")
    office.round()
    assert office.entry(bad).state is State.FAILED
    assert "option of sbatch" in (office.entry(bad).reason or "")
    assert office.entry(good).job == "101"


def test_a_refusal_is_said_and_others_go_on(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.slurm.trouble["submit"] = SlurmRefused("SLURM refuses: Invalid account.", "Correct the site file.")
    entry = office.queued()
    office.round()
    assert office.entry(entry).state is State.FAILED
    assert "Invalid account" in (office.entry(entry).reason or "")


def test_a_recipe_that_was_removed_fails_its_run_only(tmp_path: Path) -> None:
    office = Office(tmp_path, pools=True)
    bad, good = office.queued("a"), office.queued("b")
    shutil.rmtree(office.state.run_folder(bad.run or ""))
    office.round()
    assert office.entry(bad).state is State.FAILED
    assert "retry" in (office.entry(bad).reason or "")
    assert office.entry(good).place == "pool:cpu"


def test_an_older_job_of_a_run_is_not_taken_for_the_one_that_was_to_be_submitted(tmp_path: Path) -> None:
    """A try that costs none, `retry`: tries are counted again from before, and SLURM remembers for minutes or days."""
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.ended(entry, 2, "busy")
    office.slurm.set("101", "FAILED", exit_code=2)
    office.dispatcher.collect()
    assert office.entry(entry).tries == 0
    office.ledger.change(entry.id, not_before=None)
    office.slurm.trouble["submit"] = AWAY
    office.dispatcher.start()
    del office.slurm.trouble["submit"]
    office.ledger.change(entry.id, not_before=None)
    office.dispatcher.collect()
    found = office.entry(entry)
    assert (found.state, found.job) == (State.QUEUED, None)
    office.round()
    assert office.entry(entry).job == "102"


def test_killed_between_intent_and_number(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entries = [office.queued(f"a{number}") for number in range(6)]
    office.round()
    for entry in entries:  # sbatch had been called, and the process died before it could write down the number
        office.ledger.change(entry.id, job=None)
    office.slurm.calls.clear()
    office.new().recover()
    assert [office.entry(entry).job for entry in entries] == [f"101_{index}" for index in range(6)]
    assert office.slurm.calls.count("find") == 1  # not once for each of a thousand tasks


def test_slurm_is_away_when_a_process_takes_over(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.ledger.change(entry.id, job=None)
    office.slurm.trouble["find"] = AWAY
    office.new().recover()
    office.dispatcher.collect()
    calls = office.slurm.calls.count("find")
    for _ in range(10):
        office.round()
    assert office.slurm.calls.count("find") == calls  # later again, not with every round
    del office.slurm.trouble["find"]
    office.ledger.change(entry.id, not_before=None)
    office.dispatcher.collect()
    assert office.entry(entry).job == "101"


def test_a_number_that_slurm_has_given_to_another_job(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.slurm.states["101"] = type(office.slurm.states["101"])("101", "somebody's", "RUNNING")
    office.dispatcher.collect()
    assert office.entry(entry).state is State.QUEUED
    assert office.entry(entry).job is None
    assert office.slurm.cancelled == []


def test_a_job_that_ended_before_the_program_began_is_tried_again(tmp_path: Path) -> None:
    """A node without the file system or the module fails all that it is given, at once."""
    office = Office(tmp_path)
    entry = office.queued()
    for job in ("101", "102"):
        office.round()
        office.slurm.set(job, "FAILED", exit_code=1, reason="NonZeroExitCode")
        office.dispatcher.collect()
        assert office.entry(entry).state is State.QUEUED
    office.round()
    office.slurm.set("103", "FAILED", exit_code=1, reason="NonZeroExitCode")
    office.dispatcher.collect()
    assert office.entry(entry).state is State.FAILED
    assert "log.txt" in (office.entry(entry).reason or "")


def test_warned_of_its_time_limit_before_it_could_listen(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.ended(entry, 138)
    office.slurm.set("101", "FAILED", exit_code=138)
    office.dispatcher.collect()
    assert office.entry(entry).state is State.QUEUED
    assert office.entry(entry).seconds == 1200.0


@pytest.mark.parametrize(
    ("state", "said"), [("OUT_OF_MEMORY", "memory"), ("TIMEOUT", "seconds"), ("NODE_FAIL", ""), ("PREEMPTED", "")]
)
@pytest.mark.parametrize("code", [None, 1, 9, 137])
def test_a_launcher_s_code_of_ranks_that_were_killed(tmp_path: Path, state: str, said: str, code: int | None) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    if code is not None:
        office.ended(entry, code)
    office.slurm.set("101", state, exit_code=code or 0)
    office.dispatcher.collect()
    found = office.entry(entry)
    assert (found.state, found.place) == (State.QUEUED, None)
    assert state in (found.reason or "")
    assert bool(found.memory) is (said == "memory")
    assert bool(found.seconds) is (said == "seconds")


def test_what_the_program_says_counts_before_what_slurm_makes_of_it(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.ended(entry, 2, "input")
    office.slurm.set("101", "TIMEOUT")
    office.dispatcher.collect()
    assert (office.entry(entry).state, office.entry(entry).reason) == (State.FAILED, "It is input.")


@pytest.mark.parametrize("state", ["queued", "running", "done"])
def test_a_copy_goes_on_alone_when_the_first_one_is_cancelled(tmp_path: Path, state: str) -> None:
    office = Office(tmp_path)
    first = office.queued("first")
    if state != "queued":
        office.round()
        office.slurm.set("101", "RUNNING", start="2026-01-01T00:00:00Z")
        office.dispatcher.collect()
    copy = office.queued("copy", run=first.run or "", twin=first.id)
    if state == "done":
        office.ended(first, 0)
        office.slurm.set("101", "COMPLETED")
        office.dispatcher.collect()
        assert office.entry(copy).state is State.DONE
    office.ledger.change(first.id, "cancelled by its user", state=State.CANCELLED)
    office.round()
    found = office.entry(copy)
    assert found.twin is None
    if state == "done":
        assert [entry.id for entry in office.ledger.done()] == [copy.id]
    else:
        assert found.job is not None


def test_a_copy_goes_on_alone_when_the_first_one_is_rewritten(tmp_path: Path) -> None:
    office = Office(tmp_path)
    first = office.queued("first")
    copy = office.queued("copy", run=first.run or "", twin=first.id)
    office.dispatcher.rewritten(Path(first.scan))
    assert office.entry(first).state is State.WAITING
    office.round()
    assert office.entry(copy).job == "101"


def test_a_cancelled_copy_stays_cancelled(tmp_path: Path) -> None:
    office = Office(tmp_path)
    first = office.queued("first")
    copy = office.queued("copy", run=first.run or "", twin=first.id)
    office.ledger.change(copy.id, state=State.CANCELLED)
    office.dispatcher.end(Ending(first.id, Meaning.DONE))
    assert office.entry(copy).state is State.CANCELLED


def test_cancelled_just_when_a_worker_begins(tmp_path: Path) -> None:
    office = Office(tmp_path, pools=True)
    entry = office.queued()
    office.round()
    office.pools.futures[0].start("here")
    office.ledger.change(entry.id, "cancelled by its user", state=State.CANCELLED)  # by another process
    office.round()
    assert office.entry(entry).state is State.CANCELLED
    assert office.pools.unwanted == office.pools.futures


def test_cancelled_just_when_its_job_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.slurm.set("101", "RUNNING", start="2026-01-01T00:00:00Z")
    ask = office.slurm.jobs

    def asked(ids: object) -> object:
        office.ledger.change(entry.id, state=State.CANCELLED)
        return ask(ids)  # type: ignore[arg-type]

    monkeypatch.setattr(office.slurm, "jobs", asked)
    office.round()
    assert office.entry(entry).state is State.CANCELLED
    assert office.slurm.cancelled == ["101"]


def test_retried_before_the_worker_has_let_go(tmp_path: Path) -> None:
    office = Office(tmp_path, pools=True)
    entry = office.queued()
    office.round()
    office.ledger.change(entry.id, state=State.CANCELLED)
    office.round()
    office.ledger.change(entry.id, state=State.QUEUED, place=None)
    office.round()
    old, new = office.pools.futures
    old.end(outcome(old, "cancelled"))
    office.round()
    assert office.entry(entry).state is State.QUEUED
    new.end(outcome(new))
    office.round()
    assert office.entry(entry).state is State.DONE


def test_cancelled_while_nobody_knows_whether_it_was_submitted(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.ledger.change(entry.id, job=None, state=State.CANCELLED)  # sbatch got no answer, and was heard
    office.dispatcher.collect()
    assert office.slurm.cancelled == ["101"]
    assert office.entry(entry).place is None


def test_a_watcher_that_is_started_anew_costs_a_run_no_try(tmp_path: Path) -> None:
    office = Office(tmp_path, pools=True)
    entry = office.queued()
    for _ in range(5):
        office.round()
        assert office.entry(entry).tries == 1
        office.pools.futures.clear()
        office.new().recover()
        assert office.entry(entry).tries == 0


def test_rewritten_while_it_is_worked_on_and_the_watcher_is_killed(tmp_path: Path) -> None:
    office = Office(tmp_path)
    entry = office.queued()
    office.round()
    office.dispatcher.rewritten(Path(entry.scan))
    office.new().recover()
    office.ended(entry, 0)
    office.slurm.set("101", "COMPLETED")
    office.dispatcher.collect()
    found = office.entry(entry)
    assert (found.state, found.run, found.signature) == (State.WAITING, None, None)


def test_a_result_s_name_that_is_a_folder_stops_nobody_from_taking_over(tmp_path: Path) -> None:
    office = Office(tmp_path, pools=True)
    entry = office.queued()
    office.round()
    Path(entry.result or "").mkdir()
    office.new().recover()
    assert office.entry(entry).place is None


def test_a_full_quota_pauses_that_group_only(tmp_path: Path) -> None:
    office = Office(tmp_path, pools=True)
    full, same, other = (office.queued(name, group=group) for name, group in (("a", "g"), ("b", "g"), ("c", "h")))
    office.ledger.change(same.id, not_before="9999")
    office.ledger.change(other.id, not_before="9999")
    office.round()
    office.pools.futures[0].end(outcome(office.pools.futures[0], "room"))
    office.round()
    office.ledger.change(same.id, not_before=None)
    office.ledger.change(other.id, not_before=None)
    office.round()
    assert office.events("full") == ["full"]
    assert office.entry(full).state is State.QUEUED
    assert office.entry(full).tries == 0
    assert office.entry(same).place is None
    assert office.entry(other).place == "pool:cpu"
    office.ledger.say("full", {"g": "2000"})  # half a minute later
    office.round()
    assert office.entry(same).place == "pool:cpu"
