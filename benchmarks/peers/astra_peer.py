"""ASTRA: filtered back-projection of slice after slice, on the CPU with two projectors, and on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from serve import NO_GPU, serve_slices


def centered(lines: np.ndarray, center: float) -> np.ndarray:
    """Add columns of zeros until the rotation axis is in the middle, where ASTRA has it."""
    beside = round(2 * center - (lines.shape[2] - 1))  # columns more to the left of the axis than to the right
    return np.pad(lines, ((0, 0), (0, 0), (max(-beside, 0), max(beside, 0))))


def make(data: Mapping[str, Any], threads: int) -> dict[str, Callable[[], np.ndarray] | str]:
    import astra

    rows, n = data["data"].shape[1:]
    lines = np.ascontiguousarray(centered(data["data"], float(data["center"])).transpose(1, 0, 2))
    rays = astra.create_proj_geom("parallel", 1.0, lines.shape[2], data["angles"])
    pixels = astra.create_vol_geom(n, n)

    def fbp(projector: str) -> np.ndarray:
        cuda = projector == "cuda"
        config = astra.astra_dict("FBP_CUDA" if cuda else "FBP")
        config["FilterType"] = "ram-lak"
        config["ProjectorId"] = astra.create_projector(projector, rays, pixels)
        slices = np.empty((rows, n, n), np.float32)
        for line, out in zip(lines, slices, strict=True):
            config["ProjectionDataId"] = astra.data2d.create("-sino", rays, line)
            config["ReconstructionDataId"] = astra.data2d.create("-vol", pixels)
            algorithm = astra.algorithm.create(config)
            astra.algorithm.run(algorithm)
            out[:] = astra.data2d.get(config["ReconstructionDataId"])
            astra.algorithm.delete(algorithm)
            astra.data2d.delete([config["ProjectionDataId"], config["ReconstructionDataId"]])
        astra.projector.delete(config["ProjectorId"])
        return slices[:, ::-1]

    on_gpu: Callable[[], np.ndarray] | str = partial(fbp, "cuda") if astra.use_cuda() else NO_GPU
    return {"fbp line": partial(fbp, "line"), "fbp linear": partial(fbp, "linear"), "fbp cuda": on_gpu}


if __name__ == "__main__":
    serve_slices(make, "astra-toolbox")
