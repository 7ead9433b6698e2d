"""The primitives of ptychography in C++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hpcdaas import _core
from hpcdaas.backend.views import (
    Batch,
    Beside,
    Complex64,
    Int32,
    LsqFound,
    LsqStep,
    Misfit,
    Noise,
    OnHost,
    PieStep,
    Sums,
    Touched,
    ViewSetup,
)


class CpuViews(OnHost):
    """See `hpcdaas.backend.views.Views`.

    Parameters
    ----------
    library, level, threads
        FFT library, vector level and threads of the backend.
    setup : ViewSetup
    planned : callable
        Called when the FFT planner may have learned something.
    """

    def __init__(self, library: Any, level: str, threads: int, setup: ViewSetup, planned: Callable[[], None]) -> None:
        self.setup = setup
        good = np.ascontiguousarray(setup.good, np.float32)
        if setup.near is None:
            good = np.fft.ifftshift(good)
        limit = min(setup.limit, float(np.finfo(np.float32).max))
        near = None if setup.near is None else np.ascontiguousarray(setup.near, np.complex64)
        self._views = _core.Views(library, level, setup.n, setup.probes, setup.objects, good, limit, near, threads)
        planned()

    def gradient(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise, sums: Sums) -> Misfit:
        """See `hpcdaas.backend.views.Views.gradient`."""
        found = self._views.gradient(
            batch.frames, batch.frame, batch.corners, object_, probe, getattr(_core.Noise, noise), _sums(sums)
        )
        return Misfit(*found)

    def evaluate(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise) -> Misfit:
        """See `hpcdaas.backend.views.Views.evaluate`."""
        kind = getattr(_core.Noise, noise)
        return Misfit(*self._views.evaluate(batch.frames, batch.frame, batch.corners, object_, probe, kind))

    def project(
        self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, how: tuple[float, float, float],
        sums: Sums,
    ) -> Misfit:  # fmt: skip
        """See `hpcdaas.backend.views.Views.project`."""
        found = self._views.project(
            batch.frames, batch.frame, batch.corners, batch.slot, object_, probe, waves, *how, _sums(sums)
        )
        return Misfit(*found)

    def exit_waves(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64) -> None:
        """See `hpcdaas.backend.views.Views.exit_waves`."""
        self._views.exit_waves(batch.corners, batch.slot, object_, probe, waves)

    def overlap(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, sums: Sums) -> None:
        """See `hpcdaas.backend.views.Views.overlap`."""
        self._views.overlap(batch.corners, batch.slot, object_, probe, waves, _sums(sums))

    def pie(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: PieStep,
        beside: Beside | None = None,
    ) -> Misfit:  # fmt: skip
        """See `hpcdaas.backend.views.Views.pie`."""
        found = self._views.pie(batch.frames, batch.frame, batch.corners, bounds, object_, probe, *step, beside)
        return Misfit(*found)

    def lsq(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: LsqStep, sums: Sums | None,
        beside: Beside | None = None,
    ) -> LsqFound:  # fmt: skip
        """See `hpcdaas.backend.views.Views.lsq`."""
        wanted = None if sums is None else _sums(sums)
        *misfit, object_step, probe_step = self._views.lsq(
            batch.frames, batch.frame, batch.corners, bounds, object_, probe, *step, wanted, beside
        )
        return LsqFound(Misfit(*misfit), object_step, probe_step)

    def touched(self, corners: Int32, box: tuple[int, int, int, int]) -> Touched:
        """See `hpcdaas.backend.views.Views.touched`."""
        found: Touched = _core.Touched(corners, self.setup.n, box)
        return found


def _sums(sums: Sums) -> Any:
    return _core.Sums(sums.object, sums.weight, sums.probe, sums.probe_weight)
