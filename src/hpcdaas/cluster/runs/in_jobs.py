"""Runs that are batch jobs of their own."""

from __future__ import annotations

import json
import math
import re
import signal
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.runs.ending import OF_CODE, Ending, Meaning
from hpcdaas.cluster.site import Partition, PoolTable, Site
from hpcdaas.cluster.site.owner import Asked
from hpcdaas.cluster.site.script import MARK, Shape, array_script, run_script
from hpcdaas.cluster.slurm import JobState, Slurm
from hpcdaas.cluster.slurm.poll import Poll
from hpcdaas.cluster.slurm.states import KILLED
from hpcdaas.cluster.slurm.states import Meaning as Slurms
from hpcdaas.cluster.state import StateFolder
from hpcdaas.lease import end

#: A job's time beside its estimate, and how much longer than the estimate it may take, seconds and factor.
MORE, FACTOR = 600.0, 3.0
#: Times are multiples of this, seconds: runs that are nearly alike ask for the same, and become an array.
STEP = 300.0
#: Tasks of one job array, at most.
MOST = 1000
#: Why a job waits that somebody holds on purpose.
HELD = ("JobHeldAdmin", "JobHeldUser")
#: What SLURM says of a job that didn't end by itself.
CLUSTER_S = (Slurms.AGAIN, Slurms.MORE_TIME, Slurms.MORE_MEMORY)
#: What slurmstepd and srun write into a log where a step ran out of memory; bytes of the log that are looked at.
OOM, LOG_END = re.compile(rb"oom.kill event|Out Of Memory"), 100_000
#: Exit codes of the program.
OF_EXIT = {0: Meaning.DONE, 3: Meaning.ON}
#: That of a program which SLURM warned of its time limit before it could listen.
WARNED = 128 + signal.SIGUSR1


