"""algotom: direct Fourier inversion, and filtered back-projection on the CPU; without a window on the ramp."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from serve import serve_slices

#: No window, no logarithm, no disc that is cut out.
PLAIN = {"filter_name": None, "apply_log": False, "ratio": None}


def make(data: Mapping[str, Any], threads: int) -> dict[str, Callable[[], np.ndarray] | str]:
    from algotom.rec.reconstruction import dfi_reconstruction, fbp_reconstruction

    lines, rest = data["data"], PLAIN | {"angles": data["angles"], "ncore": threads}
    center = float(data["center"])

    def ours(slices: np.ndarray) -> np.ndarray:
        return np.moveaxis(np.asarray(slices), 1, 0)[:, ::-1]

    return {
        "dfi": lambda: ours(dfi_reconstruction(lines, center, **rest)),
        "fbp": lambda: ours(fbp_reconstruction(lines, center, gpu=False, **rest)),
    }


if __name__ == "__main__":
    serve_slices(make, "algotom")
