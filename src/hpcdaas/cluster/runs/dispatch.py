"""Who does which run, when, and what follows from how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.runs.ending import Ending, Meaning
from hpcdaas.cluster.runs.follow import LATER, follow
from hpcdaas.cluster.runs.in_jobs import InJobs
from hpcdaas.cluster.runs.in_pools import InPools
from hpcdaas.cluster.runs.launch import JOB, Launch
from hpcdaas.cluster.scans.prepare import is_there
from hpcdaas.cluster.site import PoolTable, Site
from hpcdaas.cluster.site.script import Shape
from hpcdaas.cluster.slurm import SlurmAway
from hpcdaas.cluster.tell import Tell
from hpcdaas.errors import InputError

#: Signature of a scan that was rewritten since its run was made.
REWRITTEN = "rewritten"


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
        self._launch = Launch(ledger, in_jobs, tell, self.end) if in_jobs else None

    def recover(self) -> None:
        """Take over what an earlier process left: find jobs that it had just submitted, give up its pools' runs."""
        placed = self._ledger.placed()
        for entry in placed:
            if entry.place != JOB:
                self._give_back(entry, "The process that had its pool has ended.")
        self._look_for([entry for entry in placed if entry.place == JOB])

    def _look_for(self, entries: Sequence[Entry]) -> None:
        """Find the jobs of intents, or give the runs back."""
        for entry in self._launch.look_for(entries) if self._launch else ():
            self._give_back(entry, "It had not been submitted.")

    def _give_back(self, entry: Entry, why: str) -> None:
        """Queue a run again whose start came to nothing, which costs no try; one that is done is done."""
        try:
            there = bool(entry.result and entry.run) and is_there(Path(entry.result or ""), entry.run or "")
        except InputError:  # something else has its name
            there = False
        if there:
            self.end(Ending(entry.id, Meaning.DONE))
        else:
            tries = max(0, entry.tries - 1)
            self._ledger.change(entry.id, why, state=State.QUEUED, place=None, intent=None, job=None, tries=tries)

    def collect(self) -> None:
        """Take in what has ended."""
        if self._pools:
            begun, ended = self._pools.news()
            with self._ledger.changing():
                for number in begun:
                    self._begin(number, now())
                for ending in ended:
                    self.end(ending)
        if self._jobs:
            self._collect_jobs(self._jobs)
        self._stop(self._ledger.cancelled())
        for entry in self._ledger.orphans():
            self._ledger.change(entry.id, "goes on without the other copy", twin=None, reason=None)

    def _begin(self, number: int, started: str) -> None:
        if self._ledger.entry(number).state in (State.QUEUED, State.RUNNING):  # and not cancelled meanwhile
            self._ledger.change(number, state=State.RUNNING, started=started)

    def _stop(self, cancelled: Sequence[Entry]) -> None:
        """Take runs back that somebody cancelled while a pool or a job had them."""
        if self._launch:
            self._launch.cancel([entry for entry in cancelled if entry.place == JOB])
        for entry in cancelled:
            if entry.place != JOB or not self._launch:
                if self._pools:
                    self._pools.cancel(entry)
                self._ledger.change(entry.id, place=None)

    def _collect_jobs(self, jobs: InJobs) -> None:
        mine = [entry for entry in self._ledger.placed() if entry.place == JOB]
        self._look_for(mine)  # of some SLURM didn't answer when they were submitted
        try:
            begun, ended = jobs.news([entry for entry in mine if entry.job])
        except SlurmAway as away:
            self._tell("slurm away", reason=away.message)
            return
        if reason := jobs.away:
            self._tell("slurm away", reason=reason)
        with self._ledger.changing():
            for number, started in begun:
                self._begin(number, started or now())
            for ending in ended:
                self.end(ending)

    def start(self, paused: Sequence[str] = ()) -> None:
        """Start what is queued, the most urgent first, as much as there is room for."""
        paused = [*paused, *self._full()]
        small = self._pools.small if self._pools else None
        # what a pool does and what is a job of its own have room apart, and neither waits for the other
        most = self._site.limits.pool_seconds * small.cores if small and self._jobs else None
        if self._pools and small:
            for entry in self._ledger.ready(self._pools.room(small), paused, most=most):
                self._start_in_pool(entry, small)
        if self._jobs and self._launch:
            jobs: dict[Shape, list[Entry]] = {}
            for entry in self._ledger.ready(self._job_room(), paused, above=most):
                asked = self._asked(entry)
                if asked is not None:
                    jobs.setdefault(self._jobs.shape(entry, asked), []).append(entry)
            for shape, entries in jobs.items():
                if not self._launch.start(entries, shape):
                    return

    def _job_room(self) -> int:
        flying = sum(1 for entry in self._ledger.placed() if entry.place == JOB)
        return self._site.limits.queued - flying

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

    def end(self, ending: Ending) -> None:
        """Write down how a start of a run ended, and what follows."""
        with self._ledger.changing():
            entry = self._ledger.entry(ending.entry)
            if entry.state is State.CANCELLED:
                return
            if entry.signature == REWRITTEN:  # however it ended, it was about another scan
                reason = "The scan was rewritten while it was worked on."
                ending = replace(ending, meaning=Meaning.REWRITTEN, reason=reason)
            used: dict[str, Any] = {
                "core_seconds": entry.core_seconds + ending.core_seconds,
                "gpu_seconds": entry.gpu_seconds + ending.gpu_seconds,
            }
            if ending.started:
                used["started"] = ending.started
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
                self._ledger.change(entry.id, "the scan was rewritten", signature=REWRITTEN)
            elif entry.state not in (State.WAITING, State.CANCELLED):
                self.end(Ending(entry.id, Meaning.REWRITTEN, "The scan was rewritten."))

    def settle_twins(self, number: int) -> None:
        """Give other copies of a scan the end of the one that was reconstructed."""
        entry = self._ledger.entry(number)
        for twin in self._ledger.same_run(entry.run) if entry.run else ():
            if twin.twin == number and twin.state is not State.CANCELLED:
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
