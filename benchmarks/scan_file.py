"""Simulated scan files for benchmarks, made once; and the command line, measured from outside."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import ROOT
from hpcdaas.backend.cpu import available_threads
from hpcdaas.io.nxtomo_writer import TomoFields, write_nxtomo
from hpcdaas.tomo.simulate import Simulation, SimulationParameters

#: Rows that are simulated; they are repeated up to the wanted height.
SIMULATED = 32
COMMAND = (sys.executable, "-c", "from hpcdaas.cli.main import main; main()")
#: Starts a child and tells its usage. A process of its own, because Linux counts the memory of the
#: process that starts a child as the child's until it has replaced it.
LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
child = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
seconds = time.perf_counter() - start
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"code": child.returncode, "seconds": seconds, "peak": most, "output": child.stdout.decode()}))
"""


def scratch_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where scans and results lie."""
    parser.add_argument(
        "--scratch",
        type=Path,
        default=ROOT / "build" / "benchmarks",
        metavar="DIR",
        help="where the scan and the results lie (default build/benchmarks)",
    )


def scan_file(folder: Path, angles: int, rows: int, columns: int) -> Path:
    """Give an NXtomo file of uint16 counts, contiguous, with 10 flats before, 10 after and 10 darks.

    It is made where there is none yet.
    """
    path = folder / f"scan-{angles}x{rows}x{columns}.nxs"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    print(f"making {path.name}, once", file=sys.stderr)
    some = min(rows, SIMULATED)
    parameters = {"angles": angles, "rows": some, "columns": columns, "flats": 10, "darks": 10}
    simulation = Simulation(SimulationParameters.model_validate(parameters))
    fields = TomoFields(simulation.image_key, simulation.rotation_angle, simulation.parameters.pixel_size)
    unfinished = path.with_suffix(".partial")
    write_nxtomo(unfinished, taller(simulation, rows), fields)
    unfinished.rename(path)
    return path


def taller(simulation: Simulation, rows: int) -> Iterator[NDArray[np.uint16]]:
    """Give a simulation's frames, their rows repeated."""
    times = -(-rows // simulation.parameters.rows)
    for block in simulation.frames(threads=available_threads()):
        yield np.tile(block, (1, times, 1))[:, :rows]


def into_page_cache(path: Path) -> None:
    """Read a file once, so that it is in memory if that is large enough."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(16 << 20)
        while file.readinto(buffer):
            pass


@dataclass(frozen=True)
class Child:
    """What a run of the command line took: wall seconds, largest resident memory, its JSON."""

    seconds: float
    peak_bytes: int
    answer: dict[str, Any]


def launcher(ranks: int) -> list[str]:
    """Give what starts some ranks: the mpiexec of this environment, else of the system; nothing for one rank."""
    if ranks == 1:
        return []
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise SystemExit("There is no mpiexec here: pip install mpich mpi4py.")
    return [found, "-n", str(ranks)]


def reconstruct(
    scan: Path, out: Path, *arguments: str, cache: Path, environment: Mapping[str, str] = {}, ranks: int = 1
) -> Child:
    """Run ``hpcdaas reconstruct SCAN -o OUT --json …`` as processes of its own; OUT is removed before.

    FFT plans are kept in `cache`, the catalogue lies beside OUT.
    """
    out.unlink(missing_ok=True)
    # an installed program has its bytecode; in an editable one the first run writes it
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = [*launcher(ranks), *COMMAND]
    command = [*program, "reconstruct", str(scan), "-o", str(out), "--catalog", str(out.with_suffix(".db")), "--json"]
    launched = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command, *arguments],
        stdout=subprocess.PIPE,
        env={**inherited, "XDG_CACHE_HOME": str(cache), **environment},
        text=True,
        check=True,
    )
    told = json.loads(launched.stdout)
    if told["code"]:
        raise SystemExit(f"hpcdaas ended with code {told['code']}: {told['output']}")
    return Child(told["seconds"], told["peak"], json.loads(told["output"]))
