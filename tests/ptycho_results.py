"""Result files of ptychography for the tests of pictures and reports, written by hand from a simulation's truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcdaas.ptycho.simulate import Simulation, SimulationParameters

RECIPE = {
    "name": "ptycho-default",
    "scan": {"energy": 6200.0, "distance": 1.0, "paths": {}},
    "step": [
        {"use": "dm", "name": "dm", "iterations": 30, "probe_modes": 2},
        {"use": "ml", "name": "fine", "iterations": 12, "noise": "poisson"},
    ],
}

PROCESS = {
    "program": "hpcdaas",
    "version": "0.1.0",
    "date": "2026-03-01T12:34:56.000Z",
    "recipe": json.dumps(RECIPE),
    "recipe_name": "ptycho-default",
    "raw_file": "/data/raw/star.cxi",
    "raw_files": json.dumps(["/data/raw/star.cxi", "/data/raw/star_frames.h5"]),
    "raw_identity": "ab12" * 16,
    "run": "0f3c9a77" * 8,
    "attempt": "1",
}

#: Cycles per pixel (y, x) of the ramp that the written object has beside the truth's phase.
RAMP = (0.004, -0.007)


def simulation(views: int = 60, size: int = 64, modes: tuple[float, ...] = (0.8, 0.2)) -> Simulation:
    """A small scan."""
    return Simulation(SimulationParameters(views=views, size=size, mode_powers=modes))


def write_ptycho(path: Path, made: Simulation, object_modes: int = 1, halves: bool = True, sample: str = "") -> Path:
    """A result with all that a report shows: the truth with noise where little light fell, and an arbitrary ramp."""
    rng, light, pixel = np.random.default_rng(0), made.illumination(), made.object_pixel
    rows, columns = made.object.shape
    y, x = np.arange(rows)[:, None], np.arange(columns)
    noise = rng.normal(size=(2, rows, columns)) / np.sqrt(light + 1)
    found = (made.object + noise[0] + 1j * noise[1]) * np.exp(2j * np.pi * (RAMP[0] * y + RAMP[1] * x) + 1j)
    with h5py.File(path, "w") as file:
        entry = group(file, "entry", "NXentry", default="data")
        entry["title"] = "Siemens star, gold"
        if sample:
            entry["sample/name"] = sample
        data = group(entry, "data", "NXdata", signal="data", axes=["y", "x"])
        put(data, "data", np.angle(found).astype(np.float32), "rad")
        place = group(entry, "object", "NXdata", signal="data", axes=["mode", "y", "x"])
        put(place, "data", np.stack([found * 0.5**i for i in range(object_modes)]).astype(np.complex64), "1")
        put(place, "light", light.astype(np.float32), "counts")
        put(place, "pixel_size", np.array([pixel, pixel]), "m")
        probe = group(entry, "probe", "NXdata", signal="data", axes=["mode", "y", "x"])
        put(probe, "data", made.probe, "sqrt(counts)")
        power = (np.abs(made.probe) ** 2).sum(axis=(1, 2), dtype=np.float64)
        put(probe, "power", power / power.sum(), "1")
        for where, shape in ((data, made.object.shape), (place, made.object.shape), (probe, made.probe.shape[1:])):
            for name, n in zip("yx", shape, strict=True):
                put(where, name, np.arange(n) * pixel, "m")
        put(entry, "positions", made.positions, "m")
        for key, text in PROCESS.items():
            entry[f"process/{key}"] = text
        _metrics(entry)
        if halves:
            _rings(entry, min(made.object.shape) // 2, pixel)
        diagnostics = group(entry, "diagnostics", "NXcollection")
        put(diagnostics, "mean_frame", np.where(made.good, made.frames(0, 20).mean(axis=0), 0), "counts")
        put(diagnostics, "good", made.good.astype(np.uint8), "1")
    return path


def _metrics(entry: h5py.Group) -> None:
    """Thirty iterations of one step, twelve of another, each with numbers that the other lacks."""
    metrics = group(entry, "metrics", "NXcollection", parts=["dm", "fine"])
    n, part = np.arange(42), np.repeat([0, 1], [30, 12])
    put(metrics, "part", part, "1")
    error = np.where(part == 0, 0.02 + 0.6 * np.exp(-n / 4), 0.01 + 0.01 * np.exp(-(n - 30) / 3))
    put(metrics, "error", error, "1")
    put(metrics, "likelihood", np.where(part == 1, 2e6 + 1e6 * np.exp(-(n - 30) / 3), np.nan), "1")
    put(metrics, "step", np.where(part == 1, 0.3 + 0.1 * np.sin(n), np.nan), "1")
    put(metrics, "change", np.where(part == 0, np.exp(-n / 6), np.nan), "1")
    quality = group(entry, "quality", "NXcollection")
    for name, value, units in (
        ("error", 0.0112, "1"), ("resolution", 24.3e-9, "m"), ("seconds_total", 3.21, "s"), ("views", 60, "1"),
    ):  # fmt: skip
        put(quality, name, value, units)
    quality["orientation"] = "+y+x"
    quality["orientation_decided_by"] = "the file"


def _rings(entry: h5py.Group, rings: int, pixel: float) -> None:
    place = group(entry, "frc", "NXdata", signal="frc", axes=["frequency"], resolution=24.3e-9)
    share = np.arange(rings) / rings
    noise = 0.03 * np.random.default_rng(1).normal(size=rings)
    put(place, "frequency", share / (2 * pixel), "1/m")
    put(place, "frc", np.clip(1 / (1 + np.exp((share - 0.7) / 0.05)) + noise, -1, 1), "1")
    # thresholds of M. van Heel and M. Schatz, J. Struct. Biol. 151, 250 (2005)
    root = 1 / np.sqrt(np.maximum(2 * np.pi * np.arange(rings), 1))
    put(place, "half_bit", (0.2071 + 1.9102 * root) / (1.2071 + 0.9102 * root), "1")
    put(place, "one_bit", (0.5 + 2.4142 * root) / (1.5 + 1.4142 * root), "1")


def group(parent: h5py.Group, name: str, kind: str, **attributes: Any) -> h5py.Group:
    made = parent.create_group(name)
    made.attrs.update({"NX_class": kind, **attributes})
    return made


def put(parent: h5py.Group, name: str, value: Any, units: str) -> None:
    parent[name] = value
    parent[name].attrs["units"] = units
