"""Simulated scan files, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.cpu import available_threads
from hpcdaas.io.nxtomo_writer import TomoFields, write_nxtomo
from hpcdaas.tomo.simulate import Simulation, SimulationParameters

#: Rows that are simulated; they are repeated up to the wanted height.
SIMULATED = 32


def scan_file(folder: Path, angles: int, rows: int, columns: int) -> Path:
    """Give an NXtomo file of uint16 counts, contiguous, with 10 flats before, 10 after and 10 darks.

    It is made where there is none yet.
    """
    path = folder / f"scan-{angles}x{rows}x{columns}.nxs"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
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
