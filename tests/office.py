"""What moves runs on, in this process: a real ledger and real files, and hands in place of SLURM and of workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import Ledger
from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.task import Fault, Order, Outcome, now
from hpcdaas.cluster.pools import Pools
from hpcdaas.cluster.runs.dispatch import Dispatcher
from hpcdaas.cluster.runs.in_jobs import InJobs
from hpcdaas.cluster.runs.in_pools import InPools
from hpcdaas.cluster.site import Site
from hpcdaas.cluster.slurm import JobState, Slurm, _check
from hpcdaas.cluster.slurm.poll import Poll
from hpcdaas.cluster.state import StateFolder
from hpcdaas.errors import HpcdaasError

RECIPE = 'name = "fast"\n[[step]]\nuse = "flatfield"\n[[step]]\nuse = "minus_log"\n[[step]]\nuse = "fbp"\n'
PARTITION = {"name": "day", "cores": 4, "memory": "8 GB", "time": "1 day", "nodes": 2}
POOL = {"name": "cpu", "partition": "day", "cores": 1, "memory": "1 GB", "most": 2, "time": "1 h"}


class HandSlurm:
    """SLURM by hand: jobs are as the test says, and every call is counted."""

    def __init__(self) -> None:
        self.states: dict[str, JobState] = {}
        self.names: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.calls: list[str] = []
        self.trouble: dict[str, HpcdaasError] = {}  # what a call raises
        self.scripts: dict[str, str] = {}

    def _call(self, what: str) -> None:
        self.calls.append(what)
        if what in self.trouble:
            raise self.trouble[what]

    def submit(
        self, script: str, options: Sequence[str], name: str, folder: Path, array: int | None = None,
        at_once: int | None = None,
    ) -> str:  # fmt: skip
        self._call("submit")
        _check(options, name, folder)
        number = str(101 + len(self.names))
        self.names[number], self.scripts[number] = name, script
        for job in [number] if array is None else [f"{number}_{index}" for index in range(array)]:
            self.states[job] = JobState(job, name, "PENDING", "Priority")
        return number

    def jobs(self, ids: Iterable[str]) -> dict[str, JobState]:
        self._call("jobs")
        return {job: self.states.get(job, JobState(job)) for job in ids}

    def find(self, name: str) -> list[JobState]:
        self._call("find")
        return [job for job in self.states.values() if job.name == name]

    def cancel(self, ids: Iterable[str]) -> None:
        self._call("cancel")
        self.cancelled += ids

    def configuration(self) -> dict[str, str]:
        self._call("configuration")
        return {"MaxArraySize": "21"}

    def set(self, job: str, state: str, **values: Any) -> None:
        self.states[job] = JobState(job, self.states[job].name, state, **values)


class HandPools:
    """A pool by hand: it takes orders, and the test says what comes of them."""

    def __init__(self) -> None:
        self.futures: list[Future] = []
        self.unwanted: list[Future] = []
        self.names = ["cpu"]
        self.trouble = ""

    def __getitem__(self, name: str) -> HandPools:
        return self

    def submit(self, order: Order, priority: int = 0) -> Future:
        future = Future(order, priority, self.unwanted.append)
        self.futures.append(future)
        return future


class Office:
    """A dispatcher with its ledger in a folder."""

    def __init__(self, folder: Path, pools: bool = False, **site: Any) -> None:
        self.folder = folder
        tables = {"partition": [PARTITION], "pool": [POOL] if pools else [], **site}
        self.site = Site.model_validate(tables)
        self.state = StateFolder(folder / "state")
        self.ledger = Ledger(self.state.path)
        self.slurm, self.pools = HandSlurm(), HandPools()
        self.told: list[tuple[str, Entry | None, Mapping[str, Any]]] = []
        self.new()

    def new(self) -> Dispatcher:
        """Make a dispatcher as a process does that has just been started."""
        in_jobs = InJobs(self.site, cast(Slurm, self.slurm), self.state)
        in_jobs._poll = Poll(cast(Slurm, self.slurm), clock=count(0.0, 1000.0).__next__)
        in_pools = InPools(cast(Pools, self.pools), self.site, self.state, lambda: None) if self.site.pool else None
        self.dispatcher = Dispatcher(self.site, self.ledger, self.tell, in_pools, in_jobs)
        return self.dispatcher

    def tell(self, event: str, entry: Entry | None = None, **facts: Any) -> None:
        self.told.append((event, entry, facts))

    def events(self, *names: str) -> list[str]:
        return [event for event, _, _ in self.told if not names or event in names]

    def queued(self, name: str = "a", run: str = "", **values: Any) -> Entry:
        """Add an entry as `Intake` leaves it: queued, with its recipe."""
        run = run or name.encode().hex().ljust(64, "0")[:64]
        given = {
            "state": State.QUEUED, "run": run, "result": str(self.folder / f"{name}_{run[:8]}.h5"), "work": 1.0,
            "queued": now(),
        }  # fmt: skip
        self.state.write(run, "recipe.toml", RECIPE)
        added = self.ledger.add(self.folder / f"{name}.nxs", "fast", template="t", **{**given, **values})
        assert added
        return added

    def entry(self, of: Entry) -> Entry:
        return self.ledger.entry(of.id)

    def round(self) -> None:
        """Do what the watcher does, once."""
        self.dispatcher.collect()
        self.dispatcher.start()

    def ended(self, entry: Entry, code: int, error: str = "") -> None:
        """Leave on disk what a job leaves."""
        assert entry.run
        self.state.write(entry.run, "ended", f"{code}\n")
        if error:
            text = f'{{"error": {{"code": "{error}", "message": "It is {error}.", "hint": ""}}}}'
            self.state.write(entry.run, "outcome.json", text)


def outcome(future: Future, fault: str = "") -> Outcome:
    """Say what came of an order."""
    return Outcome(future.order, fault=Fault(fault, f"It is {fault}.") if fault else None, started=now(), ended=now())
