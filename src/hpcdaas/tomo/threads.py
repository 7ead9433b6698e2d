"""Threads for steps whose loops are NumPy's and SciPy's, which let others run meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Found = TypeVar("Found")


def each(work: Callable[[Part], Found], parts: Sequence[Part], threads: int) -> list[Found]:
    """Do something with each of some parts that have nothing to do with each other.

    Parameters
    ----------
    work : callable
        Takes a part.
    parts : sequence
    threads : int
        At most.

    Returns
    -------
    list
        What `work` gave, in the order of the parts.
    """
    threads = min(threads, len(parts))
    if threads <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads, "step") as pool:
        return list(pool.map(work, parts))
