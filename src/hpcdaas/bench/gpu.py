"""What a GPU does, where CuPy is here and sees one: memory, transforms, multiply-adds, and the way to it."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from hpcdaas.bench.figures import Report

#: Heading of its figures.
GROUP = "GPU"
ROUNDS = 7
#: Sides of the squares that are transformed, and how many numbers a batch of them has.
SQUARES = (128, 256, 512)


def add_figures(report: Report, quick: bool = False) -> None:
    """Add the figures of the first GPU; without one a note says why there are none."""
    if importlib.util.find_spec("cupy") is None:
        report.notes.append("GPU: not measured, CuPy isn't installed.")
        return
    try:
        cupy = importlib.import_module("cupy")  # only to look at the device: what computes on it is the backend's
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # drivers fail in many ways
        report.notes.append(f"GPU: not measured, CuPy sees none ({type(error).__name__}).")
        return
    if not count:
        report.notes.append("GPU: not measured, CuPy sees none.")
        return
    numbers = (1 << 16) if quick else (1 << 26)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    report.versions["GPU"] = name.decode() if isinstance(name, bytes) else str(name)
    _memory(report, cupy, numbers)
    _transforms(report, cupy, numbers)
    n = 256 if quick else 8192
    a, b = cupy.random.random((2, n, n), dtype=cupy.float32)
    rate = 2 * n**3 / _seconds(cupy, lambda: cupy.matmul(a, b))
    report.add("multiply-adds on the GPU", rate, "flop/s", group=GROUP)


def _seconds(cupy: Any, run: Callable[[], object]) -> float:
    """Give the median time of a run on the device, s."""
    taken: list[float] = []
    for i in range(ROUNDS + 1):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        run()
        end.record()
        end.synchronize()
        if i:  # the first one loads code and makes plans
            taken.append(float(cupy.cuda.get_elapsed_time(begin, end)) / 1e3)
    return statistics.median(taken)


def _memory(report: Report, cupy: Any, numbers: int) -> None:
    a, b, c = (cupy.ones(numbers, cupy.float32) for _ in range(3))
    report.add("memory of the GPU", 12 * numbers / _seconds(cupy, lambda: cupy.add(a, b, out=c)), "B/s", group=GROUP)
    pinned = cupy.cuda.alloc_pinned_memory(a.nbytes)

    def up() -> None:
        a.data.copy_from_host_async(pinned.ptr, a.nbytes, cupy.cuda.get_current_stream())

    report.add("from the host to the GPU", a.nbytes / _seconds(cupy, up), "B/s", group=GROUP)


def _transforms(report: Report, cupy: Any, numbers: int) -> None:
    for n in SQUARES:
        waves = cupy.ones((max(1, numbers // 4 // n**2), n, n), cupy.complex64)
        one = _seconds(cupy, partial(cupy.fft.fft2, waves)) / len(waves)
        report.add(f"a transform of {n}² on the GPU", one, "s", group=GROUP)
