"""What SLURM's commands print, and what it means, without SLURM."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from hpcdaas.cluster.slurm import Slurm, log_pattern
from hpcdaas.cluster.slurm.command import SlurmAway, SlurmRefused, failure
from hpcdaas.cluster.slurm.environment import for_jobs, for_queries
from hpcdaas.cluster.slurm.nodes import from_scontrol, from_sinfo, gpus
from hpcdaas.cluster.slurm.poll import Poll
from hpcdaas.cluster.slurm.states import FIELD, RECORD, JobState, Meaning, exit_code, expand, from_sacct, from_squeue
from hpcdaas.cluster.slurm.states import seconds as read_seconds
from hpcdaas.errors import InputError


def squeue(*jobs: tuple[str, ...]) -> str:
    return "".join(FIELD.join(job) + RECORD + "\n" for job in jobs)


RUNNING = ("7", "RUNNING", "None", "0", "1", "1-02:00:00", "2026-01-02T03:04:05", "2026-01-03T05:04:05", "node[1-2]")
FAILED = ("8_3", "FAILED", "NonZeroExitCode", "768", "0", "10:00", "2026-01-02T03:04:05", "2026-01-02T03:05:05", "n1")
WAITING = ("9", "PENDING", "launch failed requeued held", "0", "0", "UNLIMITED", "2026-01-09T00:00:00", "N/A", "")


def test_a_running_job_has_no_end_yet() -> None:
    (job,) = from_squeue(squeue((*RUNNING, "a name")))
    assert job == JobState(
        "7", "a name", "RUNNING", nodes="node[1-2]", start="2026-01-02T03:04:05Z", limit=26 * 3600.0, restarts=1
    )
    assert job.alive
    assert not job.stuck


def test_a_failed_task() -> None:
    (job,) = from_squeue(squeue((*FAILED, "x")))
    assert (job.id, job.exit_code, job.signal, job.end) == ("8_3", 3, 0, "2026-01-02T03:05:05Z")


def test_a_job_that_waits_has_not_started_and_may_be_stuck() -> None:
    (job,) = from_squeue(squeue((*WAITING, "x")))
    assert (job.start, job.limit, job.reason) == (None, None, "launch_failed_requeued_held")
    assert job.alive
    assert job.stuck


def test_names_of_jobs_may_hold_what_separates_lines_and_words() -> None:
    names = ["two\nlines", "a|b, 'c' \"d\"", f"with {FIELD} inside", "", "ü" * 300, " spaces "]
    read = from_squeue("CLUSTER: merlin\n" + squeue(*((*RUNNING, name) for name in names)))
    assert [(job.id, job.name) for job in read] == [("7", name) for name in names]


def test_nothing_in_the_queue() -> None:
    assert list(from_squeue("")) == []
    assert list(from_squeue("CLUSTER: merlin\n")) == []


def test_accounting_has_its_own_words() -> None:
    lines = [
        (
            "12_[4-6%2]",
            "CANCELLED by 1000",
            "None",
            "0:0",
            "00:10:00",
            "None",
            "2026-01-02T03:04:05",
            "None assigned",
            "a",
        ),
        (
            "13",
            "OUT_OF_MEMORY",
            "None",
            "0:125",
            "UNLIMITED",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:06",
            "n1",
            "b c",
        ),
    ]
    jobs = list(from_sacct("\n".join(map(FIELD.join, lines)) + "\n"))
    assert [job.id for job in jobs] == ["12_4", "12_5", "12_6", "13"]
    assert [job.meaning for job in jobs] == [Meaning.CANCELLED] * 3 + [Meaning.MORE_MEMORY]
    assert (jobs[0].start, jobs[0].nodes, jobs[3].signal, jobs[3].name) == (None, "", 125, "b c")


@pytest.mark.parametrize(
    ("ids", "tasks"),
    [
        ("12", ["12"]),
        ("12_3", ["12_3"]),
        ("12_[3]", ["12_3"]),
        ("12_[0-2,8%2]", ["12_0", "12_1", "12_2", "12_8"]),
        ("12_[1-9:4%1]", ["12_1", "12_5", "12_9"]),
        ("12_[0-3...]", ["12_[0-3...]"]),
    ],
)
def test_tasks_that_are_shown_as_one(ids: str, tasks: list[str]) -> None:
    assert expand(ids) == tasks


@pytest.mark.parametrize(
    ("word", "code"),
    [("768", (3, 0)), ("9", (0, 9)), ("3:0", (3, 0)), ("0:15", (0, 15)), ("", (0, 0)), ("N/A", (0, 0))],
)
def test_exit_codes_of_old_and_new_versions(word: str, code: tuple[int, int]) -> None:
    assert exit_code(word) == code


@pytest.mark.parametrize(
    ("word", "seconds"),
    [("1:00", 60.0), ("2:03:04", 7384.0), ("1-00:00:00", 86400.0), ("UNLIMITED", None), ("infinite", None), ("", None)],
)
def test_time_limits(word: str, seconds: float | None) -> None:
    assert read_seconds(word) == seconds


@pytest.mark.parametrize(
    ("job", "meaning"),
    [
        (JobState("1"), Meaning.UNKNOWN),
        (JobState("1", state="COMPLETED"), Meaning.DONE),
        (JobState("1", state="COMPLETING"), Meaning.ALIVE),
        (JobState("1", state="SUSPENDED"), Meaning.ALIVE),
        (JobState("1", state="A_NEW_WORD"), Meaning.ALIVE),
        (JobState("1", state="FAILED", exit_code=1), Meaning.FAILED),
        (JobState("1", state="FAILED", exit_code=3), Meaning.AGAIN),
        (JobState("1", state="FAILED", reason="JobLaunchFailure"), Meaning.AGAIN),
        (JobState("1", state="PREEMPTED"), Meaning.AGAIN),
        (JobState("1", state="BOOT_FAIL"), Meaning.AGAIN),
        (JobState("1", state="DEADLINE"), Meaning.MORE_TIME),
    ],
)
def test_what_a_state_means(job: JobState, meaning: Meaning) -> None:
    assert job.meaning is meaning
    assert job.alive == (meaning is Meaning.ALIVE)


@pytest.mark.parametrize(
    "said",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        "sinfo: fatal: Could not establish a configuration source",
        "sbatch: error: If munged is up, restart with --num-threads=10\nsbatch: error: Munge encode failed",
        "sacct: error: Problem talking to the database: Connection refused",
    ],
)
def test_no_answer(said: str) -> None:
    assert isinstance(failure("sbatch", said), SlurmAway)


@pytest.mark.parametrize(
    ("said", "transient"),
    [
        ("sbatch: error: Batch job submission failed: Resource temporarily unavailable", True),
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: "
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            True,
        ),
        ("sbatch: error: AssocGrpSubmitJobsLimit\nsbatch: error: Batch job submission failed: Job violates ...", True),
        (
            "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: "
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            False,
        ),
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", False),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
            False,
        ),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available", False),
        (
            "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or too long)",
            False,
        ),
    ],
)
def test_refusals_that_may_pass_and_those_that_do_not(said: str, transient: bool) -> None:
    error = failure("sbatch", said)
    assert isinstance(error, SlurmRefused)
    assert error.transient == transient
    assert "sbatch" not in error.message
    assert "\n" not in error.message


def test_a_job_sees_nothing_of_the_submitter_but_who_and_where() -> None:
    mine = {"HOME": "/home/u", "PATH": "/bin", "LC_TIME": "C", "SLURM_CONF": "/etc/s.conf"}
    theirs = {
        "SLURM_JOB_ID": "1",
        "SBATCH_ACCOUNT": "a",
        "PMI_RANK": "0",
        "OMPI_X": "",
        "SCICAT_TOKEN": "s",
        "TMPDIR": "/t",
    }
    assert for_jobs(mine | theirs) == mine


def test_people_s_settings_do_not_change_what_is_read() -> None:
    seen = for_queries(
        {"SQUEUE_FORMAT": "%i", "SLURM_CLUSTERS": "all", "SLURM_CONF": "/c", "TZ": "Asia/Tokyo", "HOME": "/h"}
    )
    assert not seen.keys() & {"SQUEUE_FORMAT", "SLURM_CLUSTERS"}
    assert (seen["TZ"], seen["SLURM_CONF"], seen["HOME"]) == ("UTC", "/c", "/h")


def test_machine_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sbatch, squeue"):
        Slurm()


def test_a_command_that_hangs_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SlurmAway, match="squeue took over"):
        Slurm(timeout=0.2).jobs(["1"])


def test_percent_signs_of_a_folder_are_no_pattern() -> None:
    assert log_pattern(Path("/data/50%j")) == "/data/50%%j/slurm-%j.log"
    assert log_pattern(Path("/data"), array=True) == "/data/slurm-%A_%a.log"


@pytest.mark.parametrize(
    ("gres", "count", "kinds"),
    [
        ("(null)", 0, ()),
        ("gpu:2", 2, ()),
        ("gpu:a100:4(S:0-1)", 4, ("a100",)),
        ("gpu:a100:4(S:0,3),gpu:v100:2,craynetwork:4", 6, ("a100", "v100")),
        ("shard:8,gpu:1", 1, ()),
        ("gpu", 1, ()),
    ],
)
def test_gpus_of_a_node(gres: str, count: int, kinds: tuple[str, ...]) -> None:
    assert gpus(gres) == (count, kinds)


def test_a_partition_is_as_small_as_its_smallest_node() -> None:
    lines = [
        ("n1", "day", "64", "2", "257000", "gpu:a100:4", "amd,fast", "mixed", "none"),
        ("n2", "day", "48", "1", "128000+", "(null)", "(null)", "down*", "broken | fan"),
        ("n1", "night", "64", "2", "257000", "gpu:a100:4", "amd,fast", "mixed", "none"),
    ]
    nodes = from_sinfo("\n".join(map(FIELD.join, lines)))
    assert [(n.name, n.partitions, n.cores, n.usable) for n in nodes] == [
        ("n1", ("day", "night"), 32, True),
        ("n2", ("day",), 48, False),
    ]
    assert (nodes[0].features, nodes[1].reason) == (("amd", "fast"), "broken | fan")
    told = (
        "PartitionName=day AllowGroups=ALL AllowAccounts=p1,p2 AllowQos=ALL Default=YES DefaultTime=NONE MaxNodes=1 "
        "MaxTime=1-00:00:00 State=UP\nPartitionName=empty State=UP\n"
    )
    (day,) = from_scontrol(told, nodes)
    assert (day.cores, day.memory, day.gpus, day.nodes, day.job_nodes) == (32, 128000 * 2**20, 0, 2, 1)
    assert (day.default, day.up, day.time, day.default_time) == (True, True, 86400.0, None)
    assert (day.accounts, day.groups, day.qos) == (("p1", "p2"), (), ())


class Queue:
    """Jobs as SLURM would tell them, and a clock."""

    def __init__(self) -> None:
        self.now, self.queries, self.away = 0.0, 0, False
        self.states: dict[str, str] = {}

    def jobs(self, ids: Iterable[str]) -> dict[str, JobState]:
        self.queries += 1
        if self.away:
            raise SlurmAway("away")
        return {each: JobState(each, state=self.states.get(each, "RUNNING")) for each in ids}

    def run(self, poll: Poll, seconds: float) -> int:
        """Call poll ten times a second; give the queries that this made."""
        before = self.queries
        for _ in range(round(10 * seconds)):
            self.now += 0.1
            poll.poll()
        return self.queries - before


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def poll(queue: Queue) -> Poll:
    return Poll(queue, clock=lambda: queue.now)


def test_nobody_is_asked_without_jobs(queue: Queue, poll: Poll) -> None:
    assert queue.run(poll, 100) == 0
    assert poll.due == float("inf")


def test_the_wait_grows_while_nothing_happens_and_no_further(queue: Queue, poll: Poll) -> None:
    poll.add(["1"])
    assert queue.run(poll, 60) <= 12
    assert 18 <= queue.run(poll, 600) <= 21


def test_a_change_is_seen_and_makes_the_wait_short_again(queue: Queue, poll: Poll) -> None:
    poll.add(["1"])
    queue.run(poll, 600)
    queue.states["1"] = "COMPLETED"
    queue.run(poll, 31)
    assert poll.poll()["1"].state == "COMPLETED"
    assert poll.due <= 30
    poll.add(["2"])
    queue.run(poll, 1.1)
    assert "2" in poll.poll()


def test_with_300_jobs_that_change_all_the_time_there_is_a_query_in_five_seconds(queue: Queue, poll: Poll) -> None:
    poll.add(map(str, range(300)))
    words = itertools.cycle(["RUNNING", "COMPLETING"])
    total = 0
    for _ in range(1000):
        queue.states = dict.fromkeys(map(str, range(300)), next(words))
        total += queue.run(poll, 0.1)
    assert total <= 21


def test_no_answer_keeps_what_was_known_and_asks_less_often(queue: Queue, poll: Poll) -> None:
    poll.add(["1"])
    queue.run(poll, 1)
    queue.away = True
    assert queue.run(poll, 300) <= 15
    assert poll.away
    assert poll.poll()["1"].state == "RUNNING"
    queue.away = False
    queue.run(poll, 31)
    assert poll.away is None


def test_dropped_jobs_are_not_asked_for(queue: Queue, poll: Poll) -> None:
    poll.add(["1", "2"])
    queue.run(poll, 1)
    poll.drop(["1"])
    assert set(poll.poll()) == {"2"} == poll.ids
