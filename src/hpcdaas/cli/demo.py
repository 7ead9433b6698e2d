"""``hpcdaas demo``: a scan whose truth is known goes the whole way, from the detector to the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.errors import InputError

if TYPE_CHECKING:
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


def demo(
    folder: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for all that is made.")] = Path(
        "demo"
    ),
) -> None:
    """Simulate a scan, reconstruct it, register it, write the report, and compare with the truth."""
    from hpcdaas import load_recipe, pipeline
    from hpcdaas.backend.cpu import available_threads
    from hpcdaas.cli.reconstruct import watching
    from hpcdaas.io.nxtomo_writer import write_simulation
    from hpcdaas.tomo.simulate import Simulation
    from hpcdaas.view.report import make_report

    simulation = Simulation()
    scan, recipe, out, catalog = (folder / name for name in ("demo.nxs", "demo.toml", "demo.h5", "catalog.db"))
    with watching(quiet=False) as watcher:
        watcher.say(f"Simulating {scan}: {' × '.join(map(str, simulation.shape))} frames, rows, columns.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not recipe.exists():
                recipe.write_text(RECIPE, encoding="utf-8")
        except OSError as error:
            raise InputError(f"The demo can't write into {folder}: {error.strerror}.", "Choose another -o.") from error
        write_simulation(scan, simulation, available_threads())
        result = pipeline.reconstruct(
            scan, load_recipe(recipe), out, watcher=watcher, overwrite=True, catalog=str(catalog)
        )
        watcher.say("Writing the report, comparing with the truth.")
        report = make_report(out)
        _tell(result, {"report": report, "catalog": catalog, "scan": scan, "recipe": recipe}, simulation)


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


def _tell(result: Result, files: dict[str, Path], simulation: Simulation) -> None:
    """Say how near the result is to the truth, and where to look."""
    from rich.console import Console
    from rich.table import Table

    found = compare(result.path, simulation)
    center = result.metrics["center"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "found", "true"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("rotation centre (columns)", f"{center['value']:.2f}", f"{simulation.center:.2f}")
    table.add_row("attenuation of the sample's matrix (1/m)", f"{found['mean']:.0f}", f"{simulation.attenuation:.0f}")
    table.add_row("its noise (1/m)", f"{found['spread']:.0f}", "0")
    table.add_row("error of the slices (relative L2)", f"{100 * found['error']:.1f} %", "")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    took = "was there already" if result.existed else f"{result.seconds['total']:.1f} s"
    console.print(f"\nReconstruction: {' × '.join(map(str, result.shape))} voxels, {took}", markup=False)
    for line in (
        f"Look at         {files['report']}",
        f"Result          {result.path}",
        f"Scan, recipe    {files['scan']}, {files['recipe']}",
        f"Catalogue       hpcdaas catalog list --catalog {files['catalog']}",
    ):
        console.print(line, markup=False)
