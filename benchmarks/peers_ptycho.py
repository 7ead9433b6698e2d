"""pty-chi's LSQ-ML on a scan, timed on request; runs in its own virtual environment.

The first line that it writes says what there is: {"ptychi": "2.2.0", "torch": "2.13.0"}. Then each line of standard
input is answered with one line of JSON, {"seconds": …}:

    time ptychi MODES                               one iteration, on one thread
    object ptychi MODES ITERATIONS THREADS FILE     a run from the start; FILE (.npz) gets its object and places

    python peers_ptycho.py DATA.npz NAME...
"""

from __future__ import annotations

import json
import os
import sys
import time
import types
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

os.environ["CUDA_VISIBLE_DEVICES"] = ""

#: Pixels of the object beyond all windows, both sides together.
EXTRA = 20


def replace_torchvision() -> None:
    """Put a stand-in where torchvision is missing or broken: pty-chi imports a filter of it that LSQ-ML never calls."""
    try:
        import torchvision.transforms  # noqa: F401
    except (ImportError, RuntimeError):
        package, transforms = types.ModuleType("torchvision"), types.ModuleType("torchvision.transforms")
        package.transforms = transforms  # type: ignore[attr-defined]
        transforms.GaussianBlur = None  # type: ignore[attr-defined]
        sys.modules |= {"torchvision": package, "torchvision.transforms": transforms}


class PtyChi:
    """pty-chi's LSQ-ML with its defaults, but for the batches and the seed.

    Parameters
    ----------
    data : mapping
        ``frames, good, places, pixel, batch, probe1, probe2, …``.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        replace_torchvision()
        from ptychi.api.task import PtychographyTask

        self._make, self._data = PtychographyTask, data
        places, n = data["places"], data["frames"].shape[-1]
        # their positions count from the middle of the object, which is a whole pixel where its size is even
        self._middle = np.rint((places.max(axis=0) + places.min(axis=0)) / 2)
        self._size = 2 * np.ceil((np.ptp(places, axis=0) + n + EXTRA) / 2).astype(int)
        self._running: dict[int, Any] = {}

    def task(self, modes: int) -> Any:
        """Make a run, at its start."""
        import ptychi.api as api

        options = api.LSQMLOptions()
        options.reconstructor_options.default_device = api.Devices.CPU
        options.reconstructor_options.batch_size = int(self._data["batch"])
        options.reconstructor_options.random_seed = 0
        options.object_options.pixel_size_m = float(self._data["pixel"])
        y, x = (self._data["places"] - self._middle).astype(np.float32).T
        return self._make(
            options,
            diffraction_data=self._data["frames"].astype(np.float32),
            object_data=np.ones((1, *self._size), np.complex64),
            probe_data=self._data[f"probe{modes}"][None],
            probe_position_y_px=y.copy(),
            probe_position_x_px=x.copy(),
            valid_pixel_mask=self._data["good"],
        )

    def time(self, modes: str) -> float:
        """Time one iteration of a run that goes on; the first of all isn't timed."""
        if modes not in self._running:
            self._running[modes] = self.task(int(modes))
            self._running[modes].run(1)
        return seconds(self._running[modes], 1)

    def object(self, modes: str, iterations: str, threads: str, file: str) -> float:
        """Time a run from its start, and write what it has found."""
        import torch

        task = self.task(int(modes))
        torch.set_num_threads(int(threads))
        taken = seconds(task, int(iterations))
        torch.set_num_threads(1)
        found = task.get_data_to_cpu("object", as_numpy=True)[0]
        np.savez(file, object=found, places=self._data["places"] - self._middle + self._size / 2)
        return taken


def seconds(task: Any, iterations: int) -> float:
    """Time some iterations."""
    start = time.perf_counter()
    task.run(iterations)
    return time.perf_counter() - start


PEERS = {"ptychi": PtyChi}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peers print isn't an answer
    with np.load(sys.argv[1]) as file:
        data = dict(file)
    peers, versions = {}, {}
    for name in sys.argv[2:]:
        try:
            import torch

            torch.set_num_threads(1)
            peers[name] = PEERS[name](data)
            versions |= {package: version(package) for package in (name, "torch")}
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
    print(json.dumps(versions), file=answers, flush=True)
    for line in sys.stdin:
        what, name, *arguments = line.split(maxsplit=5)
        taken = getattr(peers[name], what)(*(argument.strip() for argument in arguments))
        print(json.dumps({"seconds": taken}), file=answers, flush=True)


if __name__ == "__main__":
    main()
