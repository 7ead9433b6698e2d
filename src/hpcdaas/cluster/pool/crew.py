"""The workers of a pool: which of them does what, and how many there are. All of it in the pools' thread."""

from __future__ import annotations

import asyncio
import bisect
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.hiring import Hiring
from hpcdaas.cluster.pool.jobs import Asked
from hpcdaas.cluster.pool.member import Member
from hpcdaas.cluster.pool.switchboard import Switchboard
from hpcdaas.cluster.pool.task import LOST, SHARE, Fault, Order, Outcome
from hpcdaas.cluster.pool.worker import GRACE
from hpcdaas.errors import Interrupted, for_people
from hpcdaas.lease import end as end_lease

#: How often an order goes back to the queue because its worker had to leave.
INTERRUPTIONS = 50


class Crew:
    """Hands orders to workers, and hires and dismisses these.

    Parameters
    ----------
    asked : Asked
        What the jobs are made of.
    say : callable
        Told what is worth a line in a log.
    connect, idle : float
        See `hpcdaas.cluster.pools.Pools`.
    """

    def __init__(self, asked: Asked, say: Callable[[str], None], *, connect: float, idle: float) -> None:
        self.asked, self._say, self._connect, self._idle = asked, say, connect, idle
        self.table = asked.table
        self.queue: list[Future] = []
        self.members: dict[str, Member] = {}
        self.closing = False
        #: Seconds before the end of a job at which its run is stopped with a checkpoint.
        self.margin = min(120.0, max(5.0, 0.1 * self.table.time))
        self.longest = math.inf if asked.slurm is None else self.table.time - 2 * self.margin
        self._futures: dict[int, Future] = {}
        self._waited = time.monotonic()  # when an order last had to wait
        self._tasks: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        """Start the scheduler."""
        self._switchboard = Switchboard(self.asked, self)
        await self._switchboard.start()
        self._hiring = Hiring(self.asked, self._switchboard.cluster, self._say, self._connect)
        self._wake = asyncio.Event()
        self._ticking = asyncio.ensure_future(self._tick())

    # -- what the outside asks for

    def add(self, future: Future) -> None:
        """Take an order."""
        if self.closing:
            future.give_up(_closed(future))
            return
        self._futures[future.number] = future
        self._queue(future)

    def _queue(self, future: Future) -> None:
        bisect.insort(self.queue, future)
        self.hand_out()
        self._wake.set()

    def cancel(self, future: Future) -> None:
        """Give an order up."""
        future.unwanted = True
        if future in self.queue:
            self.queue.remove(future)
            self._end(future)
        for member in self.members.values():
            if member.future is future:
                self._switchboard.stop(member)

    def jobs(self) -> dict[str, str]:
        """Say where each job is."""
        there = {member.name: f"at work on {member.place}" for member in list(self.members.values())}
        return {
            name: there.get(name) or f"job {job.job_id}, {job.words or 'submitted'}"
            for name, job in list(self._hiring.jobs.items())
        }

    @property
    def trouble(self) -> str:
        """Why no worker comes; empty where some are there."""
        return "" if self.members else self._hiring.trouble

    @property
    def excluded(self) -> tuple[str, ...]:
        """Nodes that are avoided."""
        return self._hiring.excluded

    # -- what the scheduler tells

    def join(self, address: str, name: str, about: Mapping[str, Any]) -> None:
        """A worker is there."""
        if not self._hiring.knows(name):
            self._spawn(self._switchboard.send_away(address))
            return
        member = Member(name, address, about.get("node", ""), about.get("job", ""))
        if self.asked.slurm is not None:  # at the latest: SLURM tells when, soon
            member.ends = time.monotonic() + self.table.time
        self.members[address] = member
        self._hiring.join(name)
        self.hand_out()

    def leave(self, address: str) -> None:
        """A worker is gone."""
        member = self.members.pop(address, None)
        if member is None:
            return
        member.gone.set()
        if member.future is None:  # else `_do` looks after it
            self._spawn(self._bury(member))
        self._wake.set()

    def progress(self, number: int, done: int, total: int) -> None:
        """An order goes on."""
        if number in self._futures:
            self._futures[number].progress = (done, total)

    # -- orders

    def hand_out(self) -> None:
        """Give the idle workers what they have time for; those with the least time choose first."""
        free = [member for member in self.members.values() if member.free]
        for member in sorted(free, key=lambda m: m.ends):
            for future in self.queue:
                if member.has(future.order.seconds, self.margin):
                    self.queue.remove(future)
                    member.future = future
                    self._spawn(self._do(member, future))
                    break

    async def _do(self, member: Member, future: Future) -> None:
        """Have a worker do an order, and see how that ends."""
        future.start(member.place)
        order = self._complete(future.order)
        name = order.scan.name.encode(errors="replace").decode()  # Dask takes no names that are not UTF-8
        key = f"{name}-{future.number}-{future.tries + future.interruptions}"
        outcome = await self._switchboard.do(member, order, future.number, key)
        member.future, member.idle = None, time.monotonic()
        if outcome is None:
            await self._lost(member, future)
        else:
            self._came(member, future, outcome)
        self.hand_out()

    def _complete(self, order: Order) -> Order:
        """Give an order what a worker of the pool has."""
        memory = order.memory or int(SHARE * self.table.memory)
        return replace(order, memory=memory, threads=order.threads or self.table.cores)

    def _came(self, member: Member, future: Future, outcome: Outcome) -> None:
        """An order has come back from a worker: done, failed, or stopped on the way."""
        stopped = outcome.fault is not None and outcome.fault.code == Interrupted.code
        if stopped and not future.unwanted:
            member.leaving = True  # its time is over, or somebody asked it to end
        if stopped and future.unwanted:
            self._end(future)
        elif stopped and not self.closing and future.interruptions < INTERRUPTIONS:
            future.back(counts=False)
            self._queue(future)
        else:
            self._end(future, outcome)

    async def _lost(self, member: Member, future: Future) -> None:
        """A worker died with an order: another one tries, some times."""
        words = await self._bury(member, future.number)
        if member.job:
            end_lease(Path(f"{future.order.out}.partial") / "lease", member.job)
        tries = self.asked.site.limits.tries
        if future.unwanted or self.closing:
            self._end(future, None if future.unwanted else _closed(future))
        elif future.tries < tries:
            self._say(f"Pool '{self.table.name}': {future.order.scan.name} is tried again: on {member.place} {words}.")
            future.back(counts=True)
            self._queue(future)
        else:
            end = f"its worker died {tries} times, the last time on {member.place}: {words}."
            self._end(future, Fault(LOST, f"{future.order.scan.name}: {end}"))

    async def _bury(self, member: Member, order: object = None) -> str:
        """See why a worker is gone, and forget its job."""
        if not self._hiring.knows(member.name):  # dismissed
            return "its worker is gone"
        death = await self._hiring.death(member.name)
        if death.of_node and not self.closing and not member.leaving:
            self._hiring.blame(member.node, order or member.name, death.words)
        await self._hiring.dismiss([member.name])
        return death.words

    def _end(self, future: Future, end: Outcome | Fault | None = None) -> None:
        self._futures.pop(future.number, None)
        future.end(end) if isinstance(end, Outcome) else future.give_up(end)

    # -- how many there are

    async def _tick(self) -> None:
        """See to the number of workers, again and again."""
        while not self.closing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 1.0)
            self._wake.clear()
            try:
                await self._drain()
                await self._balance()
                await self._hiring.look()
            except Exception as error:  # of Dask, SLURM or the system: the next look may find it gone
                self._say(f"Pool '{self.table.name}': {for_people(error).message}")
                await asyncio.sleep(1.0)

    async def _drain(self) -> None:
        """Stop runs whose worker has to leave, and let workers go that can't do anything any more."""
        ended = []
        for member in list(self.members.values()):
            member.ends = self._hiring.ends.get(member.name, member.ends)
            if not member.has(0.0, self.margin):
                member.leaving = True
                self._switchboard.stop(member)
            elif member.future is None and self.queue:
                member.leaving |= not any(member.has(f.order.seconds, self.margin) for f in self.queue)
            if member.leaving and member.future is None:
                ended.append(member.name)
        await self._hiring.dismiss(ended)

    async def _balance(self) -> None:
        """Hire as many as there is work for, dismiss those without any for a while."""
        staying = [m for m in self.members.values() if not m.leaving]
        missing = self._hiring.missing()
        busy = sum(m.future is not None for m in staying)
        wanted = min(self.table.most, max(self.table.least, busy + len(self.queue)))
        room = self.table.most - len(self._hiring.jobs)
        more = min(wanted - len(staying) - len(missing), room)
        if more > 0:
            await self._hiring.hire(more)
            return
        if self.queue:
            self._waited = time.monotonic()
        before = time.monotonic() - self._idle
        idle = [m for m in staying if m.future is None and m.idle < before]
        surplus = [*(missing if self._waited < before else ()), *(m.name for m in idle)][: max(0, -more)]
        for member in idle:
            member.leaving = member.name in surplus
        await self._hiring.dismiss(surplus)

    # -- the end

    async def close(self, wait: float) -> None:
        """End all; see `hpcdaas.cluster.pools.Pools.close`."""
        self.closing = True
        for future in list(self.queue):
            self._end(future, _closed(future))
        self.queue.clear()
        self._wake.set()
        await self._until_idle(wait)
        for member in self.members.values():
            self._switchboard.stop(member)
        await self._until_idle(GRACE)
        await self._ticking
        for future in list(self._futures.values()):
            self._end(future, _closed(future))
        for task in list(self._tasks):
            task.cancel()
        await self._switchboard.close()

    def abandon(self) -> None:
        """End all jobs at once, in any thread."""
        self.closing = True
        for job in list(self._hiring.jobs.values()):
            with suppress(Exception):  # one after the other, whatever is wrong with them
                job.abandon()

    async def _until_idle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(m.future is not None for m in self.members.values()):
            await asyncio.sleep(0.05)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _closed(future: Future) -> Fault:
    return Fault(Interrupted.code, f"{future.order.scan.name}: the pool was closed.", "Ask for it again: it goes on.")
