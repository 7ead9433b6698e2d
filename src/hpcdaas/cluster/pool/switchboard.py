"""What a pool has of Dask: a scheduler, the jobs with its workers, and the lines to these."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from distributed import Client, KilledWorker, Scheduler
from distributed.deploy.spec import SpecCluster
from distributed.diagnostics.plugin import SchedulerPlugin

from hpcdaas.cluster.pool.jobs import Asked, make_cluster
from hpcdaas.cluster.pool.member import Member
from hpcdaas.cluster.pool.task import Fault, Order, Outcome, now
from hpcdaas.cluster.pool.worker import TOPIC, work
from hpcdaas.errors import for_people


class Told(Protocol):
    """Who is told what workers do."""

    def join(self, address: str, name: str, about: Mapping[str, Any]) -> None:
        """A worker is there; `about` is what it says of itself."""

    def leave(self, address: str) -> None:
        """A worker is gone."""

    def progress(self, number: int, done: int, total: int) -> None:
        """An order goes on."""


class Switchboard:
    """Connects a pool with its workers.

    Parameters
    ----------
    asked : Asked
        What the jobs are made of.
    told : Told

    Attributes
    ----------
    cluster : SpecCluster
        Makes and ends the jobs.
    """

    def __init__(self, asked: Asked, told: Told) -> None:
        host = {"interface": asked.site.interface} if asked.site.interface else {}
        if asked.slurm is None:
            host = {"host": "127.0.0.1"}
        self.cluster: SpecCluster = make_cluster(asked, host)
        self.cluster.shutdown_on_close = False  # at the exit of a process that forgot: see Pools
        self._told = told

    async def start(self) -> None:
        """Start the scheduler."""
        await self.cluster
        scheduler = self.cluster.scheduler
        assert isinstance(scheduler, Scheduler)
        self._scheduler = scheduler
        self._scheduler.add_plugin(_Ears(self._told), name=TOPIC)
        self._client = await Client(self.cluster, asynchronous=True, set_as_default=False)

    async def do(self, member: Member, order: Order, number: int, key: str) -> Outcome | None:
        """Have a worker do an order; None if it is gone before it says what came of it.

        Parameters
        ----------
        member : Member
        order : Order
        number : int
            Tells the order from others of the pool.
        key : str
            Dask's name for this try; no two are alike.
        """
        task = self._client.submit(work, order, number, key=key, workers=[member.address], pure=False)
        result, gone = asyncio.ensure_future(task.result()), asyncio.ensure_future(member.gone.wait())
        await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not result.done():
            result.cancel()
        try:
            outcome: Outcome = await result
        except (KilledWorker, asyncio.CancelledError, OSError):
            return None
        except Exception as error:
            told = for_people(error)
            return Outcome(order, fault=Fault(told.code, told.message, told.hint), ended=now())
        finally:
            task.release()
        return outcome

    def stop(self, member: Member) -> None:
        """Have what a worker is at stop at its next boundary."""
        line = self._scheduler.stream_comms.get(member.address)
        if line is not None and member.future is not None:
            line.send({"op": "hpcdaas-stop", "number": member.future.number})

    async def send_away(self, address: str) -> None:
        """Have a worker end that nobody asked for."""
        retiring: Any = self._scheduler.retire_workers(workers=[address])
        await retiring

    async def close(self) -> None:
        """End the jobs and the scheduler."""
        await self._client.close()
        await self.cluster.close()


class _Ears(SchedulerPlugin):  # type: ignore[misc]
    """Hears from the scheduler who comes and goes."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        state = scheduler.workers[worker]
        self._told.join(worker, str(state.name), state.extra.get(TOPIC, {}))

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        self._told.leave(worker)

    def log_event(self, topic: str, msg: Any) -> None:
        if topic == TOPIC and isinstance(msg, dict):
            self._told.progress(msg["number"], msg["done"], msg["total"])