class InJobs:
    """Submits runs as jobs and says how they ended.

    Parameters
    ----------
    site : Site
    slurm : Slurm
    state : StateFolder
    home : PoolTable, optional
        Where all jobs run. Default: see `home`.
    """

    def __init__(self, site: Site, slurm: Slurm, state: StateFolder, home: PoolTable | None = None) -> None:
        self._site, self._slurm, self._state, self._home = site, slurm, state, home
        self._poll = Poll(slurm)
        self._said = ""  # why SLURM didn't answer, as it was told last

    @cached_property
    def longest_array(self) -> int:
        """Tasks that a job array may have."""
        size = self._slurm.configuration().get("MaxArraySize", "")
        return min(MOST, int(size)) if size.isdigit() else MOST

    @property
    def away(self) -> str:
        """Why SLURM doesn't answer; empty where it does, and where that was said already."""
        reason = self._poll.away.message if self._poll.away else ""
        said, self._said = self._said, reason
        return reason if reason != said else ""

    def home(self) -> Asked:
        """Give the table that says where jobs run: a pool for many ranks, else the first pool, else a partition."""
        if self._home is not None:
            return self._home
        wide: list[Asked] = [pool for pool in self._site.pool if pool.wide]
        return [*wide, *self._site.pool, *self._site.partition][0]

    def shape(self, entry: Entry, asked: Mapping[str, str]) -> Shape:
        """Say what the job of a run is given: more than before where an earlier one had too little."""
        home = self.home()
        partition = self._site.partition_of(home) if isinstance(home, PoolTable) else home
        assert isinstance(partition, Partition)
        nodes, ranks, cores, memory = 1, 1, partition.cores, partition.memory
        if isinstance(home, PoolTable) and home.wide:
            nodes, ranks, cores, memory = home.nodes, home.ranks, home.cores, home.memory
        seconds = entry.seconds or FACTOR * (entry.work or 0.0) / (nodes * ranks * cores) + MORE
        seconds = math.ceil(seconds / STEP) * STEP
        options = {**partition.options(), **home.options(), **asked}
        return Shape(
            partition.name, nodes, ranks, cores, min(entry.memory or memory, partition.memory), 0,
            min(seconds, partition.time or seconds), tuple(options.items()),
        )  # fmt: skip

    def write(self, entry: Entry, shape: Shape) -> Path:
        """Write the script of a run; give its folder."""
        assert entry.run is not None
        assert entry.result is not None
        folder = self._state.run_folder(entry.run)
        budget = int(0.8 * shape.memory)
        arguments = [
            "-r", "recipe.toml", "-o", entry.result, f"--attempt={entry.attempt}", f"--run={entry.run}",
            f"--memory={budget}", "--json", "--", entry.scan,
        ]  # fmt: skip
        self._state.write(entry.run, "site.toml", self._site.for_jobs())
        self._state.write(entry.run, "run.sh", run_script(self._site, folder, arguments, shape))
        (folder / "ended").unlink(missing_ok=True)
        return folder

    def submit(self, entries: Sequence[Entry], shape: Shape, name: str) -> list[str]:
        """Submit runs that are alike: one as a job, several as an array; give SLURM's numbers.

        Raises
        ------
        SlurmRefused, SlurmAway
            See `hpcdaas.cluster.slurm`.
        """
        folders = [self.write(entry, shape) for entry in entries]
        options = shape.options(self._site)
        if len(entries) == 1:
            script = (folders[0] / "run.sh").read_text(encoding="utf-8", errors="surrogateescape")
            return [self._slurm.submit(script, options, name, folders[0])]
        logs = self._state.path / "arrays"
        logs.mkdir(exist_ok=True)
        job = self._slurm.submit(
            array_script(folders), options, name, logs, array=len(entries), at_once=self._site.limits.at_once
        )
        return [f"{job}_{index}" for index in range(len(entries))]

    def news(self, entries: Sequence[Entry]) -> tuple[list[tuple[int, str | None]], list[Ending]]:
        """Give the entries that run now, with the time at which they began, and how others ended."""
        wanted = {entry.job for entry in entries if entry.job}
        self._poll.drop(self._poll.ids - wanted)
        self._poll.add(wanted)
        states = self._poll.poll()
        begun: list[tuple[int, str | None]] = []
        ended: list[Ending] = []
        for entry in entries:
            job = states.get(entry.job or "")
            if job is None:  # it was added after the last query
                continue
            ending = self._ending(entry, job)
            if ending:
                ended.append(ending)
            elif job.start and entry.state is State.QUEUED:
                begun.append((entry.id, job.start))
        return begun, ended

    def _ending(self, entry: Entry, job: JobState) -> Ending | None:
        """Say how a job ended; None while it lives. What it left on disk counts first: SLURM forgets."""
        assert entry.run is not None
        assert entry.result is not None
        if job.name and job.name != _name(entry):  # SLURM has begun to count anew, and the number is another job's
            job = JobState(job.id)
        if job.stuck and job.reason not in HELD:
            self._slurm.cancel([job.id])
            return Ending(entry.id, Meaning.FAILED, f"Its job can never start: SLURM says {job.reason}.")
        if job.alive:
            return None
        code = self._state.ended(entry.run)
        if code is None or code in KILLED:
            meaning, reason = _of_state(job, self._state.run_folder(entry.run) / "log.txt")
        else:
            meaning, reason = self._of_exit(entry, code, job)
        if meaning is Meaning.FAILED and code is None:  # it came to its end before the program did: a node is ill
            meaning = Meaning.AGAIN
            reason += f" See {self._state.run_folder(entry.run) / 'log.txt'}."
        if meaning is not Meaning.DONE:
            end(Path(entry.result + ".partial") / "lease", job.id)
        seconds = seconds_between(job.start, job.end)
        return Ending(
            entry.id, meaning, reason, job.start, job.end, seconds * entry.cores, seconds * entry.gpus, seconds
        )

    def _of_exit(self, entry: Entry, code: int, job: JobState) -> tuple[Meaning, str]:
        if code in OF_EXIT:
            return OF_EXIT[code], ""
        if code == WARNED:
            return Meaning.MORE_TIME, "Its time was over before it had begun."
        assert entry.run is not None
        folder = self._state.run_folder(entry.run)
        try:
            error = json.loads((folder / "outcome.json").read_bytes())["error"]
            return OF_CODE.get(error["code"], Meaning.FAILED), f"{error['message']} {error['hint']}".strip()
        except (OSError, ValueError, KeyError, TypeError):
            # the launcher's code, where ranks were killed: each launcher has its own
            meaning, reason = _of_state(job, folder / "log.txt")
            if job.meaning in CLUSTER_S or meaning is Meaning.MORE_MEMORY:
                return meaning, reason
            return Meaning.FAILED, f"It ended with code {code}: see {folder / 'log.txt'}."

    def cancel(self, entries: Sequence[Entry]) -> None:
        """Take jobs from the queue, or stop them; those too that a process had submitted and didn't live to note."""
        found = self.find([entry for entry in entries if not entry.job])
        jobs = [*(entry.job for entry in entries if entry.job), *found.values()]
        if jobs:
            self._slurm.cancel(jobs)

    def find(self, entries: Sequence[Entry]) -> dict[int, str]:
        """Look for the jobs of intents, which a process that was killed may have submitted: once for each name.

        Raises
        ------
        SlurmAway
        """
        jobs = {name: self._slurm.find(name) for name in {_name(entry) for entry in entries} if name}
        found = {}
        for entry in entries:
            index = (entry.intent or "").partition(":")[2]
            for job in jobs.get(_name(entry), [])[:1]:
                found[entry.id] = f"{job.id.split('_')[0]}_{index}" if index else job.id
        return found


def _name(entry: Entry) -> str:
    """Give the name of the job of an entry."""
    return (entry.intent or "").partition(":")[0]


def _ran_out(log: Path) -> bool:
    """Say whether the kernel ended ranks for their memory: SLURM calls such a job FAILED, and only its log says why."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_END))
            return bool(OOM.search(file.read().rpartition(MARK.encode())[2]))
    except OSError:
        return False


def _of_state(job: JobState, log: Path) -> tuple[Meaning, str]:
    """Say what SLURM's words mean for a job that left nothing on disk but its log."""
    if job.state == "FAILED" and _ran_out(log):
        return Meaning.MORE_MEMORY, "SLURM says OUT_OF_MEMORY of its ranks."
    if job.meaning == "unknown":
        return Meaning.AGAIN, "SLURM no longer knows its job, which left no exit code."
    if job.meaning == "done":  # the script always leaves its code
        return Meaning.AGAIN, "Its job ended and left no exit code."
    return Meaning(job.meaning.value), f"SLURM says {job.state}{f' ({job.reason})' if job.reason else ''}."


def seconds_between(start: str | None, end: str | None) -> float:
    """Give the time between two stored times; 0 where one isn't known."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() if start and end else 0.0
