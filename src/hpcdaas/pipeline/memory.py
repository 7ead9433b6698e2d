"""How much memory a run may use, and how much it used."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from hpcdaas.backend.cgroup import memory_limit

#: Share of the limit, or of what is free, that is used where no budget is given.
SHARE = 0.8


def default_budget() -> int:
    """Give the budget in bytes where none is asked for.

    Returns
    -------
    int
        80% of the smaller of the limits that SLURM and the control group set; of the memory that is
        available now where there is none, or none below what the machine has.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [limit for limit in (_slurm(), memory_limit()) if limit and limit < machine]
    return int(SHARE * (min(limits) if limits else _available()))


def peak() -> int:
    """Give the largest resident memory of this process so far, bytes."""
    for line in _text(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):  # getrusage would count what a large parent had before it started us
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _slurm() -> int | None:
    """Memory that SLURM gave this job on this node, bytes; it says MiB, and 0 for all there is."""
    node, core, cores = (
        os.environ.get(f"SLURM_{name}", "") for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE")
    )
    if node.isdigit():
        return int(node) * 2**20
    return int(core) * int(cores) * 2**20 if core.isdigit() and cores.isdigit() else None


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
