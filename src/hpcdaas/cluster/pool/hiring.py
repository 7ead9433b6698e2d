"""How a pool comes by its jobs: submitted, watched until their workers are there, replaced, and kept off bad nodes."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from distributed.deploy.spec import SpecCluster

from hpcdaas.cluster.pool.jobs import Asked, BatchJob, LocalJob, avoid, tail
from hpcdaas.cluster.slurm import JobState, SlurmAway
from hpcdaas.cluster.slurm.poll import Poll
from hpcdaas.cluster.slurm.states import Meaning

#: Seconds between two questions to SLURM at least, asked only while something about a job isn't known yet.
BETWEEN = 5.0
#: Jobs in a row that come to nothing before new ones are asked for less often; longest pause in seconds.
PATIENCE, PAUSE = 3, 300.0
#: Different orders whose workers die on a node before it is avoided.
DEATHS = 2
#: How SLURM's reason begins for a job that waits because all nodes are down that it may have.
DOWN = "ReqNodeNotAvail"
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
        self._poll = None if asked.slurm is None else Poll(asked.slurm, least=BETWEEN)
        self._joined: set[str] = set()
        self._since: dict[str, float] = {}  # when a job was first seen running, without its worker
        self._deaths: dict[str, set[object]] = defaultdict(set)
        self._failures: list[str] = []  # nodes of the jobs in a row that came to nothing
        self._not_before = 0.0
        #: When the time of a job with a worker is over, by the monotonic clock, as far as SLURM has told.
        self.ends: dict[str, float] = {}
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
            if self.excluded and not job.away:  # all nodes that would do may be among them
                self._pardon(self.excluded)
            else:
                self._failed("", job.refusal if job.away else f"SLURM refuses its jobs: {job.refusal}", at_once=True)

    async def dismiss(self, names: Iterable[str]) -> None:
        """End jobs, or forget those that have ended."""
        names = list(names)
        self._joined -= set(names)
        for name in names:
            self._since.pop(name, None)
            self.ends.pop(name, None)
        if names:
            await self._cluster.scale_down(names)

    def join(self, name: str) -> None:
        """A worker is there."""
        self._joined.add(name)
        self._failures.clear()
        self._not_before, self.trouble = 0.0, ""

    async def look(self) -> None:
        """See how the jobs fare whose workers aren't there, and when the time of the others is over."""
        for name, state in (await self._states()).items():
            if name in self._joined:
                if state.start is not None:
                    self.ends[name] = _end(state.start, state.limit)
            elif name in self.jobs:  # it hasn't been dismissed meanwhile
                await self._judge(name, state)

    async def _states(self) -> dict[str, JobState]:
        """Give the states of the jobs about which something isn't known, as far as somebody knows them."""
        asked = {name: job for name, job in self.jobs.items() if name not in self.ends and job.job_id}
        if self._poll is None:
            return {name: _local(job) for name, job in asked.items() if isinstance(job, LocalJob)}
        ids = {str(job.job_id) for job in asked.values()}
        self._poll.drop(self._poll.ids - ids)
        self._poll.add(ids)
        states = await asyncio.to_thread(self._poll.poll)
        return {name: states[str(job.job_id)] for name, job in asked.items() if str(job.job_id) in states}

    async def _judge(self, name: str, state: JobState) -> None:
        """Decide about a job without a worker: it waits, it starts, it takes too long, or it has ended."""
        job = self.jobs[name]
        where = f" on {state.nodes}" if state.nodes else ""
        job.words = f"{state.state.lower()}{where}{f' ({state.reason})' if state.reason else ''}"
        if state.stuck:
            self.trouble = f"job {job.job_id} waits for {state.reason or state.state}"
        if state.state == "RUNNING":
            began = self._since.setdefault(name, time.monotonic())
            if time.monotonic() - began < self._connect:
                return
            words = f"its worker wasn't there after {self._connect:.0f} s"
        elif state.alive:
            self._since.pop(name, None)
            if state.reason.startswith(DOWN) and self._pardon(self._failures):
                await self.dismiss([name])  # the next one may have the other nodes again
            return
        else:
            how = f"with code {state.exit_code}" if state.exit_code else f"({state.state})"
            words = f"it ended {how} before its worker was there"
        said = tail(job.output)
        await self.dismiss([name])
        self._failed(state.nodes, f"Job {job.job_id}{where}: {words}{f': {said}' if said else ''}")

    def _failed(self, node: str, words: str, at_once: bool = False) -> None:
        """Take note of a job that came to nothing; after some in a row it isn't their nodes."""
        self._failures.append(node)
        count = len(self._failures)
        if not (node and count < PATIENCE and self._exclude(node, words)):
            self._say(f"Pool '{self._asked.table.name}': {words}.".replace("..", "."))
        if count >= PATIENCE:
            self._pardon(self._failures)
        if count >= PATIENCE or at_once:
            self.trouble = words
            self._not_before = time.monotonic() + min(PAUSE, 5.0 * 2 ** min(count, 10))

    def _exclude(self, node: str, words: str) -> bool:
        """Avoid a node from now on; say if it wasn't before."""
        if node in self.excluded or self._asked.slurm is None:
            return False
        self._avoid((*self.excluded, node))
        self._say(f"Pool '{self._asked.table.name}': node {node} is avoided from now on: {words}.")
        return True

    def _pardon(self, nodes: Iterable[str]) -> bool:
        """Use nodes again that were avoided: others are no better, or there are no others. Say if there were any."""
        pardoned = [node for node in self.excluded if node in nodes]
        if pardoned:
            self._avoid(tuple(node for node in self.excluded if node not in pardoned))
            self._say(f"Pool '{self._asked.table.name}': {', '.join(pardoned)} used again: it may not be the nodes.")
        return bool(pardoned)

    def _avoid(self, nodes: tuple[str, ...]) -> None:
        self._asked = replace(self._asked, exclude=nodes)
        avoid(self._cluster, self._asked)

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

    async def _ask(self, job: str) -> JobState | None:
        """Ask SLURM about one job at once; None where it doesn't answer."""
        if self._asked.slurm is None or not job:
            return None
        with suppress(SlurmAway):
            return (await asyncio.to_thread(self._asked.slurm.jobs, [job])).get(job)
        return None

    def knows(self, name: str) -> bool:
        """Say whether a worker is of a job that is wanted: `sbatch` may submit one and say that it failed."""
        return name in self._cluster.worker_spec

    def blame(self, node: str, order: object, words: str) -> None:
        """Take note that a worker died on a node at an order; after different ones it is the node."""
        self._deaths[node].add(order)
        if len(self._deaths[node]) >= DEATHS:
            self._exclude(node, f"workers died there, the last one because {words}")


def _local(job: LocalJob) -> JobState:
    """Say of a process of this machine what SLURM says of a job."""
    code = job.process.poll() if job.process else None
    return JobState(job.job_id, state="RUNNING") if code is None else JobState(job.job_id, "", "FAILED", exit_code=code)


def _end(start: str, limit: float | None) -> float:
    """Say when a job's time is over, by the monotonic clock."""
    if limit is None:
        return math.inf
    return time.monotonic() + datetime.fromisoformat(start).timestamp() + limit - time.time()


def _exit_code(job: LocalJob) -> int | None:
    """Give the exit code of a process that is about to end."""
    for _ in range(20):
        code = job.process.poll() if job.process else None
        if code is not None:
            return code
        time.sleep(0.1)
    return None
