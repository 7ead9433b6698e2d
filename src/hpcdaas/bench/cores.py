"""What cores can do: seconds for a byte through memory, a multiply-add, and a transform in the cache.

Bytes: STREAM's sum, c = a + b, of arrays that are four times the last cache: two are read and one is written, as in its
triad, whose multiplication costs nothing beside (J. D. McCalpin, IEEE TCCA Newsletter, December 1995). Multiply-adds:
NumPy's matrix product in float32. Transforms: one complex64 line again and again in the first cache, by the FFT library
that hpcdaas uses; 2n of them are the least that a square of n × n can cost.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import log2
from typing import Any

import numpy as np

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.bench.machine import last_cache
from hpcdaas.bench.rounds import Task, timed
from hpcdaas.pipeline.memory import default_budget

BYTE, MULTIPLY_ADD = "a byte through memory", "a multiply-add"
#: Seconds that a run of transforms is to take, at about as many operations per second as a core has.
LONG, SPEED = 0.02, 1e10
#: Arrays at least, bytes; what all three together may take of the memory that is there.
LEAST, SHARE = 64 << 20, 1 / 8


def line(n: int) -> str:
    """Name a transform of n complex numbers."""
    return f"a transform of {n}"


def line_flops(n: int) -> float:
    """Count the operations of a transform in the usual way, 5 n log2 n."""
    return 5 * n * log2(n)


def threads_in_words(threads: int) -> str:
    """Say how many threads there are."""
    return "1 thread" if threads == 1 else f"{threads} threads"


class Cores:
    """Some threads at work at once, each on a core of its own.

    Parameters
    ----------
    threads : int
    quick : bool
        Tiny sizes: only to see that it works.
    """

    def __init__(self, threads: int, quick: bool = False) -> None:
        self.threads, self._quick = threads, quick
        self._pool = ThreadPoolExecutor(threads, "cores")
        self._library = CpuBackend(1).library

    def _all(self, work: Callable[[int], Any]) -> None:
        """Let each thread do its part; they start together."""
        list(self._pool.map(work, range(self.threads)))

    def byte(self) -> Task:
        """Give what answers with the seconds of a byte through memory."""
        size = (1 << 20) if self._quick else min(max(LEAST, 4 * last_cache()), int(default_budget() * SHARE) // 3)
        each = max(1, size // 4 // self.threads)
        arrays: list[Any] = [None] * self.threads

        def touch(i: int) -> None:  # by the thread that uses it: its memory is then near
            arrays[i] = np.full((3, each), i + 1, np.float32)

        def add(i: int) -> None:
            a, b, c = arrays[i]
            np.add(a, b, out=c)

        self._all(touch)
        run = timed(lambda: self._all(add))
        return lambda: run() / (12 * each * self.threads)

    def multiply_add(self) -> Task:
        """Give what answers with the seconds of a multiply-add."""
        n, times = (64, 4) if self._quick else (1024, 2)
        factors = np.random.default_rng(4).standard_normal((2, n, n), np.float32)
        products = np.empty((self.threads, n, n), np.float32)

        def multiply(i: int) -> None:
            for _ in range(times):
                np.matmul(factors[0], factors[1], out=products[i])

        self._all(multiply)
        run = timed(lambda: self._all(multiply))
        return lambda: run() / (times * n**3 * self.threads)

    def transform(self, n: int) -> Task:
        """Give what answers with the seconds of a transform of n complex numbers."""
        count = 20 if self._quick else max(1, int(LONG * SPEED / line_flops(n)))
        self._library.time_transform(n, -1, 1)  # finds its plan
        run = timed(lambda: self._all(lambda _: self._library.time_transform(n, -1, count)))
        return lambda: run() / (count * self.threads)

    def tasks(self, lengths: tuple[int, ...]) -> dict[str, Task]:
        """Give all of them, transforms of some lengths, under their names with the number of threads."""
        found = {BYTE: self.byte(), MULTIPLY_ADD: self.multiply_add()} | {line(n): self.transform(n) for n in lengths}
        return {f"{name}, {threads_in_words(self.threads)}": task for name, task in found.items()}

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
