"""How much memory a run may use, and how much it used."""

from __future__ import annotations

import os
import resource
from pathlib import Path

#: Share of the limit, or of what is free, that is used where no budget is given.
SHARE = 0.8


def default_budget() -> int:
    """Give the budget in bytes where none is asked for.

    Returns
    -------
    int
        80% of the smallest limit that SLURM or the control group sets, else of the available memory.
    """
    limits = [limit for limit in (_slurm(), _cgroup()) if limit]
    return int(SHARE * min([*limits, _available()]))


def peak() -> int:
    """Give the largest resident memory of this process so far, bytes."""
    for line in _text(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):  # getrusage would count what a large parent had before it started us
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _slurm() -> int | None:
    text = os.environ.get("SLURM_MEM_PER_NODE", "")
    return int(text) * 2**20 if text.isdigit() and int(text) else None


def _cgroup() -> int | None:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    candidates = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base, name = Path("/sys/fs/cgroup"), "memory.max"
        if controllers:
            base, name = base / "memory", "memory.limit_in_bytes"
        if not controllers or "memory" in controllers.split(","):
            here = base / path.strip("/")
            candidates += [folder / name for folder in (here, *here.parents) if folder.is_relative_to(base)]
    found = [int(text) for text in map(_text, candidates) if text.isdigit()]
    limit = min(found, default=0)
    return limit if 0 < limit < 2**60 else None  # the old interface says "no limit" with a huge number


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _available() -> int:
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
