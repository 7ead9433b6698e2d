"""The watcher: it sees scans come, and moves each of them on until its result is registered."""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpcdaas.cluster.entry import OPEN, State
from hpcdaas.cluster.health import write_figures
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.poster import Poster
from hpcdaas.cluster.runs.dispatch import Dispatcher
from hpcdaas.cluster.scans.folder import Changes, Folders
from hpcdaas.cluster.scans.intake import Intake
from hpcdaas.cluster.scans.recipes import Asked
from hpcdaas.cluster.site import Site
from hpcdaas.cluster.site.rule import Rule
from hpcdaas.cluster.state import StateFolder
from hpcdaas.cluster.tell import Tell
from hpcdaas.errors import HpcdaasError
from hpcdaas.lease import Held, Lease

#: Seconds between two signs of life in the ledger, and between two looks for what is too old.
HEARTBEAT, SWEEP = 15.0, 3600.0
#: Longest time between two rounds, seconds; news ends it sooner.
ROUND = 0.25
#: How long the first look into the folders may take, seconds; later ones are not waited for.
FIRST_POLL = 30.0


@dataclass(frozen=True)
class Orders:
    """What is made of scans that come.

    Attributes
    ----------
    recipes : sequence of Asked
    template : str
        Of the results' paths.
    announced : callable
        Gives paths of scans that were announced since it was asked last: they are complete.
    prometheus : Path or None
        Where figures are kept.
    """

    recipes: Sequence[Asked] = ()
    template: str = ""
    announced: Callable[[], Iterable[Path]] = tuple
    prometheus: Path | None = None


class Watch:
    """Goes round: looks at the folders, moves each scan on, again and again.

    Parameters
    ----------
    site : Site
    state : StateFolder
    ledger : Ledger
    folders : Folders or None
        What is watched; None where scans are named by hand.
    orders : Orders
        What is made of a scan that comes.
    intake, dispatcher, poster
        Who move it on.
    tell : Tell
    wake : Event
        Set by others when there is news.
    """

    def __init__(
        self, site: Site, state: StateFolder, ledger: Ledger, folders: Folders | None, orders: Orders, intake: Intake,
        dispatcher: Dispatcher, poster: Poster, tell: Tell, wake: threading.Event,
    ) -> None:  # fmt: skip
        self._site, self._state, self._ledger, self._folders = site, state, ledger, folders
        self._orders, self._tell, self._wake = orders, tell, wake
        self._intake, self._dispatcher, self._poster = intake, dispatcher, poster
        self._polled, self._beat, self._swept = 0.0, -math.inf, -math.inf
        self._sweeper: threading.Thread | None = None
        self._said: dict[tuple[str, str], float] = {}  # what is said of folders, and when
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after this round; may be called by a signal's handler."""
        self._stopping.set()
        self._wake.set()

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Go round until it is told to stop, or `until` says so after a round."""
        while not self._stopping.is_set():
            self.round()
            if until and until():
                return
            self._wake.wait(ROUND)
            self._wake.clear()

    def round(self) -> None:
        """Look at everything once."""
        self._state.check()
        self._look()
        self._intake.step()
        self._dispatcher.collect()
        if self._state.drains():
            self._stopping.set()
        paused = self._ledger.fact("paused") or ()
        if not self._stopping.is_set() and "*" not in paused and not self._intake.gathers:
            self._dispatcher.start(paused)
        self._poster.call()
        self._tidy()

    def idle(self) -> bool:
        """Say whether nothing is under way that could still move by itself."""
        counts = self._ledger.counts()
        # a record that the catalogue doesn't take waits for an operator
        return not any(counts[s] for s in (State.WAITING, State.QUEUED, State.RUNNING)) and not self._ledger.done()

    def settle(self) -> None:
        """Take in what has ended and register it, and start nothing."""
        self._dispatcher.collect()
        self._poster.step()

    def _look(self) -> None:
        for path in self._orders.announced():
            self._intake.announce(path)
            self._add(path, self._site.rule_for(path))
        if self._folders is None:
            return
        first = not self._polled
        self._take(self._folders.poll(wait=FIRST_POLL) if first else self._folders.answers())
        if first or time.monotonic() - self._polled >= self._site.limits.poll:
            self._folders.ask()
            self._polled = time.monotonic()

    def _take(self, changes: Changes) -> None:
        with self._ledger.changing():
            added = {seen.path for seen in (*changes.new, *changes.changed) if self._add(seen.path, seen.rule)}
            for seen in changes.changed:
                self._dispatcher.rewritten(seen.path)
        for seen in changes.doubtful:
            if seen.path not in added:
                self._intake.doubt(seen.path, seen.rule)
        for path, reason in changes.refused:
            self._say("refused", str(path), reason)
        for folder, reason in changes.errors:
            self._say("folder", str(folder), reason)

    def _say(self, event: str, path: str, reason: str) -> None:
        """Tell what is wrong with a path; the same again only after a while, and not with every poll."""
        now = time.monotonic()
        self._said = {key: at for key, at in self._said.items() if now - at < SWEEP}
        if (path, reason) not in self._said:
            self._said[path, reason] = now
            self._tell(event, path=path, reason=reason)

    def _add(self, path: Path, rule: Rule) -> bool:
        """Put a scan into the ledger; False where it is there."""
        self._intake.seen(path, rule)
        added = False
        for recipe in self._orders.recipes:
            entry = self._ledger.add(
                path, recipe.name, template=self._orders.template, recipe_file=recipe.file, priority=recipe.priority
            )
            if entry:
                added = True
                self._tell("found", entry)
        return added

    def _tidy(self) -> None:
        if time.monotonic() - self._beat > HEARTBEAT:
            self._beat = time.monotonic()
            with self._ledger.changing():
                self._ledger.say("heartbeat", now())
                if self._folders:
                    self._ledger.say("watched", now())
            self._write_figures()
        if time.monotonic() - self._swept > SWEEP and not (self._sweeper and self._sweeper.is_alive()):
            self._swept = time.monotonic()
            # in a thread: the file system of some result may hang
            self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
            self._sweeper.start()

    def _write_figures(self) -> None:
        if self._orders.prometheus:
            try:
                write_figures(self._ledger, self._orders.prometheus)
            except OSError as error:
                self._say("prometheus", str(self._orders.prometheus), error.strerror or str(error))

    def _sweep(self) -> None:
        try:
            sweep(self._site, self._state, self._ledger)
        except (HpcdaasError, OSError) as error:
            self._tell("sweep", reason=str(error))


def sweep(site: Site, state: StateFolder, ledger: Ledger) -> None:
    """Remove what is older than the site keeps it: scripts and logs, checkpoints that nobody goes on from, rows."""
    at_work = ledger.entries(*OPEN)
    state.sweep(site.keep.logs, {entry.run for entry in at_work if entry.run})
    wanted = {entry.result for entry in at_work}
    swept, until = ledger.fact("swept") or "", now(-site.keep.checkpoints)
    for entry in ledger.left_behind(swept, until):
        if entry.result and entry.result not in wanted:
            _remove(Path(entry.result + ".partial"))
    ledger.say("swept", max(swept, until))
    ledger.forget(now(-site.keep.ledger), there=os.path.lexists)


def _remove(partial: Path) -> None:
    """Remove a checkpoint, unless somebody is at work on it."""
    if partial.is_dir():
        with suppress(OSError, Held):
            lease = Lease(partial / "lease")
            shutil.rmtree(partial)
            lease.release()
