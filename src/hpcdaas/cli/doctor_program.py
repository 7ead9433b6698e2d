"""Checks of ``hpcdaas doctor`` of the program itself: its parts are there, and find what is known."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcdaas.cluster.site.check import writable
from hpcdaas.cluster.site.finding import Finding, note, ok, wrong

if TYPE_CHECKING:
    from hpcdaas.backend.cpu import CpuBackend

#: Transform whose speed is measured: it stays in the first cache.
LENGTH = 512
#: Speed beside SciPy's from which an FFT library is called fast, and below which slow.
FAST, SLOW = 1.3, 0.7
#: Largest relative L2 errors of the tiny reconstructions, noise and few angles included; wrong centres, scales or signs
#: make several times that.
TOMOGRAPHY, PTYCHOGRAPHY = 0.15, 0.10
#: Largest relative error of the attenuation that tomography finds.
ATTENUATION = 0.02


def program(name: str) -> Finding:
    """Which program runs, and whether it is the one of the module that is loaded."""
    import hpcdaas

    said, folder = hpcdaas.__version__, Path(hpcdaas.__file__).parent
    loaded = os.environ.get("HPCDAAS_VERSION", said)
    if loaded != said:
        return wrong(
            name,
            f"hpcdaas {said} in {folder}, while the module hpcdaas/{loaded} is loaded",
            "Take it out of the way in PATH and PYTHONPATH, or `module unload hpcdaas`.",
        )
    return ok(name, f"hpcdaas {said} in {folder}, Python {platform.python_version()} of {sys.prefix}")


def core(name: str) -> Finding:
    """The C++ core, and which of its vector code this machine runs."""
    from hpcdaas.backend.cpu import CpuBackend
    from hpcdaas.backend.fft import processor

    return ok(name, f"vector level {CpuBackend(1).level} on {processor()}")


def fft(name: str) -> Finding:
    """The FFT library, how fast it is, and the place of its wisdom."""
    from hpcdaas.backend.cpu import CpuBackend
    from hpcdaas.backend.fft import wisdom_file

    backend = CpuBackend(1)
    here, there = _seconds(backend)
    speed, ratio = 5 * LENGTH * 9 / here / 1e9, there / here  # 5 n log2 n operations
    kind = "fast" if ratio >= FAST else "slow" if ratio < SLOW else "ordinary"
    library = Path(backend.library_path)
    said = f"{library.name}: {kind}, {speed:.0f} Gflop/s a core, {ratio:.1f} times as fast as SciPy's"
    if kind == "slow":
        return note(name, said, "Name a library with vector code for this processor in HPCDAAS_FFT_LIBRARY.")
    kept = wisdom_file(backend.library_path).parent
    if not writable(kept):
        return note(name, f"{said}; {kept} can't be written", "Set XDG_CACHE_HOME, else each process plans anew.")
    return ok(name, said)


def _seconds(backend: CpuBackend) -> tuple[float, float]:
    """Time a transform by this library and by SciPy's, s; the best of several tries: others work here, too."""
    import numpy as np
    import scipy.fft

    rows, tries = 200, 10
    data = np.ones((rows, LENGTH), np.complex64)
    backend.library.time_transform(LENGTH, -1, 1)  # makes the plan
    here, there = [], []
    for _ in range(tries):
        began = time.perf_counter()
        backend.library.time_transform(LENGTH, -1, rows)
        middle = time.perf_counter()
        scipy.fft.fft(data, axis=1)
        here.append(middle - began)
        there.append(time.perf_counter() - middle)
    return min(here) / rows, min(there) / rows


