"""Times, sizes and numbers as people write them, and the site file reads them."""

from __future__ import annotations

MIB, GIB = 2**20, 2**30
#: Seconds of the units in which times are written.
UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """Write a time in the largest unit that gives a whole number: 86400 is ``1 day``, 5400 is ``90 min``."""
    whole = int(seconds)
    number, name = next((whole // unit, name) for unit, name in UNITS if whole % unit == 0)
    return count(number, name) if name == "day" else f"{number} {name}"


def size(memory: int) -> str:
    """Write a size in GiB if that is a whole number, else in MiB, which is what SLURM counts in."""
    return f"{memory // GIB} GiB" if memory % GIB == 0 else f"{memory // MIB} MiB"


def count(number: int, what: str) -> str:
    """Write ``1 node``, ``2 nodes``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
