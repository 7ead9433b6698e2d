"""What a pool gives back for an order at once: where it is, how far it is, and in the end what came of it."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Literal

from hpcdaas.cluster.pool.task import CANCELLED, Fault, Order, Outcome, now

_NUMBERS = itertools.count(1)


class Future:
    """An order of a pool. It may be asked in any thread; the pool's thread alone moves it.

    Attributes
    ----------
    order : Order
    priority : int
        Higher goes first.
    number : int
        Tells it from all others of this process.
    state : str
        ``queued``, ``running`` or ``ended``.
    progress : tuple of int
        (done, total) slices or iterations.
    tries : int
        How often it was started, without those that a worker's time limit ended.
    place : str
        Where it runs, in words.
    """

    def __init__(self, order: Order, priority: int, cancel: Callable[[Future], None]) -> None:
        self.order, self.priority, self.number = order, priority, next(_NUMBERS)
        self.state: Literal["queued", "running", "ended"] = "queued"
        self.progress = (0, 0)
        self.tries = self.interruptions = 0
        self.place = ""
        self.unwanted = False
        self._cancel = cancel
        self._outcome: Outcome | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._on_end: list[Callable[[Future], None]] = []
        self._on_start: list[Callable[[Future], None]] = []

    def __lt__(self, other: Future) -> bool:
        """Say whether this one goes first."""
        return (-self.priority, self.number) < (-other.priority, other.number)

    def done(self) -> bool:
        """Say whether there is an outcome."""
        return self._ended.is_set()

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait for the outcome.

        Raises
        ------
        TimeoutError
            If it takes longer than `timeout` seconds.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.order.scan.name} isn't done after {timeout} s.")
        assert self._outcome is not None
        return self._outcome

    def cancel(self) -> None:
        """Give it up: at once where it waits, at its next boundary where it runs."""
        self._cancel(self)

    def when_done(self, callback: Callable[[Future], None]) -> None:
        """Have `callback` called with this future when it has ended, in the pool's thread; at once if it has."""
        with self._lock:
            if not self._ended.is_set():
                self._on_end.append(callback)
                return
        _tell([callback], self)

    def when_running(self, callback: Callable[[Future], None]) -> None:
        """Have `callback` called with this future whenever a worker takes it, in the pool's thread."""
        with self._lock:
            self._on_start.append(callback)
            there = self.state == "running"
        if there:
            _tell([callback], self)

    def start(self, place: str) -> None:
        """A worker takes it."""
        with self._lock:
            self.state, self.place, self.progress = "running", place, (0, 0)
            self.tries += 1
            callbacks = list(self._on_start)
        _tell(callbacks, self)

    def back(self, counts: bool) -> None:
        """It goes back to the queue; whether that counts as a try."""
        self.state, self.place = "queued", ""
        if not counts:
            self.tries -= 1
            self.interruptions += 1

    def end(self, outcome: Outcome) -> None:
        """There is an outcome; only the first one counts."""
        with self._lock:
            if self._ended.is_set():
                return
            self._outcome, self.state = outcome, "ended"
            self._ended.set()
            callbacks = list(self._on_end)
        _tell(callbacks, self)

    def give_up(self, fault: Fault | None = None) -> None:
        """End it without a result; without a reason it was cancelled."""
        fault = fault or Fault(CANCELLED, f"{self.order.scan.name} was cancelled.")
        self.end(Outcome(self.order, fault=fault, ended=now()))


def _tell(callbacks: list[Callable[[Future], None]], future: Future) -> None:
    """Call back; what goes wrong there is no reason for a pool to stop."""
    for callback in callbacks:
        try:
            callback(future)
        except Exception:
            logging.getLogger(__name__).exception("A callback of a pool failed.")
