"""The primitives in C++: vector code chosen at run time, FFTs through FFTW3's interface."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Read by OpenMP when it starts: a thread that waits must not keep the readers and writers of data from a core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from hpcdaas import _core
from hpcdaas.backend import Correction, FbpPlan, Float32, Float64, next_smooth
from hpcdaas.backend.cgroup import core_limit
from hpcdaas.backend.cpu_sorting import CpuSorting
from hpcdaas.backend.cpu_views import CpuViews
from hpcdaas.backend.fft import find_library, read_wisdom, wisdom_file, write_wisdom
from hpcdaas.backend.reference_outliers import replace_outliers
from hpcdaas.backend.views import ViewSetup
from hpcdaas.errors import InputError

STORED_TYPES = tuple(np.dtype(t) for t in ("u1", "u2", "i2", "u4", "i4", "f4"))


def available_threads(sharing: int = 1) -> int:
    """Count the cores that this process may use: its affinity, no more than its control group or SLURM gives it.

    `sharing` processes share affinity and control group; SLURM counts for each.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    shared = min(cores, core_limit() or cores) // sharing
    return max(1, min(shared, int(given)) if given.isdigit() and int(given) else shared)


def gridding(n: int, eps: float) -> tuple[int, int]:
    """Choose kernel width and grid for slices of n×n and a relative error.

    Widths were measured against the definition on white noise, the hardest case.

    Returns
    -------
    width, grid : int
        Points of the kernel along an axis; points of the grid along an axis.
    """
    for width, oversampling, error in WIDTHS:
        if error <= eps:
            return width, next_smooth(max(int(np.ceil(oversampling * n)), n + 2 * width))
    raise InputError(f"eps = {eps:g} is out of reach in float32.", f"The smallest is {WIDTHS[-1][2]:g}.")


#: Kernel width, oversampling, error that is kept.
WIDTHS = ((4, 1.25, 1e-2), (5, 1.25, 1e-3), (7, 1.25, 1e-4), (8, 1.375, 1e-5))


