"""Runs that a worker of a pool does."""

from __future__ import annotations

import queue
import tomllib
from collections.abc import Callable
from pathlib import Path

from hpcdaas.cluster.entry import Entry
from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.task import Order, Outcome
from hpcdaas.cluster.pools import Pools
from hpcdaas.cluster.runs.ending import OF_CODE, Ending, Meaning
from hpcdaas.cluster.site import PoolTable, Site
from hpcdaas.cluster.state import StateFolder
from hpcdaas.errors import InputError
from hpcdaas.recipe import parse

#: Runs that wait at a pool for each of its workers: none is idle, and what is urgent comes soon.
AHEAD = 3


class InPools:
    """Starts runs on workers and hears how they end.

    Parameters
    ----------
    pools : Pools
    site : Site
    state : StateFolder
    wake : callable
        Called, in any thread, when there is news.

    Attributes
    ----------
    small : PoolTable or None
        The pool that runs on one node go to.
    """

    def __init__(self, pools: Pools, site: Site, state: StateFolder, wake: Callable[[], None]) -> None:
        self._pools, self._state, self._wake = pools, state, wake
        self._options = site.run_options()
        # nothing here needs a GPU, so a pool without comes first
        narrow = sorted((pool for pool in site.pool if not pool.wide), key=lambda pool: pool.gpus)
        self.small = narrow[0] if narrow else pools["local"].table if site.is_local else None
        self._futures: dict[int, tuple[Future, PoolTable]] = {}
        self._news: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()

    def room(self, pool: PoolTable) -> int:
        """Say how many more runs may wait at a pool."""
        here = sum(1 for _, other in self._futures.values() if other is pool)
        return AHEAD * pool.most + 1 - here

    def start(self, entry: Entry, pool: PoolTable) -> None:
        """Hand a run to a pool."""
        order = self._order(entry, pool)
        future = self._pools[pool.name].submit(order, entry.priority)
        self._futures[entry.id] = future, pool
        future.when_running(lambda found: self._tell(entry.id, found))
        future.when_done(lambda found: self._tell(entry.id, found))

    def _order(self, entry: Entry, pool: PoolTable) -> Order:
        assert entry.run is not None
        assert entry.result is not None
        folder = self._state.run_folder(entry.run)
        try:
            recipe = parse(tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder / 'recipe.toml'} can't be read: {error}.", "'hpcdaas retry' makes it."
            ) from error
        return Order(
            scan=Path(entry.scan), out=Path(entry.result), recipe=recipe.resolved(), attempt=entry.attempt,
            expected=entry.run, seconds=(entry.work or 0.0) / pool.cores, log=folder / "log.txt", key=str(entry.id),
            options=self._options,
        )  # fmt: skip

    def _tell(self, entry: int, future: Future) -> None:
        self._news.put((entry, future))
        self._wake()

    def cancel(self, entry: Entry) -> None:
        """Stop a run at its next boundary."""
        if entry.id in self._futures:
            self._futures[entry.id][0].cancel()

    def news(self) -> tuple[list[int], list[Ending]]:
        """Give the entries that have begun, and how others ended, since it was asked last."""
        begun: list[int] = []
        ended: list[Ending] = []
        while True:
            try:
                entry, future = self._news.get_nowait()
            except queue.Empty:
                return begun, ended
            if not future.done():
                begun.append(entry)
            elif self._futures.get(entry, (None,))[0] is future:  # and not an earlier one, which was cancelled
                _, pool = self._futures.pop(entry)
                ended.append(_ending(entry, future.outcome(), pool))

    @property
    def trouble(self) -> str:
        """Say why no worker comes at present; empty if all is well."""
        return "; ".join(filter(None, (self._pools[name].trouble for name in self._pools.names)))


def _ending(entry: int, outcome: Outcome, pool: PoolTable) -> Ending:
    meaning, reason = Meaning.DONE, ""
    if outcome.fault:
        meaning = OF_CODE.get(outcome.fault.code, Meaning.FAILED)
        reason = f"{outcome.fault.message} {outcome.fault.hint}".strip()
    return Ending(
        entry, meaning, reason, outcome.started or None, outcome.ended or None,
        outcome.seconds * pool.cores, outcome.seconds * pool.gpus, outcome.seconds,
    )  # fmt: skip
