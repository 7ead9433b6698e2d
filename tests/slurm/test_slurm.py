"""`cluster.slurm` against a real SLURM."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from private_slurm import Cluster, eventually

from hpcdaas.cluster.slurm import JobState, Slurm, SlurmAway, SlurmRefused
from hpcdaas.cluster.slurm.poll import Poll
from hpcdaas.cluster.slurm.states import Meaning
from hpcdaas.errors import InputError

SLEEP = "#!/bin/bash\nexec sleep 300\n"
SMALL = ["--mem=10", "--ntasks=1"]


@pytest.fixture
def commands(slurm: Cluster) -> Slurm:
    return Slurm()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place with a name that a careless script or a pattern of SLURM would take for something else."""
    path = tmp_path / "50%j of 'it' $HOME ü"
    path.mkdir()
    return path


def state(commands: Slurm, job: str) -> JobState:
    return commands.jobs([job])[job]


def until(commands: Slurm, job: str, *words: str, seconds: float = 20.0) -> JobState:
    eventually(f"job {job} {words}", lambda: state(commands, job).state in words, seconds)
    return state(commands, job)


def log(folder: Path, job: str) -> str:
    return (folder / f"slurm-{job}.log").read_text()


def test_a_job_from_its_script_to_its_log(commands: Slurm, folder: Path) -> None:
    name = "- a 'b' \"c\" |, $(x) ü"
    job = commands.submit('#!/bin/bash\npwd\necho "$SLURM_JOB_NAME"\nexit 4\n', SMALL, name, folder)
    ended = until(commands, job, "FAILED")
    assert log(folder, job) == f"{folder}\n{name}\n"
    assert (ended.name, ended.exit_code, ended.nodes, ended.meaning) == (name, 4, "node1", Meaning.FAILED)
    assert ended.start
    assert ended.end
    assert ended.start <= ended.end
    assert [found.id for found in commands.find(name)] == [job]
    assert commands.find(f"{name} ") == []


def test_jobs_from_a_job_see_nothing_of_it(commands: Slurm, folder: Path) -> None:
    """The outer job has the environment of ranks, options of sbatch that would break the inner one, and a secret."""
    inner = "#!/bin/bash\nenv | sort >inner\nsrun --ntasks=1 bash -c 'type -P env; env' >ranks\n"
    call = f"Slurm().submit({inner!r}, {SMALL!r}, 'inner', Path())"
    program = f"from pathlib import Path; from hpcdaas.cluster.slurm import Slurm; {call}"
    (folder / "program.py").write_text(program)
    outer = (
        "#!/bin/bash\nexport SBATCH_PARTITION=nope SLURM_NTASKS=7 SLURM_EXPORT_ENV=NONE PMI_RANK=3 PMIX_RANK=3 "
        "OMPI_COMM_WORLD_RANK=3 HYDRA_X=1 MPI_LOCALRANKID=3 SCICAT_TOKEN=secret\n"
        f"exec {sys.executable} program.py\n"
    )
    job = commands.submit(outer, SMALL, "outer", folder)
    until(commands, job, "COMPLETED")
    (found,) = commands.find("inner")
    until(commands, found.id, "COMPLETED")
    for name in ("inner", "ranks"):
        seen = (folder / name).read_text()
        assert "secret" not in seen
        assert "SCICAT" not in seen
        assert f"SLURM_JOB_ID={found.id}\n" in seen
        assert "SLURM_NTASKS=7" not in seen
        assert not [line for line in seen.splitlines() if line.startswith(("OMPI_", "HYDRA_", "PMIX_", "MPI_LOCAL"))]
        assert f"HOME={os.environ['HOME']}\n" in seen
    assert "PMI_RANK=3" not in (folder / "inner").read_text()
    assert (folder / "ranks").read_text().startswith("/")  # there is a PATH


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--partition=nope"], "[Ii]nvalid partition"),
        (["--partition=short", "--time=60"], "time limit"),
        (["--mem=900G"], "node configuration is not available"),
        (["--constraint=nope"], "[Ii]nvalid feature"),
        (["--gres=gpu:3"], "node configuration is not available"),
        (["--array=0-21"], "job array"),
    ],
)
def test_refusals_carry_the_words_of_slurm(commands: Slurm, folder: Path, options: list[str], words: str) -> None:
    with pytest.raises(SlurmRefused, match=words) as caught:
        commands.submit(SLEEP, options, "refused", folder)
    assert not caught.value.transient


def test_a_drained_partition_is_a_refusal_that_passes(slurm: Cluster, commands: Slurm, folder: Path) -> None:
    slurm.command("scontrol", "update", "partitionname=short", "state=drain")
    try:
        with pytest.raises(SlurmRefused, match="[Pp]artition") as caught:  # noqa: RUF043
            commands.submit(SLEEP, [*SMALL, "--partition=short"], "drained", folder)
    finally:
        slurm.command("scontrol", "update", "partitionname=short", "state=up")
    assert caught.value.transient


