"""SLURM: jobs are submitted, found, asked about and ended here, through its commands and nothing else.

Known to work from 22.05 on: only formats that are the same in later versions are read, no JSON.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from hpcdaas.cluster.slurm.command import NO_SUCH_ACCOUNTING, Commands, SlurmAway, SlurmRefused
from hpcdaas.cluster.slurm.nodes import NODE, Node, Partition, from_scontrol, from_sinfo
from hpcdaas.cluster.slurm.states import FIELD, SACCT, JobState, from_sacct, from_squeue, squeue_format
from hpcdaas.errors import InputError

__all__ = ["JobState", "Node", "Partition", "Slurm", "SlurmAway", "SlurmRefused", "log_pattern"]

#: Most jobs that one command line names.
BATCH = 500
#: How far back accounting is asked for a name, s.
LOOK_BACK = 30 * 86400


def log_pattern(folder: Path, array: bool = False) -> str:
    """Give the name of a job's log for SLURM: ``slurm-ID.log`` or ``slurm-ID_TASK.log``, the folder taken as it is.

    A relative name would not do: SLURM puts the folder before it, and then takes each ``%`` for something else.
    """
    return f"{folder.absolute()}/".replace("%", "%%") + ("slurm-%A_%a.log" if array else "slurm-%j.log")


class Slurm:
    """The cluster that this process's SLURM commands talk to; only jobs of this user are seen.

    Parameters
    ----------
    timeout : float
        Longest time of one call, s.
    cluster : str
        Name of the cluster where a site has several under one SLURM.

    Raises
    ------
    InputError
        If SLURM's commands aren't there.
    """

    def __init__(self, timeout: float = 30.0, cluster: str = "") -> None:
        self.commands = Commands(timeout, cluster)
        self._accounting = self.commands.offers("sacct")

    def submit(
        self,
        script: str,
        options: Sequence[str],
        name: str,
        folder: Path,
        array: int | None = None,
        at_once: int | None = None,
    ) -> str:
        """Submit a job that sees nothing of this process's environment but `slurm_environment.PASSED`.

        Parameters
        ----------
        script : str
            The batch script. It goes through standard input: no file, nothing in a process list.
        options : sequence of str
            Of `sbatch`, each as ``--option`` or ``--option=value``.
        name : str
            The job's name, by which `find` finds it.
        folder : Path
            Where it runs, and where its log is (`log_pattern`).
        array : int, optional
            Number of tasks; they count from 0.
        at_once : int, optional
            Most tasks that run at the same time.

        Returns
        -------
        str
            The job's id; tasks are ``ID_0``, ``ID_1``, ...

        Raises
        ------
        InputError
            If the name or an option can't be what is meant.
        SlurmRefused
            With SLURM's message.
        SlurmAway
            If it didn't answer; the job may exist nevertheless.
        """
        _check(options, name, folder)
        cap = f"%{at_once}" if at_once else ""
        tasks = [] if array is None else [f"--array=0-{array - 1}{cap}"]
        output = self.commands.run(
            "sbatch",
            "--parsable",
            "--export=ALL",
            f"--job-name={name}",
            f"--chdir={folder.absolute()}",
            f"--output={log_pattern(folder, array is not None)}",
            *tasks,
            *options,
            given=script,
        )
        return output.strip().splitlines()[-1].partition(";")[0]  # "ID;CLUSTER" where there are several

    def jobs(self, ids: Iterable[str]) -> dict[str, JobState]:
        """Ask for the states of jobs: one query for all, and one more if some are no longer in the queue.

        Parameters
        ----------
        ids : iterable of str
            Of jobs or tasks; the id of an array stands for all tasks that SLURM knows.

        Returns
        -------
        dict of JobState
            One for each job or task; the state is UNKNOWN where neither queue nor accounting knows it: it ended long
            ago, waited in an array and was cancelled, or slurmctld crashed within 5 s after it took it and lost it.

        Raises
        ------
        SlurmAway
        """
        asked = set(ids)
        if not asked:
            return {}
        known = {job.id: job for job in self._queue() if asked & {job.id, job.id.partition("_")[0]}}
        missing = _unseen(asked, known)
        for job in self._accounted([f"--jobs={','.join(sorted(missing))}"]) if missing else []:
            if missing & {job.id, job.id.partition("_")[0]}:
                known[job.id] = job
        return known | {each: JobState(each) for each in _unseen(asked, known)}

    def find(self, name: str) -> list[JobState]:
        """Look for all jobs of this name, in whatever state, in the queue and in accounting.

        Raises
        ------
        SlurmAway
        """
        found = {job.id: job for job in self._queue() if job.name == name}
        chosen = [] if "," in name else [f"--name={name}"]  # a comma would separate names
        since = f"--starttime=now-{LOOK_BACK}seconds"
        past = self._accounted([f"--user={os.getuid()}", since, *chosen])
        return [*found.values(), *(job for job in past if job.name == name and job.id not in found)]

    def _queue(self) -> list[JobState]:
        # Asked by user and not by ids: the list of ids has no upper limit, and slurmctld picks a user's jobs by itself.
        options = ("--array", "--all", "--noheader", "--states=all", f"--user={os.getuid()}")
        return list(from_squeue(self.commands.run("squeue", *options, f"--Format={squeue_format()}")))

    def _accounted(self, choice: Sequence[str]) -> list[JobState]:
        """Ask accounting, if there is any; what it doesn't tell, the jobs' files do."""
        if not self._accounting:
            return []
        options = ("--allocations", "--noheader", "--parsable2", f"--delimiter={FIELD}", f"--format={','.join(SACCT)}")
        try:
            return list(from_sacct(self.commands.run("sacct", *options, *choice)))
        except SlurmRefused as refused:
            self._accounting = NO_SUCH_ACCOUNTING not in refused.message
        except SlurmAway:
            pass
        return []

    def cancel(self, ids: Iterable[str]) -> None:
        """Cancel jobs or tasks; those that have ended already count as cancelled.

        Raises
        ------
        SlurmAway
        """
        jobs = list(ids)
        for first in range(0, len(jobs), BATCH):
            with suppress(SlurmRefused):  # one that has ended is "invalid", and the others were cancelled
                self.commands.run("scancel", *jobs[first : first + BATCH])

    def signal(self, job: str, name: str = "USR1") -> None:
        """Send a signal to a job's batch script.

        Raises
        ------
        SlurmRefused
            If it doesn't run.
        SlurmAway
        """
        self.commands.run("scancel", "--batch", f"--signal={name}", job)

    def requeue(self, job: str) -> None:
        """Let a job start again from the beginning under the same id.

        SLURM waits until the credential of its first start has expired, two minutes as a rule.

        Raises
        ------
        SlurmRefused
            If it can't: it waits, is too old, or was submitted with ``--no-requeue``.
        SlurmAway
        """
        self.commands.run("scontrol", "requeue", job)

    def nodes(self) -> list[Node]:
        """Ask what nodes there are.

        Raises
        ------
        SlurmAway
        """
        return from_sinfo(self.commands.run("sinfo", "--Node", "--all", "--noheader", f"--format={FIELD.join(NODE)}"))

    def partitions(self) -> list[Partition]:
        """Ask what partitions there are, and what their nodes have.

        Raises
        ------
        SlurmAway
        """
        return from_scontrol(self.commands.run("scontrol", "--oneliner", "--all", "show", "partition"), self.nodes())

    def configuration(self) -> dict[str, str]:
        """Ask for SLURM's own settings, for example MaxArraySize and SLURM_VERSION.

        Raises
        ------
        SlurmAway
        """
        lines = (line.partition("=") for line in self.commands.run("scontrol", "show", "config").splitlines())
        return {key.strip(): value.strip() for key, equals, value in lines if equals}


def _unseen(asked: set[str], known: Iterable[str]) -> set[str]:
    seen = set(known)
    return asked - seen - {each.partition("_")[0] for each in seen}


def _check(options: Sequence[str], name: str, folder: Path) -> None:
    if not name.strip() or not name.isprintable():
        raise InputError(f"A job can't be called {name!r}.", "Use a name of printable characters.")
    if not str(folder).isprintable() or "\\" in str(folder):
        raise InputError(f"SLURM can't run jobs in {str(folder)!r}.", "Use a folder without backslashes.")
    for option in options:
        if not option.startswith("--") or option == "--" or not option.isprintable():
            raise InputError(f"{option!r} is no option of sbatch.", "Write each as --option or --option=value.")
