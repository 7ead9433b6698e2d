"""Who does which run, when, and what follows from how it ended."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from hpcdaas.cluster.ending import Ending, Meaning
from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.follow import LATER, follow
from hpcdaas.cluster.in_jobs import InJobs
from hpcdaas.cluster.in_pools import InPools
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.prepare import is_there
from hpcdaas.cluster.script import Shape
from hpcdaas.cluster.site import PoolTable, Site
from hpcdaas.cluster.slurm import SlurmAway, SlurmRefused
from hpcdaas.errors import InputError

#: Runs that are alike, at least, before they go as one job array.
ALIKE = 4
#: Place of a run that is a job of its own.
JOB = "job"


class Tell(Protocol):
    """Hears what happens."""

    def __call__(self, event: str, entry: Entry | None = None, **facts: Any) -> None:
        """Hear of an event, perhaps about an entry."""


class Dispatcher:
    """Moves the runs of a ledger on: starts what is queued, takes in what has ended.

    Parameters
    ----------
    site : Site
    ledger : Ledger
    tell : Tell
    in_pools : InPools or None
        Where small runs go; without it all are jobs.
    in_jobs : InJobs or None
        None on a site without SLURM.
    """

    def __init__(
        self, site: Site, ledger: Ledger, tell: Tell, in_pools: InPools | None, in_jobs: InJobs | None
    ) -> None:
        self._site, self._ledger, self._tell = site, ledger, tell
        self._pools, self._jobs = in_pools, in_jobs
        self._rewritten: set[int] = set()  # entries under way whose scan has changed

    def recover(self) -> None:
        """Take over what an earlier process left: find jobs that it had just submitted, give up its pools' runs."""
        for entry in self._ledger.placed():
            if entry.place != JOB:
                self._give_back(entry, "The process that had its pool has ended.")
            elif entry.job is None:
                self._look_for(entry)

    def _look_for(self, entry: Entry) -> None:
        """Find the job of an intent, or give the run back."""
        job = self._jobs.find(entry) if self._jobs else None
        if job:
            self._ledger.change(entry.id, f"found its job {job}", job=job)
        else:
            self._give_back(entry, "It had not been submitted.")

    def _give_back(self, entry: Entry, why: str) -> None:
        if entry.result and entry.run and is_there(Path(entry.result), entry.run):
            self.end(Ending(entry.id, Meaning.DONE))
        else:
            self._ledger.change(entry.id, why, state=State.QUEUED, place=None, intent=None, job=None)

    def collect(self) -> None:
        """Take in what has ended."""
        if self._pools:
            begun, ended = self._pools.news()
            with self._ledger.changing():
                for number in begun:
                    self._ledger.change(number, state=State.RUNNING, started=now())
                for ending in ended:
                    self.end(ending)
        if self._jobs:
            self._collect_jobs(self._jobs)
        for entry in self._ledger.cancelled():
            self._stop(entry)

    def _stop(self, entry: Entry) -> None:
        """Take a run back that somebody cancelled while a pool or a job had it."""
        try:
            if entry.place != JOB and self._pools:
                self._pools.cancel(entry)
            elif entry.place == JOB and self._jobs:
                self._jobs.cancel(entry)
        except SlurmAway:
            return
        self._ledger.change(entry.id, place=None)

    def _collect_jobs(self, jobs: InJobs) -> None:
        mine = [entry for entry in self._ledger.placed() if entry.place == JOB]
        try:
            for entry in mine:
                if not entry.job and (entry.not_before or "") <= now():  # SLURM didn't answer when it was submitted
                    self._look_for(entry)
            begun, ended = jobs.news([entry for entry in mine if entry.job])
        except SlurmAway as away:
            self._tell("slurm away", reason=away.message)
            return
        if reason := jobs.away:
            self._tell("slurm away", reason=reason)
        with self._ledger.changing():
            for number, started in begun:
                self._ledger.change(number, state=State.RUNNING, started=started or now())
            for ending in ended:
                self.end(ending)

    def start(self, paused: Sequence[str] = ()) -> None:
        """Start what is queued, the most urgent first, as much as there is room for."""
        paused = [*paused, *self._full()]
        small = self._pools.small if self._pools else None
        limit = (self._pools.room(small) if self._pools and small else 0) + self._job_room()
        jobs: dict[Shape, list[Entry]] = {}
        for entry in self._ledger.ready(limit, paused) if limit > 0 else ():
            if self._pools and small and (self._fits(entry, small) or not self._jobs):
                if self._pools.room(small) > 0:
                    self._start_in_pool(entry, small)
            elif self._jobs:
                asked = self._asked(entry)
                if asked is not None:
                    jobs.setdefault(self._jobs.shape(entry, asked), []).append(entry)
        for shape, entries in jobs.items():
            if self._jobs:
                self._start_jobs(self._jobs, entries, shape)

    def _fits(self, entry: Entry, pool: PoolTable) -> bool:
        tried_more = entry.memory or entry.seconds
        return not tried_more and (entry.work or 0.0) / pool.cores <= self._site.limits.pool_seconds

    def _job_room(self) -> int:
        if not self._jobs:
            return 0
        flying = sum(1 for entry in self._ledger.placed() if entry.place == JOB)
        return max(0, self._site.limits.queued - flying)

    def _asked(self, entry: Entry) -> dict[str, str] | None:
        """Give account, qos and reservation of a scan's owner; None where the site's rules refuse it."""
        try:
            owner = self._site.owner_of(Path(entry.scan))
        except InputError as error:
            self.end(Ending(entry.id, Meaning.FAILED, str(error).replace("\n", " ")))
            return None
        return owner.options() if owner else {}

    def _start_in_pool(self, entry: Entry, pool: PoolTable) -> None:
        assert self._pools
        self._ledger.change(
            entry.id, f"handed to the pool {pool.name}", place=f"pool:{pool.name}", tries=entry.tries + 1, reason=None
        )
        try:
            self._pools.start(entry, pool)
        except InputError as error:
            self.end(Ending(entry.id, Meaning.FAILED, str(error).replace("\n", " ")))

    def _start_jobs(self, jobs: InJobs, entries: list[Entry], shape: Shape) -> None:
        """Submit runs that are alike, as an array where they are many."""
        while entries:
            batch = entries[: jobs.longest_array if len(entries) >= ALIKE else 1]
            entries = entries[len(batch) :]
            if not self._submit(jobs, batch, shape):
                return

    def _submit(self, jobs: InJobs, batch: list[Entry], shape: Shape) -> bool:
        """Submit; an intent is in the ledger before that, so that a crash in between loses and doubles nothing."""
        first = batch[0]
        name = f"hpcdaas-{(first.run or '')[:16]}-{first.tries + 1}"
        if len(batch) > 1:
            name = f"hpcdaas-array-{uuid.uuid4().hex[:10]}"
        has = {"cores": shape.nodes * shape.ranks * shape.cores, "gpus": shape.nodes * shape.gpus}
        with self._ledger.changing():
            for index, entry in enumerate(batch):
                intent = name if len(batch) == 1 else f"{name}:{index}"
                self._ledger.change(
                    entry.id, "to be submitted", place=JOB, intent=intent, job=None, tries=entry.tries + 1, reason=None,
                    **has,
                )  # fmt: skip
        try:
            numbers = jobs.submit(batch, shape, name)
        except SlurmAway as away:
            # it may have been accepted all the same: that is looked for before it is submitted again
            self._tell("slurm away", reason=away.message)
            self._unsure(batch)
            return False
        except SlurmRefused as refused:
            self._refused(batch, refused)
            return not refused.transient
        with self._ledger.changing():
            for entry, job in zip(batch, numbers, strict=True):
                self._ledger.change(entry.id, f"submitted as job {job}", job=job)
                self._tell("submitted", entry, job=job)
        return True

    def _unsure(self, batch: list[Entry]) -> None:
        for entry in batch:
            self._ledger.change(entry.id, "SLURM did not answer", not_before=now(LATER))

    def _refused(self, batch: list[Entry], refused: SlurmRefused) -> None:
        for entry in batch:
            if refused.transient:
                self._ledger.change(
                    entry.id, refused.message, place=None, intent=None, tries=entry.tries, not_before=now(LATER),
                    reason=refused.message,
                )  # fmt: skip
            else:
                self.end(Ending(entry.id, Meaning.FAILED, str(refused).replace("\n", " ")))

    def end(self, ending: Ending) -> None:
        """Write down how a start of a run ended, and what follows."""
        entry = self._ledger.entry(ending.entry)
        if entry.state is State.CANCELLED:
            return
        if ending.meaning is Meaning.DONE and entry.id in self._rewritten:
            ending = replace(ending, meaning=Meaning.REWRITTEN, reason="The scan was rewritten while it was worked on.")
        self._rewritten.discard(entry.id)
        used: dict[str, Any] = {
            "core_seconds": entry.core_seconds + ending.core_seconds,
            "gpu_seconds": entry.gpu_seconds + ending.gpu_seconds,
        }
        if ending.started:
            used["started"] = ending.started
        with self._ledger.changing():
            changes = follow(self._site, entry, ending)
            if ending.meaning is Meaning.DONE:
                self._learn(entry, ending)
            if ending.meaning is Meaning.NO_ROOM:
                self._is_full(entry, ending.reason)
            self._ledger.change(entry.id, ending.reason or changes["state"], **{**used, **changes})
            if changes["state"] in (State.DONE, State.FAILED, State.CANCELLED):
                self.settle_twins(entry.id)
        self._tell(str(changes["state"]), self._ledger.entry(entry.id))

    def rewritten(self, scan: Path) -> None:
        """Hear that a file has changed: what was known of it holds no more."""
        for entry in self._ledger.of_scan(scan):
            if entry.place and entry.state in (State.QUEUED, State.RUNNING):
                self._rewritten.add(entry.id)
            elif entry.state not in (State.WAITING, State.CANCELLED):
                self.end(Ending(entry.id, Meaning.REWRITTEN, "The scan was rewritten."))

    def settle_twins(self, number: int) -> None:
        """Give other copies of a scan the end of the one that was reconstructed."""
        entry = self._ledger.entry(number)
        for twin in self._ledger.same_run(entry.run) if entry.run else ():
            if twin.twin == number:
                reason = entry.reason or f"The same data as {entry.scan}."
                self._ledger.change(
                    twin.id, f"as {entry.scan}", state=entry.state, reason=reason, result=entry.result, pid=entry.pid,
                    ended=now(),
                )  # fmt: skip

    def _learn(self, entry: Entry, ending: Ending) -> None:
        """Remember how long runs of this recipe take against their estimate."""
        if entry.work and ending.core_seconds:
            old = self.pace(entry.recipe)
            found = min(2.0, max(0.5, ending.core_seconds / entry.work))  # one odd run says little
            self._ledger.say(f"pace {entry.recipe}", min(10.0, max(0.1, old * (0.8 + 0.2 * found))))

    def pace(self, recipe: str) -> float:
        """Give the factor by which estimates of a recipe are to be corrected."""
        return float(self._ledger.fact(f"pace {recipe}") or 1.0)

    def _is_full(self, entry: Entry, reason: str) -> None:
        full = self._ledger.fact("full") or {}
        if (entry.group or "") not in full:
            self._tell("full", entry, group=entry.group or "", reason=reason)
        self._ledger.say("full", {**full, entry.group or "": now(LATER)})

    def _full(self) -> list[str]:
        """Give the groups whose disk was full a moment ago."""
        full: dict[str, str] = self._ledger.fact("full") or {}
        still = {group: until for group, until in full.items() if until > now()}
        if still != full:
            self._ledger.say("full", still or None)
        return list(still)