@pytest.mark.parametrize(
    ("options", "name"), [(["script.sh"], "x"), (["--"], "x"), (["-p day"], "x"), ([], ""), ([], "two\nlines")]
)
def test_what_cannot_be_meant_is_refused_at_once(commands: Slurm, folder: Path, options: list[str], name: str) -> None:
    with pytest.raises(InputError):
        commands.submit(SLEEP, options, name, folder)
    assert not commands.commands.calls


def test_an_array_runs_as_many_at_once_as_it_may(commands: Slurm, folder: Path) -> None:
    job = commands.submit(
        "#!/bin/bash\nsleep 1\nexit $SLURM_ARRAY_TASK_ID\n", SMALL, "many", folder, array=5, at_once=2
    )
    tasks = [f"{job}_{index}" for index in range(5)]
    most = 0

    def ended() -> bool:
        nonlocal most
        states = commands.jobs([*tasks, job])
        assert sorted(states) == tasks
        most = max(most, sum(each.state == "RUNNING" for each in states.values()))
        return not any(each.alive for each in states.values())

    eventually("the end of the array", ended, 30)
    assert most == 2
    states = commands.jobs(tasks)
    assert [states[task].exit_code for task in tasks] == [0, 1, 2, 3, 4]
    assert [states[task].meaning for task in tasks] == ["done", "failed", "failed", "again", "failed"]
    assert {each.name for each in folder.iterdir()} == {f"slurm-{task}.log" for task in tasks}


def test_cancelled_jobs(commands: Slurm, folder: Path) -> None:
    runs = commands.submit(SLEEP, SMALL, "runs", folder)
    until(commands, runs, "RUNNING")
    array = commands.submit(SLEEP, [*SMALL, "--begin=now+1hour"], "waits", folder, array=4)
    waits = commands.submit(SLEEP, [*SMALL, "--begin=now+1hour"], "waits too", folder)
    commands.cancel(["99999", runs, f"{array}_1", waits])
    assert until(commands, runs, "CANCELLED").meaning is Meaning.CANCELLED
    assert until(commands, waits, "CANCELLED").start is None
    assert state(commands, f"{array}_1").meaning is Meaning.UNKNOWN  # SLURM keeps no record of it
    assert state(commands, f"{array}_2").alive
    commands.cancel([runs])


def test_a_job_that_nobody_knows(commands: Slurm) -> None:
    assert commands.jobs(["99999", "99998_3"]) == {each: JobState(each) for each in ("99999", "99998_3")}
    assert commands.jobs([]) == {}


def test_a_signal_reaches_the_script(commands: Slurm, folder: Path) -> None:
    script = "#!/bin/bash\ntrap 'echo stopping; exit 3' USR1\necho ready\nfor _ in {1..300}; do sleep 0.1; done\n"
    job = commands.submit(script, SMALL, "signalled", folder)
    eventually("a trap", lambda: (folder / f"slurm-{job}.log").exists() and "ready" in log(folder, job))
    commands.signal(job)
    assert until(commands, job, "FAILED").meaning is Meaning.AGAIN
    assert log(folder, job) == "ready\nstopping\n"


def test_a_requeued_job_starts_again_under_its_id(commands: Slurm, folder: Path) -> None:
    job = commands.submit(SLEEP, SMALL, "twice", folder)
    until(commands, job, "RUNNING")
    commands.requeue(job)
    eventually("a second start", lambda: (s := state(commands, job)).state == "RUNNING" and s.restarts == 1, 30)
    with pytest.raises(SlurmRefused):
        commands.requeue("99999")


def test_a_node_that_fails(slurm: Cluster, commands: Slurm, folder: Path) -> None:
    lost = commands.submit(SLEEP, [*SMALL, "--nodelist=node1", "--no-requeue"], "lost", folder)
    moved = commands.submit(SLEEP, [*SMALL, "--nodelist=node1", "--requeue"], "moved", folder)
    until(commands, lost, "RUNNING")
    until(commands, moved, "RUNNING")
    slurm.fail("node1")
    assert until(commands, lost, "NODE_FAIL").meaning is Meaning.AGAIN
    assert until(commands, moved, "PENDING").alive
    node = next(node for node in commands.nodes() if node.name == "node1")
    assert (node.usable, node.reason) == (False, "power")
    slurm.start_slurmd("node1")
    assert all(node.usable for node in commands.nodes())


def test_a_job_that_makes_way(commands: Slurm, folder: Path) -> None:
    low = commands.submit(SLEEP, ["--partition=low", "--nodes=2", "--exclusive"], "low", folder)
    until(commands, low, "RUNNING")
    commands.submit(SLEEP, ["--exclusive"], "high", folder)
    assert until(commands, low, "PREEMPTED").meaning is Meaning.AGAIN


