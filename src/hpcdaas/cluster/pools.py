"""Pools: workers that wait for small runs, so that none of these waits for a job of its own.

Each pool has a Dask scheduler of its own, and its workers are jobs of one kind. So GPU work never waits for a CPU
worker or the other way round, one pool's trouble is none of the others', and no task needs a restriction that says
where it may run. The schedulers live in one thread of the process that made the pools.

Which order goes to which worker is decided here and not by Dask, which would hand many tasks to a worker ahead of
time: all of them would count as suspicious when it dies, none would go before another by priority, and none would mind
how long the worker will be there. A Dask worker of a pool has one task or none.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydantic import ByteSize

from hpcdaas.backend import default_threads
from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.session import Session, abandoned
from hpcdaas.cluster.pool.task import SHARE, Order
from hpcdaas.cluster.site import PoolTable, Site
from hpcdaas.errors import HpcdaasError, InputError, nearest
from hpcdaas.pipeline.memory import default_budget

if TYPE_CHECKING:
    from hpcdaas.cluster.pool.crew import Crew
    from hpcdaas.cluster.pool.wide import WidePool
    from hpcdaas.cluster.slurm import Slurm

#: Seconds that closing a pool's jobs may take.
CLOSING = 90.0


def _nothing(_: str) -> None:
    """Say nothing."""


class Pool:
    """Takes orders, and has jobs with workers as long as there are any.

    Attributes
    ----------
    table : PoolTable
    """

    def __init__(self, table: PoolTable, crew: Crew, loop: asyncio.AbstractEventLoop) -> None:
        self.table, self._crew, self._loop = table, crew, loop

    def submit(self, order: Order, priority: int = 0) -> Future:
        """Give an order to the pool; comes back at once.

        Parameters
        ----------
        order : Order
        priority : int, optional
            Higher goes first; alike ones in their order.

        Raises
        ------
        InputError
            If no worker of the pool has the time or the memory.
        """
        future = self.future(order, priority)
        self.give(future)
        return future

    def future(self, order: Order, priority: int = 0) -> Future:
        """Make what `submit` gives back, for `give`: who may be interrupted has it in hand before anything begins."""
        if not self.fits(order.memory or 0, order.seconds):
            raise InputError(
                f"{order.scan.name} needs {order.seconds:.0f} s and {(order.memory or 0) / 1e9:.1f} GB: more than a "
                f"worker of the pool '{self.table.name}' has.",
                "Make it a job of its own, or give the pool more in the site file.",
            )
        return Future(order, priority, lambda found: self._call(self._crew.cancel, found))

    def give(self, future: Future) -> None:
        """Give the pool a future's order; comes back at once."""
        self._call(self._crew.add, future)

    def _call(self, function: Callable[[Future], None], future: Future) -> None:
        try:
            self._loop.call_soon_threadsafe(function, future)
        except RuntimeError:  # the loop is closed, and so are the pools
            raise InputError("The pools are closed.", "Make new ones.") from None

    def fits(self, memory: int, seconds: float) -> bool:
        """Say whether a worker of the pool has this much memory (bytes), and a fresh one this much time."""
        return memory <= self.table.memory and seconds <= self._crew.longest

    @property
    def waiting(self) -> int:
        """Orders that no worker has yet."""
        return len(self._crew.queue)

    @property
    def running(self) -> int:
        """Orders that workers are at."""
        return sum(member.future is not None for member in list(self._crew.members.values()))

    @property
    def jobs(self) -> dict[str, str]:
        """Where each job is, in words."""
        return self._crew.jobs()

    @property
    def trouble(self) -> str:
        """Why no worker comes at present; empty if all is well."""
        return self._crew.trouble

    @property
    def excluded(self) -> tuple[str, ...]:
        """Nodes on which workers didn't come up, or died again and again."""
        return self._crew.excluded