def hdf5(name: str) -> Finding:
    """HDF5: data of detectors' usual filters written to the temporary folder, and read again."""
    import h5py
    import hdf5plugin
    import numpy as np

    data = np.arange(4096, dtype=np.uint16).reshape(4, 32, 32)
    filters: dict[str, Mapping[str, Any]] = {
        "bitshuffle": hdf5plugin.Bitshuffle(cname="lz4"), "lz4": hdf5plugin.LZ4(), "blosc": hdf5plugin.Blosc(),
        "zstd": hdf5plugin.Zstd(), "gzip": {"compression": "gzip"},
    }  # fmt: skip
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for each, options in filters.items():
            file = Path(folder) / each
            try:
                with h5py.File(file, "w") as written:
                    written.create_dataset("data", data=data, chunks=(1, 32, 32), **options)
                with h5py.File(file) as read:
                    same = np.array_equal(read["data"][()], data)
            except (OSError, ValueError, RuntimeError):
                same = False
            bad += [] if same else [each]
    said = f"HDF5 {h5py.version.hdf5_version}, hdf5plugin {hdf5plugin.version}"
    if bad:
        return wrong(name, f"{said}: not written and read with {', '.join(bad)}", "pip install -U h5py hdf5plugin")
    return ok(name, f"{said}: {', '.join(filters)}")


def tomography(name: str) -> Finding:
    """A tiny scan whose truth is known, from its file to slices."""
    from hpcdaas.cli.demo_tomography import compare
    from hpcdaas.io.nxtomo_writer import write_simulation
    from hpcdaas.pipeline import reconstruct
    from hpcdaas.recipe import parse
    from hpcdaas.tomo.simulate import Simulation, SimulationParameters

    simulation = Simulation(SimulationParameters(rows=8, columns=64, angles=96))
    steps = [{"use": step} for step in ("flatfield", "minus_log", "fbp")]
    recipe = parse({"name": "doctor", "scan": {"center": simulation.center}, "step": steps})
    with tempfile.TemporaryDirectory() as folder:
        scan, out = Path(folder) / "doctor.nxs", Path(folder) / "doctor.h5"
        write_simulation(scan, simulation, 1)
        took = reconstruct(scan, recipe, out, deliver=False, register_result=False).seconds["total"]
        found = compare(out, simulation)
    error, part = found["error"], found["mean"] / simulation.attenuation
    said = f"8 slices of 64² in {took:.1f} s, {100 * part:.1f}% of the attenuation, error {100 * error:.0f}%"
    if not (error < TOMOGRAPHY and abs(part - 1) < ATTENUATION):
        return wrong(name, said, UNTRUSTED)
    return ok(name, f"{said} (noise and few angles)")


def ptychography(name: str) -> Finding:
    """Tiny frames whose object is known, from their file to the object."""
    from hpcdaas.bench.truth import object_error
    from hpcdaas.io.cxi_writer import write_cxi
    from hpcdaas.pipeline import reconstruct
    from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
    from hpcdaas.recipe import parse

    s = Simulation(SimulationParameters(size=64, views=60, pixel_size=150e-6, gap=0, dead=0))
    steps = [{"use": "frames"}, {"use": "start", "defocus": "300 um"}, {"use": "lsqml", "iterations": 30}]
    recipe = parse({"name": "doctor", "scan": {"position_orientation": "+y+x"}, "step": steps})
    with tempfile.TemporaryDirectory() as folder:
        scan, out = Path(folder) / "doctor.cxi", Path(folder) / "doctor.h5"
        write_cxi(scan, s.frames(threads=1), s.positions, s.energy, s.distance, s.pixel_size, good=s.good)
        took = reconstruct(scan, recipe, out, deliver=False, register_result=False).seconds["total"]
        error = object_error(out, s)
    said = f"object of 60 views of 64² in {took:.1f} s"
    if error is None or error >= PTYCHOGRAPHY:
        how = "its views are elsewhere" if error is None else f"error {100 * error:.0f}%"
        return wrong(name, f"{said}, {how}", UNTRUSTED)
    return ok(name, f"{said}, error {100 * error:.0f}% (30 iterations)")


UNTRUSTED = "Don't trust results of this machine. Try HPCDAAS_VECTOR_LEVEL=baseline, and report it."


def dask(name: str) -> Finding:
    """What pools of workers need."""
    try:
        return ok(name, ", ".join(f"{package} {version(package)}" for package in ("dask-jobqueue", "distributed")))
    except PackageNotFoundError as error:
        return note(name, f"no {error.name}", "For pools of workers: pip install 'hpcdaas[slurm]'.")


CHECKS = (
    ("program", program), ("C++ core", core), ("FFT", fft), ("HDF5", hdf5), ("tomography", tomography),
    ("ptychography", ptychography), ("Dask", dask),
)  # fmt: skip
