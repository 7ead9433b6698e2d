"""The job scripts without SLURM: what they tell it, what they run, and with which code they end.

Its commands are small scripts here that write down what they were given.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from command_line import FOREIGN

FOLDER = Path(__file__).parents[1] / "jobscripts"
SRUN, MPIEXEC, ARRAY = (FOLDER / f"{name}.sbatch" for name in ("reconstruct-srun", "reconstruct-mpiexec", "array"))
SCRIPTS = (SRUN, MPIEXEC, ARRAY)
#: What SLURM says to the batch script of the job.
JOB = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "3", "SLURM_ARRAY_TASK_ID": "2"}
#: Writes its name and arguments to a file, one a line, with a blank line at the end.
RECORD = '#!/bin/bash\nprintf "%s\\n" "${0##*/}" "$@" "" >>"$RECORD"\n'
#: A launcher: ends with code $CODE; where $SLOW is set, with 3 some time after SIGUSR1, and with 1 if none comes.
LAUNCH = (
    RECORD
    + """
[ "$SLOW" ] || exit "$CODE"
trap 'sleep 0.3; exit 3' USR1
touch "$RECORD.ready"
for _ in {1..200}; do sleep 0.1; done
exit 1
"""
)


def name(script: Path) -> str:
    return script.stem


def directives(script: Path) -> set[str]:
    return {line.removeprefix("#SBATCH ") for line in script.read_text().splitlines() if line.startswith("#SBATCH")}


class Job:
    """A job script that runs in a folder, and the commands that it has called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.record = folder, folder / "record"
        for command, text in (("srun", LAUNCH), ("mpiexec", LAUNCH), ("scontrol", RECORD)):
            path = folder / "bin" / command
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def start(self, script: Path, *arguments: str, code: int = 0, slow: bool = False) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)} | JOB
        environment |= {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "RECORD": str(self.record)}
        environment |= {"CODE": str(code), "SLOW": "yes" if slow else ""}
        return subprocess.Popen(["bash", script, *arguments], cwd=self.folder, env=environment, text=True)

    def run(self, script: Path, *arguments: str, code: int = 0) -> int:
        return self.start(script, *arguments, code=code).wait(60)

    @property
    def calls(self) -> list[list[str]]:
        return [call.split("\n") for call in self.record.read_text().removesuffix("\n\n").split("\n\n")]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_all_are_tested() -> None:
    assert sorted(FOLDER.iterdir()) == sorted(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_syntax(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_directives(script: Path) -> None:
    told = directives(script)
    assert {"--requeue", "--open-mode=append"} <= told
    assert ("--signal=B:USR1@180" if script == MPIEXEC else "--signal=USR1@180") in told
    assert ("--exclusive" in told) == (script == MPIEXEC)


def test_srun_is_told_cores_and_arguments(job: Job) -> None:
    arguments = ["my scan.nxs", "-o", "a b/it's $HOME *.h5", "-s", "scan.pixel_size=0.65 um", ""]
    assert job.run(SRUN, *arguments) == 0
    cores = ["srun", "--wait=60", "--cpus-per-task=3", "--cpu-bind=cores"]
    assert job.record.read_text().splitlines() == [*cores, "hpcdaas", "reconstruct", *arguments, ""]


def test_mpiexec_is_told_ranks_and_arguments(job: Job) -> None:
    arguments = ["my scan.nxs", "-o", "a b/it's $HOME *.h5"]
    assert job.run(MPIEXEC, *arguments) == 0
    assert job.calls == [["mpiexec", "-n", "2", "hpcdaas", "reconstruct", *arguments]]


def test_array_takes_its_line(job: Job) -> None:
    (job.folder / "my list").write_text("first.nxs\n/raw data/it's 2.5 $HOME.nxs\nthird.nxs\n")
    assert job.run(ARRAY, "my list", "my results", "-r", "my recipe.toml") == 0
    [call] = job.calls
    assert call[:6] == ["srun", "--wait=60", "--cpus-per-task=3", "--cpu-bind=cores", "hpcdaas", "reconstruct"]
    more = ["-r", "my recipe.toml", "--"]
    assert call[6:] == ["-o", "my results/it's 2.5 $HOME.h5", *more, "/raw data/it's 2.5 $HOME.nxs"]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 137])
@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_code(job: Job, script: Path, code: int) -> None:
    """It is that of the program; 3 alone queues the job again."""
    (job.folder / "list").write_text("one.nxs\ntwo.nxs\n")
    assert job.run(script, "list", "results", code=code) == code
    assert job.calls[1:] == ([["scontrol", "requeue", "77"]] if code == 3 else [])


@pytest.mark.parametrize("signals", [1, 3])
def test_mpiexec_hears_the_signal(job: Job, signals: int) -> None:
    """Also where more than one comes while it ends."""
    process = job.start(MPIEXEC, "scan.nxs", "-o", "result.h5", slow=True)
    limit = time.monotonic() + 30
    while not Path(f"{job.record}.ready").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    for _ in range(signals):
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.05)
    assert process.wait(30) == 3
    assert [call[0] for call in job.calls] == ["mpiexec", "scontrol"]
