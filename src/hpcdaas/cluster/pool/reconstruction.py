"""A reconstruction that somebody has asked a pool for: how far it is, what comes of it, and the way to give it up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pool.shown import Picture, ShownResult, bar
from hpcdaas.errors import HpcdaasError
from hpcdaas.recipe import Recipe

#: Seconds between two looks at the pool while something is waited for.
LOOK = 0.2


class Home(Protocol):
    """The pool that it was asked of."""

    @property
    def trouble(self) -> str:
        """Why no worker comes."""

    def give(self, future: Future) -> None:
        """Let it begin."""

    def preview_of(self, file: Path, recipe: Recipe) -> Picture:
        """Draw a quick picture of a scan."""

    def registered(self, result: ShownResult) -> ShownResult:
        """Tell the catalogue."""


class Reconstruction:
    """A reconstruction that was asked for. Made by `hpcdaas.cluster.notebook.WorkPool.submit`.

    Parameters
    ----------
    home : Home
        The pool.
    recipe : Recipe
    future : Future
        That of its order.
    """

    def __init__(self, home: Home, recipe: Recipe, future: Future) -> None:
        self._home, self._recipe, self._future = home, recipe, future
        self._result: ShownResult | None = None

    @property
    def state(self) -> str:
        """``queued``, ``running`` or ``ended``."""
        return self._future.state

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1."""
        done, total = self._future.progress
        if self._future.done():
            return 1.0
        return done / total if total else 0.0

    @property
    def place(self) -> str:
        """Where it runs, in words; empty while it waits."""
        return self._future.place

    def done(self) -> bool:
        """Say whether it has ended."""
        return self._future.done()

    def begin(self) -> None:
        """Give it to the pool; comes back at once."""
        self._home.give(self._future)

    def cancel(self) -> None:
        """Give it up: at once where it waits, at its next boundary where it runs."""
        self._future.cancel()

    def preview(self) -> Picture:
        """Draw a quick picture of its scan, before it."""
        return self._home.preview_of(self._future.order.scan, self._recipe)

    def result(self, timeout: float | None = None) -> ShownResult:
        """Wait for the result.

        Parameters
        ----------
        timeout : float, optional
            Seconds.

        Raises
        ------
        InputError, Interrupted, HpcdaasError
            If it came to nothing.
        HpcdaasError
            If no worker comes, since SLURM refuses or workers fail: it stays in the queue, and may be asked again.
        TimeoutError
            If it takes longer than `timeout`.
        """
        if self._result is None:
            self._result = self._home.registered(self.wait(timeout))
        return self._result

    def wait(self, timeout: float | None = None) -> ShownResult:
        """Wait for the result without telling the catalogue; raises as `result`."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._future.done():
            if self._home.trouble and self._future.state == "queued":
                raise HpcdaasError(f"No worker comes: {self._home.trouble}", "See to it, then ask again.")
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"{self._future.order.scan.name} isn't done after {timeout} s.")
            with suppress(TimeoutError):
                self._future.outcome(LOOK)
        outcome = self._future.outcome()
        if outcome.result is None:
            assert outcome.fault is not None
            raise outcome.fault.error()
        return ShownResult.of(outcome.result)

    @contextmanager
    def or_cancelled(self) -> Iterator[None]:
        """Give it up if the block, in which it begins, is left by an error or an interrupt: nobody else would."""
        try:
            yield
        except BaseException:
            self.cancel()
            raise

    def __repr__(self) -> str:
        """Say how far it is."""
        return f"{self._future.order.scan.name} with '{self._recipe.name}': {self.state}, {self.progress:.0%}"

    def _repr_html_(self) -> str:
        return bar(repr(self), self.progress)
