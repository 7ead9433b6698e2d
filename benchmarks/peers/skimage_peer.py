"""scikit-image: `iradon` of slice after slice, its bare ramp, linear interpolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from serve import serve_slices


def make(data: Mapping[str, Any], threads: int) -> dict[str, Callable[[], np.ndarray] | str]:
    from skimage.transform import iradon

    lines, degrees = data["data"], np.rad2deg(data["angles"])
    n = lines.shape[2]
    if float(data["center"]) != n // 2:
        return {"iradon": "its rotation axis is at column n // 2 only"}

    def run() -> np.ndarray:
        slices = [iradon(lines[:, row].T, degrees, output_size=n, filter_name="ramp") for row in range(lines.shape[1])]
        return np.stack(slices)[:, ::-1]

    return {"iradon": run}


if __name__ == "__main__":
    serve_slices(make, "scikit-image")
