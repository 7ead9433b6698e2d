"""Result files for the tests of pictures and reports, in the layout of the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

#: Value, half axes (x, y, z), centre (x, y, z), rotation in degrees: a head of ellipsoids in the unit cube.
ELLIPSOIDS = (
    (1.0, (0.70, 0.90, 0.95), (0.0, 0.0, 0.0), 0),
    (-0.8, (0.65, 0.85, 0.90), (0.0, -0.02, 0.0), 0),
    (-0.2, (0.11, 0.31, 0.25), (0.22, 0.0, 0.0), -18),
    (-0.2, (0.16, 0.41, 0.30), (-0.22, 0.0, 0.0), 18),
    (0.1, (0.21, 0.25, 0.41), (0.0, 0.35, -0.15), 0),
    (0.2, (0.05, 0.05, 0.06), (0.0, -0.6, 0.1), 0),
)


def phantom(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Ellipsoids of attenuation 100 to 500 per metre, with noise."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    volume = np.random.default_rng(0).normal(0, 15, shape)
    for value, (a, b, c), (x0, y0, z0), degrees in ELLIPSOIDS:
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        along, across = (x - x0) * cos + (y - y0) * sin, (y - y0) * cos - (x - x0) * sin
        volume += 500 * value * ((along / a) ** 2 + (across / b) ** 2 + ((z - z0) / c) ** 2 <= 1)
    return volume.astype(np.float32)


RECIPE = {
    "name": "tomo-fine",
    "scan": {"center": None, "pixel_size": 6.5e-7, "paths": {}},
    "step": [
        {"use": "flatfield", "name": "flatfield", "average": "mean"},
        {"use": "minus_log", "name": "minus_log"},
        {"use": "fbp", "name": "fine", "filter": "ramp", "padding": 2.0, "eps": 1e-3},
    ],
}

PROCESS = {
    "program": "hpcdaas",
    "version": "0.1.0",
    "date": "2026-03-01T12:34:56.000Z",
    "recipe": json.dumps(RECIPE),
    "recipe_name": "tomo-fine",
    "raw_file": "/data/raw/tooth.h5",
    "raw_files": json.dumps(["/data/raw/tooth.h5", "/data/raw/tooth_data.h5"]),
    "raw_identity": "ab12" * 16,
    "run": "0f3c9a77" * 8,
}


def write_volume(
    path: Path, volume: NDArray[Any], pixel: float | None = 6.5e-7, chunks: bool = False, **attributes: Any
) -> Path:
    """A result that holds nothing but a volume with its axes."""
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        stored = data.create_dataset("data", data=volume, chunks=True if chunks else None)
        stored.attrs.update({"units": "1/m" if pixel else "1/pixel", **attributes})
        for name, n in zip("zyx", volume.shape, strict=True):
            middle = 0 if name == "z" else (n - 1) / 2
            axis = data.create_dataset(name, data=(np.arange(n) - middle) * (pixel or 1))
            axis.attrs["units"] = "m" if pixel else "pixel"
    return path


def write_result(path: Path, shape: tuple[int, int, int] = (64, 256, 256), name: str = "tooth") -> Path:
    """A result with all that a report shows."""
    volume = phantom(shape)
    write_volume(path, volume)
    columns, rng = shape[2], np.random.default_rng(1)
    theta, u = np.linspace(0, np.pi, 180)[:, None], np.arange(columns) / columns - 0.5
    sinogram = np.exp(-(((u - 0.2 * np.cos(theta)) / 0.1) ** 2)) + np.exp(-(((u + 0.25 * np.sin(theta)) / 0.07) ** 2))
    counts = 30000 * np.exp(-sinogram) * (1 + 0.06 * rng.normal(size=columns)) + rng.normal(0, 200, sinogram.shape)
    shifts = range(-4, 5)
    with h5py.File(path, "a") as file:
        entry = file["entry"]
        entry["title"], entry["sample/name"] = "Tooth, dry", name
        for key, text in PROCESS.items():
            entry[f"process/{key}"] = text
        metrics = {"center": (127.53, "pixel"), "center_confidence": (0.87, ""), "nonpositive": (12, "")}
        for key, (value, units) in metrics.items():
            entry[f"metrics/{key}"] = value
            entry[f"metrics/{key}"].attrs["units"] = units
        diagnostics = entry.create_group("diagnostics")
        diagnostics.attrs["row"] = shape[0] // 2
        diagnostics["sinogram"] = sinogram.astype(np.float32)
        diagnostics["sinogram_raw"] = counts.astype(np.uint16)
        # a wrong centre doubles edges: the mean of two shifted slices looks alike
        middle = volume[shape[0] // 2]
        diagnostics["center_trials"] = np.stack([(np.roll(middle, s, 1) + np.roll(middle, -s, 1)) / 2 for s in shifts])
        diagnostics["center_values"] = np.array([127.5 + s / 2 for s in shifts])
    return path