class CpuBackend:
    """C++ on the cores of one process.

    Parameters
    ----------
    threads : int, optional
        Default: the cores that this process may use.
    level : str, optional
        Vector level: ``baseline``, ``avx2`` or ``avx512``; default the best of this machine.
    """

    name = "cpu"
    gpu = None

    def __init__(self, threads: int | None = None, level: str | None = None) -> None:
        self.threads = threads or available_threads()
        try:
            self.level: str = _core.vector_level(level or os.environ.get("HPCDAAS_VECTOR_LEVEL", ""))
            self.library_path = find_library()
            self.library = _core.FftLibrary(self.library_path)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{error}".capitalize() + ".") from error
        self._wisdom_file = wisdom_file(self.library_path)
        self._wisdom = read_wisdom(self._wisdom_file)
        self.library.learn(self._wisdom)
        self._fbp: dict[tuple[Any, ...], Any] = {}

    def work_bytes(self, columns: int, rows: int, angles: int, padding: float, eps: float) -> int:
        """See `hpcdaas.backend.Backend.work_bytes`."""
        lanes: int = _core.lanes_for(rows)
        _, grid = gridding(columns, eps)
        padded = next_smooth(int(np.ceil(padding * columns)))
        each_thread = lanes * 4 * (34 * (grid + 16) + columns + 4 * padded) + 16 * 80 * (grid + 16)
        lines = angles * max(padded + 1, int(1.5 * columns) + 8)  # of one lane: spectra of `fbp`, or filtered rows
        return 4 * lanes * (lines + columns * (grid + 16)) + self.threads * each_thread

    def state(self) -> dict[str, Any]:
        """See `hpcdaas.backend.Backend.state`: vector level and the FFT planner's wisdom."""
        return {"level": self.level, "wisdom": str(self.library.wisdom())}

    def resume(self, name: str, state: dict[str, Any]) -> bool:
        """See `hpcdaas.backend.Backend.resume`."""
        if name != self.name:
            return False
        try:
            self.level = _core.vector_level(state["level"])
        except ValueError:
            return False
        self.library.learn(state["wisdom"])
        return True

    def views(self, setup: ViewSetup) -> CpuViews:
        """See `hpcdaas.backend.Backend.views`."""
        return CpuViews(self.library, self.level, self.threads, setup, self._keep_wisdom)

    @property
    def sorting(self) -> CpuSorting:
        """See `hpcdaas.backend.Backend.sorting`."""
        return CpuSorting(self.level)

    def outliers(self, frames: NDArray[Any], size: int, threshold: float, inner: slice) -> int:
        """See `hpcdaas.backend.Backend.outliers`."""
        return outliers(frames, size, threshold, inner, self.threads)

    def correct(self, data: NDArray[Any], correction: Correction) -> tuple[Float32, int]:
        """See `hpcdaas.backend.Backend.correct`."""
        data = _stored(data)
        out = np.empty(data.shape, np.float32)
        found = _core.correct(data, _arrays(correction), out, self.level, self.threads)
        return out, _checked(found)

    def fbp(self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32) -> int:
        """See `hpcdaas.backend.Backend.fbp`."""
        data = _stored(data)
        lanes = _core.lanes_for(data.shape[1])
        found = self._gridder(data.shape[2], lanes, plan).run(lanes, data, _arrays(correction), out)
        return _checked(found)

    def filtered_backprojection(
        self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32
    ) -> int:
        """See `hpcdaas.backend.Backend.filtered_backprojection`."""
        data = _stored(data)
        rays = _core.RaySum(plan.angles, plan.center, data.shape[2], self.level, self.threads)
        found = rays.filtered(self.library, data, _arrays(correction), _geometry(data.shape[2], plan), out)
        self._keep_wisdom()
        return _checked(found)

    def backproject(self, data: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.backproject`."""
        _core.RaySum(angles, center, out.shape[1], self.level, self.threads).backproject(data, out)

    def project(self, slices: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.project`."""
        _core.RaySum(angles, center, slices.shape[1], self.level, self.threads).project(slices, out)

    def _gridder(self, n: int, lanes: int, plan: FbpPlan) -> Any:
        """Give the C++ object for this geometry; the last one is kept, with its memory and plans."""
        key = (
            n, lanes, plan.center, plan.scale, plan.eps,
            plan.angles.tobytes(), plan.weights.tobytes(), plan.response.tobytes(),
        )  # fmt: skip
        if key not in self._fbp:
            self._fbp.clear()
            width, grid = gridding(n, plan.eps)
            self._fbp[key] = _core.Fbp(self.library, _geometry(n, plan), width, grid, lanes, self.level, self.threads)
            self._keep_wisdom()
        return self._fbp[key]

    def _keep_wisdom(self) -> None:
        wisdom = str(self.library.wisdom())
        if wisdom != self._wisdom:
            write_wisdom(self._wisdom_file, wisdom)
            self._wisdom = wisdom


def outliers(frames: NDArray[Any], size: int, threshold: float, inner: slice, threads: int) -> int:
    """See `hpcdaas.backend.Backend.outliers`."""
    if frames.dtype not in STORED_TYPES or frames.strides[2] != frames.itemsize:
        return replace_outliers(frames, size, threshold, inner)
    return int(_core.outliers(frames, size, threshold, inner.start, inner.stop, threads))


def _stored(data: NDArray[Any]) -> NDArray[Any]:
    return data if data.dtype in STORED_TYPES else data.astype(np.float32)


def _arrays(correction: Correction | None) -> Any:
    if correction is None:
        return None
    c = correction
    return _core.Correction(c.dark, c.net, c.group, c.weight, c.log, c.floor)


def _geometry(n: int, plan: FbpPlan) -> Any:
    return _core.FbpGeometry(n, plan.angles, plan.weights, plan.response, plan.center, plan.scale)


def _checked(found: tuple[int, int]) -> int:
    nonpositive, not_finite = found
    if not_finite >= 0:
        raise InputError(f"Projection {not_finite} holds values that are not finite.")
    return nonpositive
