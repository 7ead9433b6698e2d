"""What the benchmarks of GPUs share: the device, its clock, its bandwidth; and what they say without one."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from common import Report, Rounds
from hpcdaas.backend import get_backend
from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from hpcdaas.backend.cuda import CudaBackend


def find_gpu(report: Report, given: argparse.Namespace) -> CudaBackend | None:
    """Give the backend of a GPU; without one, end the report with a note that says so."""
    try:
        backend: Any = get_backend("cuda")
    except InputError as error:
        report.notes.append(f"no GPU: nothing was measured. {error.message}")
        report.finish(given, Rounds({}))
        return None
    report.versions["GPU"] = backend.device.name
    report.versions["cupy"] = backend.device.xp.__version__
    found: CudaBackend = backend
    return found


def timed_on(device: Any, run: Callable[[], Any]) -> Callable[[], float]:
    """Make a function that answers with its seconds, from an idle device to an idle device."""

    def clock() -> float:
        device.synchronize()
        start = time.perf_counter()
        run()
        device.synchronize()
        return time.perf_counter() - start

    return clock


def copy_task(device: Any, size: int) -> Callable[[], float]:
    """Give a copy on the device of an array of some bytes: its read and its write are the bandwidth."""
    a = device.zeros(max(1, size // 4), "f4")
    b = device.zeros(len(a), "f4")
    return timed_on(device, lambda: b.__setitem__(slice(None), a))
