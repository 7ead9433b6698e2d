"""Checks of ``hpcdaas doctor`` of the program itself: its parts are there, and compute what they should."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hpcdaas.cli.doctor_finding import Finding, missing, ok, wrong
from hpcdaas.errors import InputError

#: Relative error that is asked of the primitive, and of transforms in single precision.
EPS, FFT_EPS = 1e-3, 1e-5
#: Seconds that a library or command which is looked at in a process of its own may take.
PATIENCE = 60.0
#: What asks CuPy; a driver that is broken may end its process.
ASK_CUPY = """
import cupy
count = cupy.cuda.runtime.getDeviceCount()
names = [cupy.cuda.runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
print(f"CuPy {cupy.__version__},", f"{count} devices:", ", ".join(names))
"""


def program() -> Finding:
    """Which program runs, and whether it is the one of the module that is loaded."""
    import hpcdaas

    said, folder = hpcdaas.__version__, Path(hpcdaas.__file__).parent
    loaded = os.environ.get("HPCDAAS_VERSION", said)
    if loaded != said:
        return wrong(
            f"hpcdaas {said} in {folder}, while the module hpcdaas/{loaded} is loaded",
            "Take it out of the way in PATH and PYTHONPATH, or `module unload hpcdaas`.",
        )
    return ok(f"hpcdaas {said} in {folder}")


def python() -> Finding:
    """Which Python runs it."""
    return ok(f"{platform.python_version()}, {sys.executable}")


def core() -> Finding:
    """The C++ core, and which of its vector code this machine runs."""
    from hpcdaas.backend.cpu import CpuBackend
    from hpcdaas.backend.fft import processor

    return ok(f"vector level {CpuBackend(1).level} on {processor()}")


def primitive() -> Finding:
    """A small reconstruction, by the C++ core and by the NumPy that defines it."""
    import numpy as np

    from hpcdaas.backend import FbpPlan
    from hpcdaas.backend.cpu import CpuBackend
    from hpcdaas.backend.reference import ReferenceBackend
    from hpcdaas.tomo.angles import angular_weights
    from hpcdaas.tomo.filters import response

    columns, angles = 48, np.linspace(0, np.pi, 40, endpoint=False)
    data = np.random.default_rng(0).standard_normal((len(angles), 3, columns)).astype(np.float32)
    plan = FbpPlan(angles, angular_weights(angles), response("ramp", columns, 2.0), (columns - 1) / 2, eps=EPS)
    expected, found = (np.zeros((3, columns, columns), np.float32) for _ in range(2))
    ReferenceBackend().fbp(data, None, plan, expected)
    CpuBackend().fbp(data, None, plan, found)
    x = np.arange(columns) - (columns - 1) / 2
    disc = x[:, None] ** 2 + x**2 <= ((columns - 1) / 2) ** 2
    error = np.linalg.norm((found - expected)[:, disc]) / np.linalg.norm(expected[:, disc])
    said = f"3 slices of {columns}² reconstructed, relative error {error:.1e}"
    if not error < EPS:
        return wrong(said, "Try HPCDAAS_VECTOR_LEVEL=baseline, and report it; don't trust results of this machine.")
    return ok(said)


def fft() -> Finding:
    """The FFT library: transforms of views against NumPy's, and the place of its wisdom."""
    import numpy as np

    from hpcdaas.backend.cpu import CpuBackend
    from hpcdaas.backend.reference_views import ReferenceViews
    from hpcdaas.backend.views import Batch, ViewSetup

    backend, rng, n = CpuBackend(1), np.random.default_rng(0), 64
    setup = ViewSetup(n)
    object_, probe, waves = (
        (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
        for shape in ((1, n + 4, n + 4), (1, n, n), (2, 1, n, n))
    )
    batch = Batch(np.array([[0, 0], [3, 4]], np.int32), rng.poisson(50.0, (2, n, n)).astype(np.uint16))
    expected = waves.copy()
    ReferenceViews(setup).exit_waves(batch, object_, probe, expected)
    backend.views(setup).exit_waves(batch, object_, probe, waves)
    error = np.linalg.norm(waves - expected) / np.linalg.norm(expected)
    return ok(f"{error}")


def hdf5() -> Finding:
    """HDF5: a compressed dataset written to the temporary folder, and read again."""
    import h5py
    import hdf5plugin
    import numpy as np

    data = np.arange(4096, dtype=np.uint16).reshape(4, 32, 32)
    with tempfile.TemporaryDirectory() as folder:
        name = Path(folder) / "doctor.h5"
        with h5py.File(name, "w") as file:
            file.create_dataset("data", data=data, chunks=(1, 32, 32), **hdf5plugin.Bitshuffle(cname="lz4"))
        with h5py.File(name) as file:
            read = file["data"][()]
    said = f"HDF5 {h5py.version.hdf5_version}, h5py {h5py.__version__}, hdf5plugin {hdf5plugin.version}"
    if not np.array_equal(read, data):
        return wrong(
            f"{said}: what was written to {tempfile.gettempdir()} was read as something else", "Check its disk."
        )  # noqa: E501
    return ok(f"{said}: written and read with bitshuffle and LZ4")


def gpu() -> Finding:
    """CuPy and the devices that it sees."""
    listed = answer(["nvidia-smi", "-L"]) if shutil.which("nvidia-smi") else ""
    devices = len([line for line in listed.splitlines() if line.startswith("GPU ")])
    if importlib.util.find_spec("cupy") is None:
        there = f"no CuPy; {devices} devices" if devices else "no CuPy, no device"
        return missing(there, "Where there are GPUs: pip install 'hpcdaas[cuda12]' (or cuda13).")
    try:
        return ok(answer([sys.executable, "-c", ASK_CUPY]))
    except InputError as error:
        if not devices:
            return missing(f"CuPy, and no device: {error.message}", "Fine on a node without GPU.")
        return wrong(f"{devices} devices, and CuPy can't use them: {error.message}", "Install the CuPy of this driver.")


def dask() -> Finding:
    """What pools of workers need."""
    try:
        return ok(", ".join(f"{name} {version(name)}" for name in ("dask-jobqueue", "distributed")))
    except PackageNotFoundError as error:
        return missing(f"no {error.name}", "For pools of workers on a cluster: pip install 'hpcdaas[slurm]'.")


def answer(command: list[str]) -> str:
    """Give what a command prints.

    Raises
    ------
    InputError
        If it fails, or says nothing within `PATIENCE`; with the last line of its errors.
    """
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{Path(command[0]).name} said nothing in {PATIENCE:g} s") from None
    except OSError as error:
        raise InputError(f"{Path(command[0]).name} can't be started: {error.strerror}") from error
    if ended.returncode:
        lines = [line for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
        raise InputError(lines[-1].strip() if lines else f"{Path(command[0]).name} ended with {ended.returncode}")
    return ended.stdout.strip("\0 \n")


CHECKS = (
    ("program", program), ("Python", python), ("C++ core", core), ("primitive", primitive), ("FFT", fft),
    ("HDF5", hdf5), ("GPU", gpu), ("Dask", dask),
)  # fmt: skip
