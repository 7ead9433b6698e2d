"""Scans and orders for tests of pools: one that is done at once, one that goes on until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcdaas.cluster.pool.task import Order
from hpcdaas.io.nxtomo_writer import write_simulation
from hpcdaas.recipe import default_recipe
from hpcdaas.tomo.simulate import Simulation, SimulationParameters
from ptycho_scans import FAR, write_simulated


def small(folder: Path, name: str = "small", **over: Any) -> Order:
    """Give the order of a scan that takes some milliseconds; the scan is written where it isn't there."""
    scan = folder / "small.nxs"
    simulation = Simulation(SimulationParameters(angles=60, rows=4, columns=32))
    if not scan.exists():
        write_simulation(scan, simulation, 1)
    recipe = default_recipe().override([f"scan.center={simulation.center}"])
    return Order(**({"scan": scan, "out": folder / f"{name}.h5", "recipe": recipe.resolved()} | over))


def endless(folder: Path, name: str = "endless", iterations: int = 100_000, **over: Any) -> Order:
    """Give the order of a scan of ptychography that goes on and on."""
    scan = folder / "endless.cxi"
    if not scan.exists():
        write_simulated(scan, FAR, views=16)
    recipe = {"name": "endless", "step": [{"use": "ml", "iterations": iterations}]}
    return Order(**({"scan": scan, "out": folder / f"{name}.h5", "recipe": recipe, "log": folder / "log"} | over))


def until(what: str, holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until something holds; give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
