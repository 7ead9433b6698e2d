"""Rows that are apart, with steps that need neighbours, from storage of every kind: the same slices."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcdaas import pipeline
from hpcdaas.io.nxtomo_writer import write_simulation
from hpcdaas.recipe import parse
from hpcdaas.tomo.simulate import Simulation, SimulationParameters

STEPS = ["outliers", "flatfield", "minus_log", "fbp"]


def volume(scan: Path, out: Path, rows: str | None) -> np.ndarray:
    table = {"center": 30.5} | ({"rows": rows} if rows else {})
    recipe = parse({"name": "r", "scan": table, "step": [{"use": name} for name in STEPS]})
    pipeline.reconstruct(scan, recipe, out, register_result=False)
    with h5py.File(out) as file:
        return np.asarray(file["entry/data/data"])


@pytest.mark.parametrize("compressed", [False, True])
def test_rows_apart_with_a_halo_are_the_rows_of_the_full_volume(tmp_path: Path, compressed: bool) -> None:
    simulation = Simulation(SimulationParameters(angles=60, rows=24, columns=64, zingers=1e-3, seed=3))
    storage = {"chunks": (1, 24, 64), "compression": "gzip"} if compressed else {}
    scan = tmp_path / "scan.nxs"
    write_simulation(scan, simulation)
    if storage:
        plain = scan.rename(tmp_path / "plain.nxs")
        with h5py.File(plain) as source, h5py.File(scan, "w") as target:
            source.copy("entry", target)
            frames = source["entry/instrument/detector/data"][()]
            del target["entry/instrument/detector/data"]
            target["entry/instrument/detector"].create_dataset("data", data=frames, **storage)
    whole = volume(scan, tmp_path / "whole.h5", None)
    some = volume(scan, tmp_path / "some.h5", "4:20:6")
    assert some.shape == (3, 64, 64)
    np.testing.assert_allclose(some, whole[4:20:6], atol=1e-3 * np.abs(whole).max())
