"""Where nobody says what computes: a GPU if there is one and it finds what the processor finds, else the processor."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Backend, Correction, FbpPlan
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.cuda import CudaBackend
from hpcdaas.backend.views import Batch, LsqStep, PieStep, Sums, ViewSetup
from hpcdaas.errors import InputError

#: Largest relative difference of two backends' results: `fbp` keeps 1e-3 to its definition, all else is rounding.
ALLOWED = 1e-3
#: The library of NVIDIA's driver.
DRIVER = "libcuda.so.1"
#: What a backend finds, and of what it is.
Found: TypeAlias = "Iterator[tuple[str, NDArray[Any]]]"


def choose(technique: str, threads: int | None = None) -> tuple[Backend, str]:
    """Choose a backend for a technique.

    Parameters
    ----------
    technique : str
        ``tomography`` or ``ptychography``: its primitives are tried on a GPU, on a few rows or views.
    threads : int, optional

    Returns
    -------
    backend : Backend
    why : str
        Why a GPU that is here isn't taken; empty without one.
    """
    processor = CpuBackend(threads)
    if not has_driver():  # CuPy takes a second to say so
        return processor, ""
    try:
        gpu = CudaBackend(threads)
    except InputError:  # no CuPy, or no GPU
        return processor, ""
    except Exception as error:
        return processor, failing(error)
    try:
        trouble = difference(TRIALS[technique], gpu, processor)
    except Exception as error:
        trouble = failing(error)
    return (processor, trouble) if trouble else (gpu, "")


def failing(error: Exception) -> str:
    """Say in a line what a device and its driver fail with: it may be of any kind, and have many lines."""
    return f"it fails: {(str(error).splitlines() or [type(error).__name__])[0]}"


def has_driver() -> bool:
    """Say whether NVIDIA's driver is on this machine."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def difference(trial: Callable[[Backend], Found], gpu: Backend, processor: Backend) -> str:
    """Say in what two backends differ; nothing if they agree."""
    for (what, found), (_, expected) in zip(trial(gpu), trial(processor), strict=True):
        error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
        if not error <= ALLOWED:  # nor if it is no number
            return f"{what} differs from the processor's by {error:.2g}"
    return ""


def tomography(backend: Backend) -> Found:
    """Reconstruct a few rows of counts."""
    columns, rows, angles = 32, 3, 24
    rng = np.random.default_rng(1)
    counts = rng.integers(1000, 60000, (angles, rows, columns)).astype(np.uint16)
    flats, group = np.full((1, rows, columns), 60000, np.float32), np.zeros(angles, np.int32)
    dark, later = np.full((rows, columns), 100, np.float32), np.zeros(angles, np.float32)
    correction = Correction(dark, flats, group, later, log=True)
    theta = np.arange(angles) * np.pi / angles
    ramp = np.linspace(0, 0.5, columns + 1)
    plan = FbpPlan(theta, np.full(angles, np.pi / angles), ramp, (columns - 1) / 2 + 0.3)
    slices, lines = np.zeros((rows, columns, columns), np.float32), np.zeros(counts.shape, np.float32)
    yield "correct", backend.correct(counts, correction)[0]
    backend.fbp(counts, correction, plan, slices)
    yield "fbp", slices
    backend.filtered_backprojection(counts, correction, plan, slices)
    yield "backproject", slices
    backend.project(slices, theta, plan.center, lines)
    yield "project", lines


def ptychography(backend: Backend) -> Found:
    """Go over a few views of two modes in all ways."""
    n, count = 32, 8
    rng = np.random.default_rng(2)

    def random(*shape: int) -> NDArray[np.complex64]:
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)

    object_, probe, waves = random(1, n + 20, n + 24), random(2, n, n), random(count, 2, n, n)
    batch = Batch(
        rng.poisson(9, (count, n, n)).astype(np.uint16), np.arange(count, dtype=np.int32),
        rng.integers(0, 20, (count, 2)).astype(np.int32), np.arange(count, dtype=np.int32),
    )  # fmt: skip
    views, sums = backend.views(ViewSetup(n, 2, 1, rng.random((n, n)) > 0.05)), Sums.zeros(object_, probe)
    views.gradient(batch, object_, probe, "poisson", sums)
    for what, found in (("the gradient for the object", sums.object), ("the gradient for the probe", sums.probe)):
        assert found is not None
        yield what, found
    views.project(batch, object_, probe, waves, (-0.9, 1.0, 1.9), sums)
    yield "difference map", waves
    groups = [0, 2, 4, 6, 8]
    views.pie(batch, groups, object_, probe, PieStep(0.3, 0.8, 0.5, 0.5))
    yield "the object of rPIE", object_
    views.lsq(batch, groups, object_, probe, LsqStep(0.1, 0.1, True, True), None)
    yield "the object of LSQ-ML", object_
    yield "the probe of LSQ-ML", probe


#: What is tried for a technique.
TRIALS: Mapping[str, Callable[[Backend], Found]] = {"tomography": tomography, "ptychography": ptychography}
