"""What the benchmarks of GPUs run, at tiny sizes on the host: what they say of speed is for a GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from host_device import HostBackend, HostDevice

from hpcdaas.backend.views import ViewSetup
from hpcdaas.bench.ptycho_job import simulation_job
from hpcdaas.bench.tomo_job import make_job
from hpcdaas.bench.views_job import make_views

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import bench_gpu_ptycho
import bench_gpu_tomo
from common import Report, interleave


@pytest.fixture
def gpu(compiler):
    return HostBackend(HostDevice(compiler))


def test_iterations_of_ptychography(gpu):
    job, report = make_views(24, 3, 2), Report("gpu_ptycho", {})
    setup = ViewSetup(24, 2, 1, np.ones((24, 24), bool))
    bench_gpu_ptycho.add_errors(report, job, gpu, setup)
    runs = bench_gpu_ptycho.tasks(job, gpu, setup) | bench_gpu_ptycho.whole(simulation_job(9, 48), gpu, 2)
    rounds = interleave(runs, 1)
    assert report.figures[0].verdict == "must"
    assert set(bench_gpu_ptycho.GOALS) < set(rounds.seconds)


def test_slices_of_tomography(gpu):
    job, report = make_job(24, 20, 8), Report("gpu_tomo", {})
    bench_gpu_tomo.add_errors(report, job, gpu, 30)
    assert [figure.verdict for figure in report.figures] == ["must", "must"]
    pinned = bench_gpu_tomo.Pinned(gpu, job, 11)
    rounds = interleave(bench_gpu_tomo.block_tasks(gpu, job) | bench_gpu_tomo.whole_tasks(gpu, job, pinned), 1)
    assert {bench_gpu_tomo.WHOLE, bench_gpu_tomo.COPIES, bench_gpu_tomo.BLOCK} < set(rounds.seconds)
    assert np.isfinite(pinned.out).all()
