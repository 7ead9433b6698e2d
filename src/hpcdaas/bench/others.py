"""How much of our cores others have used meanwhile: what a time can be trusted for depends on it."""

from __future__ import annotations

import os
import re
from pathlib import Path

STAT = Path("/proc/stat")
#: Columns of a core's line that are no work: idle, waiting for a disk; and guests, which are counted as user, too.
IDLE, COUNTED = (3, 4), 8


class Others:
    """Counts from when it is made.

    Parameters
    ----------
    cores : set of int
        Those that this process may use.
    """

    def __init__(self, cores: set[int]) -> None:
        self._cores = cores
        self._busy, self._all, self._own = self._now()

    def share(self) -> float | None:
        """Give the share of the cores' time that others have had, stolen time included; None where nothing tells."""
        busy, whole, own = (
            now - then for now, then in zip(self._now(), (self._busy, self._all, self._own), strict=True)
        )
        return max(0.0, busy - own) / whole if whole > 0 else None

    def _now(self) -> tuple[float, float, float]:
        """Give seconds: how long these cores were busy, and were there; how long we were, with children that ended."""
        try:
            lines = STAT.read_text().splitlines()
        except OSError:
            return 0.0, 0.0, 0.0
        found = [[int(n) for n in m[2].split()[:COUNTED]] for m in map(re.compile(r"cpu(\d+) (.*)").match, lines)
                 if m and int(m[1]) in self._cores]  # fmt: skip
        whole = sum(map(sum, found))
        busy = whole - sum(ticks[i] for ticks in found for i in IDLE)
        tick = os.sysconf("SC_CLK_TCK")
        return busy / tick, whole / tick, sum(os.times()[:4])
