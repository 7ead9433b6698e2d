"""The half of ``hpcdaas demo`` that is tomography."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcdaas.cli.demo import Row
    from hpcdaas.result import Result
    from hpcdaas.tomo.simulate import Simulation

#: Written beside the scan, to be tried with other steps and parameters.
RECIPE = """\
# The demo's recipe. Change it and run
#     hpcdaas reconstruct demo.nxs -r demo.toml -o mine.h5
# "hpcdaas demo" itself uses it as it is here, and never writes over it.
name = "demo"

[[step]]
use = "outliers"        # zingers: pixels hit by a stray photon

[[step]]
use = "flatfield"       # flats and darks from before and after, interpolated in time

[[step]]
use = "minus_log"

[[step]]
use = "stripes"         # columns whose gain is wrong would become rings
method = "sorting"
size = 5                # over twice the width of a stripe; more also blurs the sample

[[step]]
use = "center"          # found from the data; known ones go to scan.center

[[step]]
use = "fbp"
filter = "hann"         # smoother than "ramp"
"""
#: Rows of the result that are held against the truth.
COMPARED = 5


def simulate(scan: Path, threads: int) -> tuple[str, Simulation]:
    """Write a scan as NXtomo; say what it is, and give what knows its truth."""
    from hpcdaas.io.nxtomo_writer import write_simulation
    from hpcdaas.tomo.simulate import Simulation

    simulation = Simulation()
    write_simulation(scan, simulation, threads)
    return f"{' × '.join(map(str, simulation.shape))} frames, rows, columns", simulation


def table(result: Result, simulation: Simulation) -> list[Row]:
    """Say how near the result is to the truth: what, found, true."""
    found = compare(result.path, simulation)
    return [
        ("rotation centre (columns)", f"{result.metrics['center']['value']:.2f}", f"{simulation.center:.2f}"),
        ("attenuation of the sample's matrix (1/m)", f"{found['mean']:.0f}", f"{simulation.attenuation:.0f}"),
        ("its noise (1/m)", f"{found['spread']:.0f}", "0"),
        ("error of the slices (relative L2)", f"{100 * found['error']:.1f} %", "0"),
    ]


def compare(out: Path, simulation: Simulation) -> dict[str, float]:
    """Hold a result against the truth, on some rows and inside the inscribed disc.

    Parameters
    ----------
    out : Path
        Result of all rows of the simulation.
    simulation : Simulation
        Knows the truth.

    Returns
    -------
    dict
        ``error``: relative L2 error; ``mean`` and ``spread``: mean and standard deviation where
        the matrix of the sample is and nothing else near, 1/m.
    """
    import numpy as np
    from scipy import ndimage

    from hpcdaas.view.volume import ResultFile

    wrong = total = 0.0
    matrix: list[Any] = []
    with ResultFile(out) as file:
        for row in file.planes(COMPARED):
            found, truth = file.plane(0, row), simulation.truth(row)
            y, x = (np.arange(len(truth)) - (len(truth) - 1) / 2)[:, None], np.arange(len(truth)) - (len(truth) - 1) / 2
            disc = x**2 + y**2 <= ((len(truth) - 1) / 2) ** 2
            wrong += float(np.sum((found - truth)[disc] ** 2, dtype=np.float64))
            total += float(np.sum(truth[disc] ** 2, dtype=np.float64))
            pure = np.abs(truth - simulation.attenuation) < 1e-3 * simulation.attenuation
            matrix.append(found[ndimage.binary_erosion(pure, iterations=6)])
    values = np.concatenate(matrix)
    return {"error": (wrong / total) ** 0.5, "mean": float(values.mean()), "spread": float(values.std())}
