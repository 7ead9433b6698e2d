"""Other programs' reconstructions of one slice, timed on request; runs in their own virtual environment.

Reads a line "time NAME" from standard input and answers with one line of JSON, {"seconds": …}; the
first line that it writes says what there is: {"algotom": "1.7.0", "astra": "2.5.0"}.

    python peers_tomo.py COLUMNS ANGLES NAME...
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np


def algotom(sinogram: np.ndarray, angles: np.ndarray) -> Callable[[], object]:
    """Give direct Fourier inversion with its defaults."""
    from algotom.rec.reconstruction import dfi_reconstruction

    center = (sinogram.shape[1] - 1) / 2

    def run() -> object:
        return dfi_reconstruction(sinogram, center, angles=angles, apply_log=False, ncore=1)

    run()  # compiles
    return run


def astra(sinogram: np.ndarray, angles: np.ndarray) -> Callable[[], object]:
    """Give filtered back-projection on the CPU, linear projector."""
    import astra

    n = sinogram.shape[1]
    rays, pixels = astra.create_proj_geom("parallel", 1.0, n, angles), astra.create_vol_geom(n, n)
    config = astra.astra_dict("FBP")
    config["ProjectorId"] = astra.create_projector("linear", rays, pixels)
    config["ProjectionDataId"] = astra.data2d.create("-sino", rays, sinogram)
    config["ReconstructionDataId"] = astra.data2d.create("-vol", pixels)
    algorithm = astra.algorithm.create(config)
    return lambda: astra.algorithm.run(algorithm)


PEERS = {"algotom": ("algotom", algotom), "astra": ("astra-toolbox", astra)}


def main() -> None:
    columns, count, wanted = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peers print isn't an answer
    angles = np.arange(count) * np.pi / count
    sinogram = np.random.default_rng(0).random((count, columns), dtype=np.float32)
    tasks, versions = {}, {}
    for name in wanted:
        package, make = PEERS[name]
        try:
            tasks[name] = make(sinogram, angles)
            versions[name] = version(package)
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
    print(json.dumps(versions), file=answers, flush=True)
    for line in sys.stdin:
        name = line.split()[1]
        start = time.perf_counter()
        tasks[name]()
        print(json.dumps({"seconds": time.perf_counter() - start}), file=answers, flush=True)


if __name__ == "__main__":
    main()
