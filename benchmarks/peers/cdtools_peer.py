"""cdtools on the CPU: its model of the far field by Adam, with its default steps and with those of its example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from serve import serve_runs

#: More epochs than are asked for.
MANY = 100_000
#: Epochs and options of `AdamReconstructor.optimize`: its defaults, and those of the example `fancy_ptycho.py`.
STAGES = {
    "adam": [(MANY, {})],
    "adam, example": [(50, {"lr": 0.02, "batch_size": 10}), (MANY, {"lr": 0.005, "batch_size": 50})],
}
#: Pixels of the object beyond all windows, each side.
EXTRA = 10


class Run:
    """A run by Adam, at its start, from the first probe of the data.

    Parameters
    ----------
    data : mapping
        See `serve_runs`.
    stages : sequence
        Of `STAGES`, one after the other.
    modes : int
    """

    def __init__(self, data: Mapping[str, Any], stages: Sequence[tuple[int, Mapping[str, Any]]], modes: int) -> None:
        import torch
        from cdtools.datasets import Ptycho2DDataset
        from cdtools.models import FancyPtycho
        from cdtools.reconstructors import AdamReconstructor
        from cdtools.tools.initializers import exit_wave_geometry

        torch.manual_seed(0)
        frames, places, probe = data["frames"].astype(np.float32), data["places"], data[f"probe{modes}"]
        n, wavelength, distance = frames.shape[-1], 1e-10, 1.0  # only the object's pixel depends on them
        pixel = wavelength * distance / (n * float(data["pixel"]))
        basis = torch.tensor([[0.0, -pixel], [-pixel, 0.0], [0.0, 0.0]])
        step = np.asarray(exit_wave_geometry(basis, frames.shape[1:], wavelength, distance), np.float64)
        dataset = Ptycho2DDataset(
            places @ step.T,
            torch.as_tensor(frames),
            wavelength=wavelength,
            detector_geometry={"distance": distance, "basis": basis, "corner": None},
            mask=data["good"],
        )
        self._model = model = FancyPtycho.from_dataset(dataset, n_modes=modes, obj_padding=EXTRA)
        model.probe_norm.fill_(float(np.abs(probe).max()))
        model.probe.data[:] = torch.as_tensor(probe) / model.probe_norm
        self._places = places - places.min(axis=0) + EXTRA + n // 2
        adam = AdamReconstructor(model, dataset)
        self._epochs = chain.from_iterable(adam.optimize(epochs, thread=False, **options) for epochs, options in stages)

    def iterate(self, count: int) -> None:
        """Go over all views some times."""
        for _ in range(count):
            next(self._epochs)

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the object and the views' places on it."""
        return self._model.obj.detach().numpy().copy(), self._places


def make(data: Mapping[str, Any], threads: int) -> dict[str, Callable[[int], Run] | str]:
    import cdtools  # noqa: F401
    import torch

    torch.set_num_threads(threads)
    return {name: partial(Run, data, stages) for name, stages in STAGES.items()}


if __name__ == "__main__":
    serve_runs(make, "cdtools-py", "torch")