def test_a_job_that_can_never_start(slurm: Cluster, commands: Slurm, folder: Path) -> None:
    job = commands.submit(SLEEP, [*SMALL, "--hold"], "held", folder)
    eventually("its reason", lambda: state(commands, job).stuck)
    slurm.configure(EnforcePartLimits="NO")
    job = commands.submit(SLEEP, [*SMALL, "--partition=short", "--time=60"], "long", folder)
    eventually("its reason", lambda: state(commands, job).stuck)
    assert state(commands, job).reason == "PartitionTimeLimit"


def test_gpus_are_given_to_a_job(commands: Slurm, folder: Path) -> None:
    job = commands.submit('#!/bin/bash\necho "$CUDA_VISIBLE_DEVICES"\n', [*SMALL, "--gres=gpu:2"], "gpus", folder)
    until(commands, job, "COMPLETED")
    assert log(folder, job) == "0,1\n"


def test_slurmctld_that_is_away_and_comes_back(slurm: Cluster, commands: Slurm, folder: Path) -> None:
    job = commands.submit(SLEEP, SMALL, "stays", folder)
    until(commands, job, "RUNNING")
    poll = Poll(commands, least=0.0)
    poll.add([job])
    assert poll.poll()[job].state == "RUNNING"
    slurm.stop_slurmctld()
    commands.commands.timeout = 1.0  # they would try for 9 s
    for call in (lambda: commands.jobs([job]), lambda: commands.submit(SLEEP, SMALL, "x", folder), commands.nodes):
        with pytest.raises(SlurmAway):
            call()
    eventually("no answer", lambda: poll.poll() and poll.away)
    assert poll.poll()[job].state == "RUNNING"
    commands.commands.timeout = 30.0
    slurm.start_slurmctld()
    eventually("an answer", lambda: poll.poll() and not poll.away)
    assert poll.poll()[job].state == "RUNNING"


def test_200_jobs_are_one_query(commands: Slurm, folder: Path) -> None:
    arrays = [commands.submit(SLEEP, [*SMALL, "--begin=now+1hour"], "crowd", folder, array=20) for _ in range(10)]
    tasks = [f"{job}_{index}" for job in arrays for index in range(20)]
    commands.commands.calls.clear()
    poll = Poll(commands)
    poll.add(tasks)
    for _ in range(50):
        states = poll.poll()
    assert set(states) == set(tasks)
    assert commands.commands.calls == {"squeue": 1}
    commands.cancel(tasks)
    assert commands.commands.calls["scancel"] == 1
    assert not any(each.alive for each in commands.jobs(tasks).values())


def test_what_the_cluster_has(commands: Slurm) -> None:
    day, gpu, short, low = commands.partitions()
    assert [each.name for each in (day, gpu, short, low)] == ["day", "gpu", "short", "low"]
    assert (day.default, day.time, day.default_time, day.nodes, day.job_nodes) == (True, 86400.0, 600.0, 2, 2)
    assert (day.cores, day.memory, day.gpus) == (4, 4000 * 2**20, 2)
    assert (short.default, short.time, short.nodes, short.job_nodes, low.time) == (False, 300.0, 1, 1, None)
    one, two = commands.nodes()
    assert (one.name, one.features, two.features) == ("node1", ("intel",), ("amd",))
    assert set(one.partitions) == {"day", "gpu", "low"}
    assert commands.configuration()["MaxArraySize"] == "21"


def test_ranks_on_both_nodes(commands: Slurm, folder: Path) -> None:
    script = "#!/bin/bash\nsrun bash -c 'echo $PMI_RANK/$PMI_SIZE $SLURMD_NODENAME'\n"
    job = commands.submit(script, ["--nodes=2", "--ntasks-per-node=1", "--mem=10"], "ranks", folder)
    until(commands, job, "COMPLETED")
    assert sorted(log(folder, job).splitlines()) == ["0/2 node1", "1/2 node2"]


def test_a_job_at_its_time_limit(slurm: Cluster, commands: Slurm, folder: Path) -> None:
    job = commands.submit(SLEEP, [*SMALL, "--time=1"], "slow", folder)
    assert until(commands, job, "RUNNING").limit == 60.0
    slurm.command("scontrol", "update", f"jobid={job}", "EndTime=now")  # limits are whole minutes
    assert until(commands, job, "TIMEOUT", seconds=60).meaning is Meaning.MORE_TIME


@pytest.fixture
def orphaned() -> Path:
    """A cluster with a running job, whose process was killed by -9."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from private_slurm import private_slurm\n"
        "with private_slurm() as cluster:\n"
        "    cluster.command('sbatch', '--output=/dev/null', '--wrap=sleep 301')\n"
        "    import time; time.sleep(1.5); print(cluster.folder, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = process.stdout.readline().strip()
        process.kill()
    return Path(folder)


def test_nothing_of_a_cluster_survives_its_process(slurm: Cluster, orphaned: Path) -> None:
    def left() -> list[str]:
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            try:
                found += [each.name] if str(orphaned).encode() in (each / "environ").read_bytes() else []
            except OSError:
                continue
        return found

    assert orphaned.name.startswith("slurm-")
    eventually("the end of all daemons and jobs", lambda: not left(), 10)
