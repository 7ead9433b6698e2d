"""How a pool comes by its jobs: submitted, watched until their workers are there, replaced, and kept off bad nodes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from distributed.deploy.spec import SpecCluster

from hpcdaas.cluster.pool_jobs import Asked, BatchJob, LocalJob, avoid, tail
from hpcdaas.cluster.slurm import JobState, SlurmAway
from hpcdaas.cluster.slurm_states import Meaning

#: Seconds between two questions to SLURM, asked only while a job's worker isn't there yet.
BETWEEN = 5.0
#: Jobs in a row that come to nothing before new ones are asked for less often; longest pause in seconds.
PATIENCE, PAUSE = 3, 300.0
#: Different orders whose workers die on a node before it is avoided.
DEATHS = 2
#: Ends of a job that say nothing against its node.
NOT_THE_NODE = (Meaning.DONE, Meaning.CANCELLED, Meaning.MORE_TIME, Meaning.MORE_MEMORY)


@dataclass(frozen=True)
class Death:
    """How a job ended: in words, and whether its node may be to blame."""

    words: str
    of_node: bool


class Hiring:
    """The jobs of a pool.

    Parameters
    ----------
    asked : Asked
        What they are made of.
    cluster : SpecCluster
        What makes and ends them.
    say : callable
        Told what is worth a line in a log.
    connect : float
        Seconds within which the worker of a running job has to be there.
    """

    def __init__(self, asked: Asked, cluster: SpecCluster, say: Callable[[str], None], connect: float) -> None:
        self._asked, self._cluster, self._say, self._connect = asked, cluster, say, connect
        self._joined: set[str] = set()
        self._since: dict[str, float] = {}  # when a job was first seen running, without its worker
        self._deaths: dict[str, set[object]] = defaultdict(set)
        self._failures: list[str] = []  # nodes of the jobs in a row that came to nothing
        self._not_before = self._asked_at = 0.0
        #: Why no worker comes.
        self.trouble = ""

    @property
    def jobs(self) -> Mapping[str, BatchJob | LocalJob]:
        """Jobs that are in the queue or run, by the names of their workers."""
        found: Mapping[str, BatchJob | LocalJob] = self._cluster.workers
        return found

    @property
    def excluded(self) -> tuple[str, ...]:
        """Nodes that are avoided."""
        return self._asked.exclude

    def missing(self) -> list[str]:
        """Give the jobs whose workers aren't there yet."""
        return [name for name in list(self.jobs) if name not in self._joined]

    async def hire(self, count: int) -> None:
        """Ask for jobs, unless it is too early after others came to nothing."""
        if time.monotonic() < self._not_before:
            return
        self._cluster.scale(len(self._cluster.worker_spec) + count)
        await self._cluster
        refused = {name: job for name, job in self.jobs.items() if job.refusal}
        if refused:
            job = next(iter(refused.values()))
            await self.dismiss(refused)
            self._failed("", job.refusal if job.away else f"SLURM refuses its jobs: {job.refusal}", at_once=True)

    async def dismiss(self, names: Iterable[str]) -> None:
        """End jobs, or forget those that have ended."""
        names = list(names)
        self._joined -= set(names)
        for name in names:
            self._since.pop(name, None)
        if names:
            await self._cluster.scale_down(names)

    def join(self, name: str) -> None:
        """A worker is there."""
        self._joined.add(name)
        self._failures.clear()
        self._not_before, self.trouble = 0.0, ""

    async def look(self) -> None:
        """See how the jobs fare whose workers aren't there, where that hasn't been asked for a while."""
        missing, now = self.missing(), time.monotonic()
        if not missing or (self._asked.slurm is not None and now - self._asked_at < BETWEEN):
            return
        self._asked_at = now
        for name in missing:
            found = await self._state(name)
            if found is None or name in self._joined or name not in self.jobs:
                continue
            await self._judge(name, *found)

    async def _judge(self, name: str, phase: str, node: str, words: str) -> None:
        """Decide about a job without a worker: it waits, it starts, it takes too long, or it has ended."""
        job = self.jobs[name]
        job.words = f"{phase}{f' on {node}' if node else ''}"
        if phase == "waiting":
            self._since.pop(name, None)
            return
        if phase == "running":
            began = self._since.setdefault(name, time.monotonic())
            if time.monotonic() - began < self._connect:
                return
            words = f"its worker wasn't there after {self._connect:.0f} s"
        said = tail(job.output)
        await self.dismiss([name])
        self._failed(node, f"Job {job.job_id}{f' on {node}' if node else ''}: {words}{f': {said}' if said else ''}")

    async def _state(self, name: str) -> tuple[str, str, str] | None:
        """Say whether a job is waiting, running or ended, where, and how it ended; None where nobody knows."""
        job = self.jobs[name]
        if isinstance(job, LocalJob):
            code = job.process.poll() if job.process else None
            return ("running", "", "") if code is None else ("ended", "", f"its worker ended with code {code}")
        found = await self._ask(job.job_id)
        if found is None:
            return None
        if found.stuck:
            self.trouble = f"job {job.job_id} waits for {found.reason or found.state}"
        if found.alive:
            return "running" if found.state == "RUNNING" else "waiting", found.nodes, ""
        return "ended", found.nodes, f"it ended ({found.state}) before its worker was there"

    async def _ask(self, job: str) -> JobState | None:
        """Ask SLURM about a job; all that aren't there yet are asked about at once, and the answer serves for all."""
        slurm = self._asked.slurm
        if slurm is None or not job:
            return None
        ids = [str(self.jobs[name].job_id) for name in self.missing() if self.jobs[name].job_id]
        try:
            found = await asyncio.to_thread(slurm.jobs, {job, *ids})
        except SlurmAway:
            return None
        return found.get(job)

    def _failed(self, node: str, words: str, at_once: bool = False) -> None:
        """Take note of a job that came to nothing; after some in a row it isn't their nodes."""
        self._say(f"Pool '{self._asked.table.name}': {words}.".replace("..", "."))
        self._failures.append(node)
        count = len(self._failures)
        if node and count < PATIENCE:
            self._exclude(node, words)
        elif count >= PATIENCE:
            self._asked = replace(self._asked, exclude=tuple(n for n in self._asked.exclude if n not in self._failures))
            avoid(self._cluster, self._asked)
        if count >= PATIENCE or at_once:
            self.trouble = words
            self._not_before = time.monotonic() + min(PAUSE, 5.0 * 2 ** min(count, 10))

    def _exclude(self, node: str, words: str) -> None:
        if node in self._asked.exclude or self._asked.slurm is None:
            return
        self._asked = replace(self._asked, exclude=(*self._asked.exclude, node))
        avoid(self._cluster, self._asked)
        self._say(f"Pool '{self._asked.table.name}': node {node} is avoided from now on: {words}.")

    async def death(self, name: str) -> Death:
        """Say how the job of a worker that is gone has ended."""
        job = self.jobs.get(name)
        if isinstance(job, LocalJob):
            code = await asyncio.to_thread(_exit_code, job)
            return Death("its worker was killed" if code is None or code < 0 else f"its worker ended ({code})", False)
        found = None
        for _ in range(5):  # what SLURM says lags behind
            found = await self._ask(str(job.job_id)) if job is not None else None
            if found is not None and not found.alive:
                break
            await asyncio.sleep(1.0)
        if found is None or found.alive:
            return Death("its worker is gone", True)
        words = "it ran out of memory" if found.meaning is Meaning.MORE_MEMORY else f"SLURM says {found.state}"
        return Death(words, found.meaning not in NOT_THE_NODE and found.state != "PREEMPTED")

    def knows(self, name: str) -> bool:
        """Say whether a worker is of a job that is wanted: `sbatch` may submit one and say that it failed."""
        return name in self._cluster.worker_spec

    def blame(self, node: str, order: object, words: str) -> None:
        """Take note that a worker died on a node at an order; after different ones it is the node."""
        self._deaths[node].add(order)
        if len(self._deaths[node]) >= DEATHS:
            self._exclude(node, f"workers died there, the last one because {words}")


def _exit_code(job: LocalJob) -> int | None:
    """Give the exit code of a process that is about to end."""
    for _ in range(20):
        code = job.process.poll() if job.process else None
        if code is not None:
            return code
        time.sleep(0.1)
    return None
