"""The one who tells the catalogue: results are registered from their records, after they are safe, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from hpcdaas.catalog.outbox import deliver_one
from hpcdaas.catalog.outcome import Delivered, Outcome, Waiting
from hpcdaas.catalog.record import record_path
from hpcdaas.catalog.settings import Ownership, load_settings
from hpcdaas.catalog.store import Store, open_catalog
from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.runs.dispatch import Dispatcher
from hpcdaas.cluster.site import Site
from hpcdaas.cluster.tell import Tell
from hpcdaas.errors import for_people

#: Seconds until a catalogue that is away is tried again: doubled each time, up to the second number.
FIRST, LONGEST = 1.0, 60.0
#: Seconds until a record is tried again that the catalogue doesn't take.
LATER = 600.0
#: Seconds for which one delivery goes on where the catalogue is away: others wait behind it.
PATIENCE = 5.0


class Poster:
    """Registers what is done.

    Parameters
    ----------
    ledger : Ledger
    catalog : Store
    dispatcher : Dispatcher
    tell : Tell
    wake : callable
        Called, in the poster's thread, when something was registered.
    """

    def __init__(
        self, ledger: Ledger, catalog: Store, dispatcher: Dispatcher, tell: Tell, wake: Callable[[], None]
    ) -> None:
        self._ledger, self._catalog, self._dispatcher, self._tell, self._wake = ledger, catalog, dispatcher, tell, wake
        self._called, self._ended, self._at_work = threading.Event(), threading.Event(), threading.Lock()
        self._pause, self._until = FIRST, 0.0
        self._thread = threading.Thread(target=self._work, name="poster", daemon=True)
        self._thread.start()

    def call(self) -> None:
        """Say that there may be something to register."""
        self._called.set()

    def close(self, wait: float = 10.0) -> None:
        """End; what isn't registered waits for the next poster."""
        self._ended.set()
        self._called.set()
        self._thread.join(wait)

    def _work(self) -> None:
        while not self._ended.is_set():
            self._called.wait(FIRST)
            self._called.clear()
            if time.monotonic() >= self._until:
                try:
                    self.step()
                except Exception as error:  # the ledger's disk is full: the rounds of the watcher say so, too
                    self._tell("poster", reason=for_people(error).message)

    def step(self) -> None:
        """Register all that is done, until the catalogue is away."""
        with self._at_work:
            for entry in self._ledger.done():
                if self._ended.is_set() or not self._post(entry):
                    return

    def _post(self, entry: Entry) -> bool:
        """Register one result; False where the catalogue is away."""
        assert entry.result is not None
        log = Path(entry.log) if entry.log else None
        try:
            outcome = deliver_one(record_path(Path(entry.result)), self._catalog, log)
        except Exception as error:  # one record that nobody thought of holds no other up
            outcome = Waiting(for_people(error).message)
        if not isinstance(outcome, Delivered):
            self._keep(entry, outcome)
            return not (isinstance(outcome, Waiting) and outcome.away)
        self._pause = FIRST
        with self._ledger.changing():
            current = self._ledger.entry(entry.id)
            if current.run != entry.run or current.state not in (State.DONE, State.CANCELLED):
                return True  # the scan was rewritten meanwhile: it is another run that is to be registered
            self._ledger.change(entry.id, state=State.REGISTERED, pid=outcome.pid, reason=None, not_before=None)
            self._dispatcher.settle_twins(entry.id)
        self._tell("registered", self._ledger.entry(entry.id))
        self._wake()
        return True

    def _keep(self, entry: Entry, outcome: Outcome) -> None:
        """Leave a record in the outbox, with the reason."""
        assert not isinstance(outcome, Delivered)
        away = isinstance(outcome, Waiting) and outcome.away
        if away:
            self._until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST)
        reason = f"Its record waits: {outcome.reason}".replace("\n", " ")
        later = None if away else now(LATER)
        if reason != entry.reason or later:
            self._ledger.change(entry.id, reason, reason=reason, not_before=later)
            self._tell("outbox", self._ledger.entry(entry.id))


def catalog_of(site: Site, state: Path) -> Store:
    """Open the site's catalogue, with its rules of whose a scan is; raises as `open_catalog`."""

    def rule(scan: Path) -> Ownership | None:
        owner = site.owner_of(scan)
        if owner is None or not owner.group:
            return None
        return Ownership(owner.group, owner.owner, owner.contact_email, owner.access_groups, owner.proposal)

    said = site.catalog.model_dump(include={"prefix", "raw_pid", "register_raw"}, exclude_defaults=True)
    settings = load_settings().model_copy(update=said)
    return open_catalog(site.catalog.uri, settings=settings, rule=rule, state=state, patience=PATIENCE)
