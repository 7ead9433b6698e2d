"""Runs each primitive once, small, on one thread: started under callgrind by `test_instructions.py`.

    HPCDAAS_FFT_LIBRARY=plain_fft.so HPCDAAS_VECTOR_LEVEL=avx2 python primitives.py OUT.json

OUT gets how many numbers each has transformed; callgrind's dumps bear the names.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hpcdaas.backend import Correction, FbpPlan
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import Views, ViewSetup
from hpcdaas.bench.views_job import make_views, primitives

COLUMNS, ANGLES, ROWS = 64, 24, 16
SIDE, FRAME = 3, 32


def tomography(backend: CpuBackend) -> dict[str, Callable[[], Any]]:
    """Give the primitives of tomography."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((ANGLES, ROWS, COLUMNS), np.float32)
    counts = rng.integers(200, 20000, data.shape).astype(np.uint16)
    net = np.full((2, ROWS, COLUMNS), 20000, np.float32)
    later, group = np.linspace(0, 1, ANGLES, dtype=np.float32), np.zeros(ANGLES, np.int32)
    correction = Correction(np.full((ROWS, COLUMNS), 100, np.float32), net, group, later, log=True)
    theta = np.arange(ANGLES) * np.pi / ANGLES
    ramp = np.linspace(0, 0.5, COLUMNS + 1)
    plan = FbpPlan(theta, np.full(ANGLES, np.pi / ANGLES), ramp, (COLUMNS - 1) / 2 + 0.3)
    sorting, sinogram = backend.sorting, data[:, 0].copy()
    order, (ranked, smooth) = np.empty((COLUMNS, ANGLES), np.int32), np.empty((2, COLUMNS, ANGLES), np.float32)
    sorting.sort(sinogram, order, ranked)
    out, lines = np.empty((ROWS, COLUMNS, COLUMNS), np.float32), np.empty_like(data)
    return {
        "correct": lambda: backend.correct(counts, correction),
        "fbp": lambda: backend.fbp(data, None, plan, out),
        "fbp of raw counts": lambda: backend.fbp(counts, correction, plan, out),
        "backproject": lambda: backend.filtered_backprojection(data, None, plan, out),
        "project": lambda: backend.project(out, theta, plan.center, lines),
        "outliers": lambda: backend.outliers(counts, 3, 0.5, slice(0, ROWS)),
        "sort columns": lambda: sorting.sort(sinogram, order, ranked),
        "median over columns": lambda: sorting.median(ranked, 11, smooth),
        "unsort columns": lambda: sorting.unsort(order, ranked, sinogram),
    }


def ptychography(backend: CpuBackend) -> dict[str, Callable[[], Any]]:
    """Give the primitives of ptychography, one and two modes."""
    found: dict[str, Callable[[], Any]] = {}
    for modes in (1, 2):
        job = make_views(FRAME, SIDE, modes)
        views: Views = backend.views(ViewSetup(FRAME, modes, 1, np.ones((FRAME, FRAME), bool)))
        known = primitives(job, views)
        for name in ("gradient, gaussian", "evaluate, gaussian", "difference map", "rPIE, batches of 16",
                     "LSQ-ML, sparse groups of 16", "LSQ-ML, compact groups of 32"):  # fmt: skip
            found[name if modes == 1 else f"{name}, {modes} modes"] = known[name]
    return found


def main() -> None:
    counter = ctypes.CDLL(os.environ["HPCDAAS_FFT_LIBRARY"])
    counter.count_stop.restype = ctypes.c_long
    backend, transformed = CpuBackend(1), {}
    for name, run in (tomography(backend) | ptychography(backend)).items():
        run()  # plans, memory
        counter.count_start()
        run()
        transformed[name] = counter.count_stop(name.encode())
    Path(sys.argv[1]).write_text(json.dumps(transformed))


if __name__ == "__main__":
    main()
