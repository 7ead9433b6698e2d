"""From a file that is there to a run that can start: the proof that the scan is complete, then its identity."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.runs.dispatch import Dispatcher
from hpcdaas.cluster.runs.ending import Ending, Meaning
from hpcdaas.cluster.scans.complete import Look, Proof, look
from hpcdaas.cluster.scans.lookers import Hung, Lookers
from hpcdaas.cluster.scans.prepare import Prepared, Wanted, prepare
from hpcdaas.cluster.site import Site
from hpcdaas.cluster.site.rule import Rule
from hpcdaas.cluster.state import StateFolder
from hpcdaas.cluster.tell import Tell
from hpcdaas.errors import DiskFull, HpcdaasError, InputError, NoRoom

#: Seconds until a file is opened again that could not be, or whose opening hung.
RETRY = 10.0
#: How often a scan is opened where that fails for a reason that isn't the scan's.
TRIES = 5
#: Scans at once that are looked at because they may have been rewritten: those that are new go first.
DOUBTS = 4


class Intake:
    """Moves waiting entries to the queue. Files are opened in other processes: one that hangs stalls nothing.

    Parameters
    ----------
    site : Site
    ledger : Ledger
    state : StateFolder
    dispatcher : Dispatcher
        Told of what can't become a run, and of results that are there.
    tell : Tell
    at_once : bool
        Whether a scan counts as complete when it is asked for: its user says so.
    """

    def __init__(
        self, site: Site, ledger: Ledger, state: StateFolder, dispatcher: Dispatcher, tell: Tell, at_once: bool = False
    ) -> None:
        self._site, self._ledger, self._state, self._tell = site, ledger, state, tell
        self._dispatcher, self._at_once = dispatcher, at_once
        self._lookers, self._preparers = Lookers(look), Lookers(prepare)
        self._waiting: dict[Path, dict[int, Entry]] = {}
        self._since = ""  # when the ledger was last changed as far as it is known here
        self._proofs: dict[Path, Proof] = {}
        self._rules: dict[Path, Rule] = {}
        self._complete: set[Path] = set()
        self._preparing: dict[int, float] = {}  # entries, and when they are handed over again; infinite: they are now
        self._doubts: dict[Path, Rule] = {}
        self._failed: dict[int, int] = {}  # entries, and how often opening them failed

    def close(self) -> None:
        """End the processes."""
        self._lookers.close()
        self._preparers.close()

    @property
    def gathers(self) -> bool:
        """Whether scans that were named together aren't all ready yet: alike ones become one job array."""
        return self._at_once and math.inf in self._preparing.values()

    def seen(self, path: Path, rule: Rule) -> None:
        """Say by which rule a scan is judged."""
        self._rules[path] = rule

    def announce(self, path: Path) -> None:
        """Hear that a scan is complete."""
        self._complete.add(path)

    def doubt(self, path: Path, rule: Rule) -> None:
        """Hear that a scan may have been rewritten: it is looked at, and compared with what it was."""
        self._doubts[path] = rule

    def step(self) -> None:
        """Ask about what waits, and take in the answers."""
        self._read_on()
        for path, entries in list(self._waiting.items()):
            if self._at_once or path in self._complete:
                for entry in entries.values():
                    self._prepare(entry)
            else:
                self._prove(path)
        for path, rule in list(self._doubts.items())[:DOUBTS]:
            self._lookers.ask(str(path), path, rule)
        for key, answer in self._lookers.answers():
            if isinstance(key, str):
                self._compare(Path(key), answer)
            elif isinstance(key, Path):
                self._looked(key, answer, list(self._waiting.get(key, {}).values()))
        for key, answer in self._preparers.answers():
            if isinstance(key, int):
                self._prepared(self._ledger.entry(key), answer)

    def _read_on(self) -> None:
        """Take in what waits since it was read last."""
        if now() < self._since:  # this host's clock was put back: what is new may look old
            self._since = ""
        for entry in self._ledger.waiting(self._since):
            self._waiting.setdefault(Path(entry.scan), {})[entry.id] = entry
            self._since = max(self._since, entry.changed or "")
        if len(self._rules) > len(self._waiting):  # what is there and was done long ago is named, too
            self._rules = {path: rule for path, rule in self._rules.items() if path in self._waiting}
        self._complete &= self._waiting.keys()

    def _no_longer(self, entry: Entry) -> None:
        """Forget an entry that waits no more."""
        path = Path(entry.scan)
        self._waiting.get(path, {}).pop(entry.id, None)
        if not self._waiting.get(path):
            self._waiting.pop(path, None)
            self._proofs.pop(path, None)
            self._complete.discard(path)

    def _prove(self, path: Path) -> None:
        proof = self._proofs.setdefault(path, Proof(self._rules.get(path) or self._site.rule_for(path)))
        if proof.due <= time.monotonic():
            self._lookers.ask(path, path, proof.rule)

    def _looked(self, path: Path, answer: Look | Hung | Exception, entries: list[Entry]) -> None:
        proof = self._proofs.get(path)
        if proof is None or path in self._complete:  # it was announced meanwhile
            return
        for entry in entries:
            if self._ledger.entry(entry.id).state is not State.WAITING:  # cancelled meanwhile
                self._no_longer(entry)
        entries = list(self._waiting.get(path, {}).values())
        verdict = proof.add(answer)
        if verdict.state == "waiting":
            for entry in entries:
                if verdict.reason != entry.reason:  # no event: of a long scan it is another one with each look
                    self._ledger.change(entry.id, reason=verdict.reason)
            return
        self._proofs.pop(path, None)
        if verdict.state == "complete":
            self._complete.add(path)
        for entry in entries:
            self._judge(entry, verdict)

    def _compare(self, path: Path, answer: Look | Hung | Exception) -> None:
        """Find out whether a scan was rewritten while nobody looked."""
        rule = self._doubts.pop(path)
        if not isinstance(answer, Look):
            self._doubts[path] = rule  # later, after the others
        elif answer.state not in ("gone", "result"):
            known = [entry.signature for entry in self._ledger.of_scan(path) if entry.state is not State.WAITING]
            if any(signature != answer.signature for signature in known):
                self._dispatcher.rewritten(path)

    def _judge(self, entry: Entry, verdict: Look) -> None:
        """Write down what became of the wait for a scan."""
        if verdict.state == "complete":
            self._ledger.change(entry.id, "complete", reason=None, signature=verdict.signature)
            return
        self._no_longer(entry)
        if verdict.state == "partial":
            self._ledger.change(entry.id, state=State.PARTIAL, reason=verdict.reason, ended=now())
            self._tell("partial", self._ledger.entry(entry.id))
        elif verdict.state == "result":
            self._ledger.remove(entry.id)
        else:
            self._dispatcher.end(Ending(entry.id, Meaning.FAILED, f"{entry.scan} vanished before it was complete."))

    def _prepare(self, entry: Entry) -> None:
        if self._preparing.get(entry.id, 0.0) > time.monotonic():
            return
        self._preparing[entry.id] = math.inf
        recipe = Path(entry.recipe_file) if entry.recipe_file else None
        self._preparers.ask(entry.id, Wanted(Path(entry.scan), recipe, entry.template, entry.attempt))

    def _prepared(self, entry: Entry, answer: Prepared | Hung | Exception) -> None:
        reason = self._may_pass(entry, answer)
        if reason and entry.state is State.WAITING:
            self._preparing[entry.id] = time.monotonic() + RETRY
            if reason != entry.reason:
                self._ledger.change(entry.id, reason=reason)
            return
        self._preparing.pop(entry.id, None)
        self._failed.pop(entry.id, None)
        self._no_longer(entry)
        if entry.state is not State.WAITING:  # cancelled meanwhile
            return
        try:
            if not isinstance(answer, Prepared):
                raise answer if isinstance(answer, Exception) else HpcdaasError(answer.reason)
            owner = self._site.owner_of(Path(entry.scan))
            if owner:
                owner.check_roots(answer.files)
        except HpcdaasError as error:
            self._dispatcher.end(Ending(entry.id, Meaning.FAILED, str(error).replace("\n", " ")))
            return
        self._queue(entry, answer, owner.group if owner else None)

    def _may_pass(self, entry: Entry, answer: Prepared | Hung | Exception) -> str:
        """Say why a scan is to be opened again later; empty where it isn't."""
        if isinstance(answer, Hung):
            return "Opening it takes very long: is its file system there?"
        if isinstance(answer, NoRoom | DiskFull):
            return answer.message
        if isinstance(answer, Exception) and not isinstance(answer, InputError):  # a disk's error, a process that died
            self._failed[entry.id] = self._failed.get(entry.id, 0) + 1
            return str(answer).splitlines()[0] if self._failed[entry.id] < TRIES else ""
        return ""

    def _queue(self, entry: Entry, prepared: Prepared, group: str | None) -> None:
        """Make it a run; one that another entry does already follows that one."""
        twin = self._twin(entry, prepared.run)
        self._state.write(prepared.run, "recipe.toml", prepared.toml)
        values: dict[str, Any] = {
            "run": prepared.run, "result": prepared.result, "group": group,
            "work": prepared.work * self._dispatcher.pace(prepared.recipe), "queued": now(), "reason": None,
            "log": self._state.run_folder(prepared.run) / "log.txt",
        }  # fmt: skip
        with self._ledger.changing():
            self._ledger.change(entry.id, state=State.QUEUED, twin=twin.id if twin else None, **values)
            if twin and twin.state in (State.DONE, State.REGISTERED):
                self._dispatcher.settle_twins(twin.id)
            elif prepared.there and not twin:
                self._dispatcher.end(Ending(entry.id, Meaning.DONE))
        self._tell("queued", self._ledger.entry(entry.id))

    def _twin(self, entry: Entry, run: str) -> Entry | None:
        """Give the entry that does this run, if another one does."""
        others = [other for other in self._ledger.same_run(run) if other.id != entry.id and other.twin is None]
        return next((o for o in others if o.state not in (State.FAILED, State.CANCELLED, State.PARTIAL)), None)
