"""A worker of a pool, as the pool sees it."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from hpcdaas.cluster.pool.future import Future


@dataclass(eq=False)
class Member:
    """A worker that is there.

    Attributes
    ----------
    name, address, node, job : str
    ends : float
        When its time is over, by the monotonic clock; infinite where nothing ends it.
    future : Future or None
        What it is at.
    leaving : bool
        Whether it takes no more orders.
    idle : float
        Since when it has had nothing to do.
    gone : Event
        Set when the scheduler has lost it.
    """

    name: str
    address: str
    node: str
    job: str
    ends: float = math.inf
    future: Future | None = None
    leaving: bool = False
    idle: float = field(default_factory=time.monotonic)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{self.node}, SLURM job {self.job}" if self.job else f"this machine, {self.name}"

    @property
    def free(self) -> bool:
        """Whether it may be given an order."""
        return self.future is None and not self.leaving

    def has(self, seconds: float, margin: float) -> bool:
        """Say whether an order of that length ends `margin` seconds before the worker's time is over."""
        return seconds < self.ends - time.monotonic() - margin
