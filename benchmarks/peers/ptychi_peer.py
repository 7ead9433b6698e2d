"""pty-chi with its defaults, but for the batches and the seed: LSQ-ML, rPIE and the difference map; LSQ-ML on a GPU."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from serve import NO_GPU, serve_runs

#: Pixels of the object beyond all windows, both sides together.
EXTRA = 20


def replace_torchvision() -> None:
    """Put a stand-in where torchvision is missing or broken: pty-chi imports a filter of it that is never called."""
    try:
        import torchvision.transforms  # noqa: F401
    except (ImportError, RuntimeError):
        package, transforms = types.ModuleType("torchvision"), types.ModuleType("torchvision.transforms")
        package.transforms = transforms  # type: ignore[attr-defined]
        transforms.GaussianBlur = None  # type: ignore[attr-defined]
        sys.modules |= {"torchvision": package, "torchvision.transforms": transforms}


class Run:
    """A run of one algorithm, at its start.

    Parameters
    ----------
    data : mapping
        See `serve_runs`.
    algorithm : str
        LSQML, RPIE, DM.
    device : str
        CPU or GPU.
    modes : int
    """

    def __init__(self, data: Mapping[str, Any], algorithm: str, device: str, modes: int) -> None:
        import ptychi.api as api
        from ptychi.api.task import PtychographyTask

        places, n = data["places"], data["frames"].shape[-1]
        # their positions count from the middle of the object, which is a whole pixel where its size is even
        middle = np.rint((places.max(axis=0) + places.min(axis=0)) / 2)
        size = 2 * np.ceil((np.ptp(places, axis=0) + n + EXTRA) / 2).astype(int)
        options = getattr(api, f"{algorithm}Options")()
        options.reconstructor_options.default_device = api.Devices[device]
        options.reconstructor_options.batch_size = int(data["batch"])
        options.reconstructor_options.random_seed = 0
        options.object_options.pixel_size_m = float(data["pixel"])
        y, x = (places - middle).astype(np.float32).T
        self._places = places - middle + size / 2
        self._task = PtychographyTask(
            options,
            diffraction_data=data["frames"].astype(np.float32),
            object_data=np.ones((1, *size), np.complex64),
            probe_data=data[f"probe{modes}"][None],
            probe_position_y_px=y.copy(),
            probe_position_x_px=x.copy(),
            valid_pixel_mask=data["good"],
        )

    def iterate(self, count: int) -> None:
        """Go over all views some times."""
        import torch

        self._task.run(count)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the object and the views' places on it."""
        return self._task.get_data_to_cpu("object", as_numpy=True)[0], self._places


def make(data: Mapping[str, Any], threads: int) -> dict[str, Callable[[int], Run] | str]:
    import torch

    torch.set_num_threads(threads)
    replace_torchvision()
    import ptychi.api  # noqa: F401

    cpu = {name: partial(Run, data, algorithm, "CPU") for name, algorithm in
           (("lsqml", "LSQML"), ("rpie", "RPIE"), ("dm", "DM"))}  # fmt: skip
    return cpu | {"lsqml cuda": partial(Run, data, "LSQML", "GPU") if torch.cuda.is_available() else NO_GPU}


if __name__ == "__main__":
    serve_runs(make, "ptychi", "torch")