class Pools:
    """The pools of a site, made when they are first asked for.

    Parameters
    ----------
    site : Site
        With partitions, workers are in SLURM jobs; without, processes of this machine.
    state : Path
        State folder, seen from the nodes.
    say : callable, optional
        Told what is worth a line in a log, in words.
    slurm : Slurm, optional
        What asks SLURM. Default: one of its own.
    connect : float, optional
        Seconds within which the worker of a running job has to be there.
    idle : float, optional
        Seconds after which a worker without orders ends.

    Raises
    ------
    InputError
        If Dask isn't installed, or the state folder can't be used.
    """

    def __init__(
        self, site: Site, state: Path, say: Callable[[str], None] = _nothing, slurm: Slurm | None = None, *,
        connect: float = 120.0, idle: float = 120.0,
    ) -> None:  # fmt: skip
        _check_installed()
        self._site, self._say, self._connect, self._idle = site, say, connect, idle
        self._slurm = None if site.is_local else slurm or _slurm()
        self._clear(state)
        self._session = Session(state)
        self._state = state
        self._pools: dict[str, Pool | WidePool] = {}
        self._wide: list[WidePool] = []
        self._crews: list[Crew] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pools", daemon=True)
        self._thread.start()
        self._lock = threading.Lock()
        self._closed = False
        atexit.register(self._abandon)
        if site.is_local:
            say("There is no cluster here: the pools are processes of this machine.")

    def _clear(self, state: Path) -> None:
        """Cancel the jobs of processes that died, and remove their keys."""
        from hpcdaas.cluster.slurm import SlurmAway

        with suppress(SlurmAway):  # their workers end by themselves, and the keys go next time
            for names in abandoned(state):
                for name in names if self._slurm else ():
                    assert self._slurm is not None
                    left = [job.id for job in self._slurm.find(name)]
                    if left:
                        self._slurm.cancel(left)
                        self._say(f"Cancelled {len(left)} jobs of a process that died: {name}.")

    @property
    def folder(self) -> Path:
        """The folder of these pools; it goes with them."""
        return self._session.folder

    @property
    def names(self) -> list[str]:
        """The pools of workers that the site file names."""
        return [table.name for table in self._site.pool if not table.wide]

    def __getitem__(self, name: str) -> Pool | WidePool:
        """Give a pool.

        Raises
        ------
        InputError
            If there is none of this name.
        """
        with self._lock:
            if self._closed:
                raise InputError("The pools are closed.", "Make new ones.")
            if name not in self._pools:
                self._pools[name] = self._make(self._table(name))
            return self._pools[name]

    def _table(self, name: str) -> PoolTable:
        table = next((table for table in self._site.pool if table.name == name), None)
        if table is not None:
            return table
        if self._site.is_local and not self._site.pool:  # any name will do: notebooks go with it to the cluster
            return PoolTable(
                name=name, partition="local", cores=default_threads(), memory=ByteSize(default_budget() / SHARE)
            )
        names = [table.name for table in self._site.pool]
        raise InputError(f"The site '{self._site.name}' has no pool '{name}'.", nearest(name, names))

    def _make(self, table: PoolTable) -> Pool | WidePool:
        if table.wide:
            return self._make_wide(table)
        from hpcdaas.cluster.pool.crew import Crew
        from hpcdaas.cluster.pool.jobs import Asked

        asked = Asked(self._site, table, self._session, self._slurm)
        crew = Crew(asked, self._say, connect=self._connect, idle=self._idle)
        self._wait(crew.start())
        self._crews.append(crew)
        return Pool(table, crew, self._loop)

    def _make_wide(self, table: PoolTable) -> WidePool:
        from hpcdaas.cluster.pool.wide import WidePool

        if self._slurm is None:
            raise InputError(f"The pool '{table.name}' is for runs on many ranks, and there is no cluster here.")
        self._wide.append(WidePool(table, self._site, self._slurm, self._state))
        return self._wide[-1]

    def _wait(self, work: Coroutine[Any, Any, None], timeout: float | None = None) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def close(self, wait: float = 0.0) -> None:
        """End all workers and jobs, and remove the keys.

        Parameters
        ----------
        wait : float, optional
            Seconds that running orders have to end by themselves; then each is stopped at its next
            boundary, with a checkpoint. Orders that wait end as interrupted.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for pool in self._wide:
            pool.close()
        try:
            for work in [asyncio.run_coroutine_threadsafe(crew.close(wait), self._loop) for crew in self._crews]:
                work.result(wait + CLOSING)
        finally:
            atexit.unregister(self._abandon)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            if not self._thread.is_alive():
                self._loop.close()
            self._session.close()

    def _abandon(self) -> None:
        """End the jobs of a process that ends without closing its pools: threads can do nothing any more."""
        for crew in self._crews:
            crew.abandon()
        self._session.close()

    def __enter__(self) -> Pools:
        """Use the pools."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        self.close()


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401

        import hpcdaas.cluster.pool.jobqueue  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"Pools need '{error.name}', which isn't installed.", "pip install 'hpcdaas[slurm]'"
        ) from error
    except ValueError as error:
        raise HpcdaasError("The first pools of a process have to be made by its main thread.") from error


def _slurm() -> Slurm:
    from hpcdaas.cluster.slurm import Slurm

    return Slurm()
