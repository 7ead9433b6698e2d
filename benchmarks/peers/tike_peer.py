"""tike on a GPU, with its defaults: rPIE, and least squares with gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from serve import NO_GPU, serve_runs

#: Pixels of the object beyond all windows, each side: it asks for one at least.
EXTRA = 10


class Run:
    """A run of one algorithm, at its start.

    Parameters
    ----------
    data : mapping
        See `serve_runs`.
    algorithm : str
        Name of its options.
    modes : int
    """

    def __init__(self, data: Mapping[str, Any], algorithm: str, modes: int) -> None:
        import tike.ptycho as tike
        from tike.ptycho import solvers

        frames, places, n = data["frames"].astype(np.float32), data["places"], data["frames"].shape[-1]
        corners = places - places.min(axis=0) + EXTRA
        size = np.ceil(np.ptp(places, axis=0)).astype(int) + n + 2 * EXTRA
        batches = -(-len(frames) // int(data["batch"]))
        parameters = solvers.PtychoParameters(
            probe=data[f"probe{modes}"][None, None],
            psi=np.ones((1, *size), np.complex64),
            scan=corners.astype(np.float32),
            algorithm_options=getattr(solvers, algorithm)(num_batch=batches),
            probe_options=tike.ProbeOptions(recover_probe=True),
            object_options=tike.ObjectOptions(),
            exitwave_options=tike.ExitWaveOptions(measured_pixels=np.fft.ifftshift(data["good"])),
        )
        self._places = corners + n // 2
        self._run = tike.Reconstruction(np.fft.ifftshift(frames, axes=(1, 2)), parameters, num_gpu=1).__enter__()

    def iterate(self, count: int) -> None:
        """Go over all views some times."""
        import cupy

        self._run.iterate(count)
        cupy.cuda.Device().synchronize()

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the object and the views' places on it."""
        return self._run.get_psi()[0], self._places


def make(data: Mapping[str, Any], threads: int) -> dict[str, Callable[[int], Run] | str]:
    import cupy
    import tike.ptycho  # noqa: F401

    try:
        there = cupy.cuda.runtime.getDeviceCount() > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        there = False
    algorithms = {"rpie": "RpieOptions", "lstsq": "LstsqOptions"}
    return {name: partial(Run, data, options) if there else NO_GPU for name, options in algorithms.items()}


if __name__ == "__main__":
    serve_runs(make, "tike", "cupy-cuda12x")
