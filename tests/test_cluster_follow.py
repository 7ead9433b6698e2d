"""What follows from an ending, within the site's limits."""

from __future__ import annotations

import pytest

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import now
from hpcdaas.cluster.runs.ending import Ending, Meaning
from hpcdaas.cluster.runs.follow import follow
from hpcdaas.cluster.site import Partition, Site

SITE = Site(partition=(Partition(name="day", cores=4, memory=8_000_000_000, time=7200.0),))


def entry(**values: object) -> Entry:
    base = Entry(1, "/d/a.nxs", "fine", 1, State.RUNNING, "t", place="job", intent="hpcdaas-ab", job="7", tries=1)
    return Entry(**{**base.__dict__, **values})


def after(meaning: Meaning, reason: str = "why", seconds: float = 0.0, **values: object) -> Entry:
    row = entry(**values)
    return Entry(**{**row.__dict__, **follow(SITE, row, Ending(1, meaning, reason, seconds=seconds))})


def test_done_and_failed() -> None:
    assert after(Meaning.DONE, "").state is State.DONE
    failed = after(Meaning.FAILED)
    assert (failed.state, failed.reason) == (State.FAILED, "why")
    assert failed.ended is not None


@pytest.mark.parametrize("meaning", [Meaning.AGAIN, Meaning.MORE_TIME, Meaning.MORE_MEMORY])
def test_the_cluster_s_faults_are_tried_again_within_limits(meaning: Meaning) -> None:
    row = after(meaning)
    assert (row.state, row.place, row.job, row.intent, row.reason) == (State.QUEUED, None, None, None, "why")
    assert after(meaning, tries=3).state is State.FAILED


def test_a_checkpoint_costs_no_try() -> None:
    assert after(Meaning.ON, tries=3).tries == 2
    assert after(Meaning.ON, tries=3).state is State.QUEUED


@pytest.mark.parametrize("meaning", [Meaning.BUSY, Meaning.NO_ROOM])
def test_what_passes_by_itself_is_tried_later(meaning: Meaning) -> None:
    row = after(meaning, tries=3)
    assert (row.state, row.tries) == (State.QUEUED, 2)
    assert row.not_before is not None
    assert now() < row.not_before < now(120)


def test_a_scan_that_was_rewritten_is_looked_at_anew() -> None:
    row = after(Meaning.REWRITTEN, run="ab" * 32)
    assert (row.state, row.run, row.place, row.tries) == (State.WAITING, None, None, 0)


def test_more_time_and_memory() -> None:
    assert after(Meaning.MORE_TIME, seconds=1000.0).seconds == 2000.0
    assert after(Meaning.MORE_TIME, seconds=1000.0, tries=2).seconds == 2000.0
    assert after(Meaning.MORE_MEMORY).memory == 8_000_000_000
    assert after(Meaning.MORE_MEMORY, memory=8_000_000_000).state is State.FAILED
