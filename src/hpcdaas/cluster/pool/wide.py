"""A pool for runs on many ranks: each order is a batch job of its own, and holds no worker while it waits and runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import now
from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.task import Fault, Order, Outcome
from hpcdaas.cluster.runs.ending import Ending
from hpcdaas.cluster.runs.follow import follow
from hpcdaas.cluster.runs.in_jobs import InJobs
from hpcdaas.cluster.scans.prepare import work_of
from hpcdaas.cluster.site import PoolTable, Site
from hpcdaas.cluster.slurm import Slurm, SlurmAway, SlurmRefused
from hpcdaas.cluster.state import StateFolder
from hpcdaas.errors import HpcdaasError, InputError, for_people
from hpcdaas.io import open_scan
from hpcdaas.io.nexus_result import existing_run
from hpcdaas.pipeline import reconstruct
from hpcdaas.recipe import parse
from hpcdaas.run import raw_identity, run_identity

#: Seconds between two rounds.
ROUND = 0.3


class WidePool:
    """Takes orders as `hpcdaas.cluster.pools.Pool` does, and makes each a job on several ranks or nodes.

    The jobs are SLURM's: they go on when this process ends, and asked for again, their results are there.

    Parameters
    ----------
    table : PoolTable
    site : Site
    slurm : Slurm
    state : Path
        State folder: scripts and logs of the runs are in it.
    """

    excluded: tuple[str, ...] = ()

    def __init__(self, table: PoolTable, site: Site, slurm: Slurm, state: Path) -> None:
        self.table, self._site, self._slurm = table, site, slurm
        self._state = StateFolder(state)
        self._jobs = InJobs(site, slurm, self._state, home=table)
        self._flying: dict[int, tuple[Future, Entry]] = {}
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self.trouble = ""
        self._thread = threading.Thread(target=self._go_round, name=f"pool {table.name}", daemon=True)
        self._thread.start()

    def submit(self, order: Order, priority: int = 0) -> Future:
        """Give an order to the pool; comes back when it is in the queue.

        Raises
        ------
        InputError
            If the scan or the recipe is refused, or a result would have to be replaced.
        SlurmAway
            If SLURM doesn't answer.
        """
        future = self.future(order, priority)
        self.give(future)
        return future

    def future(self, order: Order, priority: int = 0) -> Future:
        """See `hpcdaas.cluster.pools.Pool.future`."""
        if order.overwrite and existing_run(order.out) is not None:
            raise InputError(
                f"{order.out} is there, and a job replaces no result.", "Remove it, or choose another name."
            )
        return Future(order, priority, self._cancel)

    def give(self, future: Future) -> None:
        """Give the pool a future's order; comes back when it is in the queue."""
        entry = self._entry(future.order, future.number, future.priority)
        with self._lock:
            self._flying[future.number] = future, self._sent(entry, future)

    def _entry(self, order: Order, number: int, priority: int) -> Entry:
        recipe = parse(order.recipe or {})
        scan = open_scan(order.scan, recipe.scan)
        run = run_identity(raw_identity(scan.files), recipe.resolved(), order.attempt)
        self._state.write(run, "recipe.toml", recipe.toml())
        return Entry(
            number, str(order.scan), recipe.name, order.attempt, State.QUEUED, "", priority=priority, run=run,
            result=str(order.out), work=work_of(scan, recipe), seconds=order.seconds or None, place="job",
        )  # fmt: skip

    def _sent(self, entry: Entry, future: Future) -> Entry:
        """Submit the job of an entry; one that SLURM refuses ends with its words."""
        shape = self._jobs.shape(entry, {})
        name = f"hpcdaas-{(entry.run or '')[:16]}-{entry.tries + 1}"
        cores = shape.nodes * shape.ranks * shape.cores
        entry = replace(entry, tries=entry.tries + 1, cores=cores, state=State.QUEUED, intent=name)
        try:
            job = self._jobs.submit([entry], shape, name)[0]
        except SlurmRefused as refused:
            future.give_up(Fault(refused.code, refused.message, refused.hint))
            return entry
        return replace(entry, job=job, place="job")

    def _cancel(self, future: Future) -> None:
        with self._lock:
            _, entry = self._flying.pop(future.number, (future, None))
        if entry is not None and not future.done():
            self._jobs.cancel([entry])
            future.give_up()

    def _go_round(self) -> None:
        while not self._ends.wait(ROUND):
            try:
                self._round()
                self.trouble = ""
            except HpcdaasError as error:
                self.trouble = error.message

    def _round(self) -> None:
        with self._lock:
            flying = {n: pair for n, pair in self._flying.items() if not pair[0].done()}
            self._flying = flying
        if not flying:
            return
        for future, entry in flying.values():
            if not entry.job and (entry.not_before or "") <= now():  # an earlier job came to nothing
                self._keep(future, self._sent(entry, future))
        begun, ended = self._jobs.news([entry for _, entry in flying.values() if entry.job])
        for number, _ in begun:
            future, entry = flying[number]
            self._keep(future, replace(entry, state=State.RUNNING))
            future.start(f"job {entry.job}")
        for ending in ended:
            self._end(*flying[ending.entry], ending)

    def _keep(self, future: Future, entry: Entry) -> None:
        with self._lock:
            if future.number in self._flying:  # not cancelled meanwhile
                self._flying[future.number] = future, entry

    def _end(self, future: Future, entry: Entry, ending: Ending) -> None:
        """Do what follows from the end of a job: again, or an outcome."""
        entry = replace(entry, **follow(self._site, entry, ending))
        if entry.state is State.QUEUED:
            future.back(counts=entry.tries > 0)
            self._keep(future, entry)
        elif entry.state is State.DONE:
            future.end(self._outcome(future.order, entry, ending))
        else:
            future.give_up(Fault("failed", entry.reason or ending.reason))

    def _outcome(self, order: Order, entry: Entry, ending: Ending) -> Outcome:
        """Read the result, which is there: asked for again, a run isn't done again."""
        result, fault = None, None
        try:
            if existing_run(order.out) != entry.run:
                raise HpcdaasError(f"{order.out} isn't there, though its job {entry.job} has ended well.")
            recipe = parse(order.recipe or {})
            result = reconstruct(order.scan, recipe, order.out, attempt=order.attempt, register_result=False)
        except Exception as error:
            told = for_people(error)
            fault = Fault(told.code, told.message, told.hint)
        return Outcome(
            order, result, fault, job=entry.job or "", started=ending.started or "", ended=ending.ended or now(),
            seconds=ending.seconds,
        )  # fmt: skip

    def _count(self, holds: Callable[[Future], bool]) -> int:
        with self._lock:
            return sum(holds(future) for future, _ in self._flying.values() if not future.done())

    @property
    def waiting(self) -> int:
        """Orders whose jobs wait."""
        return self._count(lambda future: future.state == "queued")

    @property
    def running(self) -> int:
        """Orders whose jobs run."""
        return self._count(lambda future: future.state == "running")

    @property
    def jobs(self) -> dict[str, str]:
        """Where each job is, in words."""
        with self._lock:
            return {
                f"job {entry.job}": f"{future.state}, {future.order.scan.name}"
                for future, entry in self._flying.values()
            }

    def close(self) -> None:
        """Cancel what waits and runs; what runs leaves a checkpoint."""
        self._ends.set()
        self._thread.join()
        for future, entry in list(self._flying.values()):
            if not future.done():
                try:
                    self._jobs.cancel([entry])
                except SlurmAway as away:
                    self.trouble = away.message
                future.give_up(Fault("interrupted", f"{future.order.scan.name} was stopped: its pool was closed."))
