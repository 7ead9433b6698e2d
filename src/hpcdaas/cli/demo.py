"""``hpcdaas demo``: scans whose truth is known go the whole way, from the detector to the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

    from hpcdaas.pipeline.options import Watcher
    from hpcdaas.result import Result

#: What, found, true.
Row: TypeAlias = tuple[str, str, str]


def demo(
    folder: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for all that is made.")] = Path(
        "demo"
    ),
) -> None:
    """Simulate scans, reconstruct and register them, write reports, and compare with the truth."""
    from hpcdaas.cli import demo_ptychography, demo_tomography
    from hpcdaas.cli.reconstruct import watching

    halves = (("demo", "nxs", demo_tomography), ("ptycho", "cxi", demo_ptychography))
    with watching(quiet=False) as watcher:
        _recipes(folder, {f"{name}.toml": half.RECIPE for name, _, half in halves})
        for name, ending, half in halves:
            _one(folder, name, ending, half, watcher)
    print(f"\nCatalogue       hpcdaas catalog list --catalog {folder / 'catalog.db'}")


def _recipes(folder: Path, recipes: dict[str, str]) -> None:
    """Write the recipes that aren't there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in recipes.items():
            if not (folder / name).exists():
                (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The demo can't write into {folder}: {error.strerror}.", "Choose another -o.") from error


def _one(folder: Path, name: str, ending: str, half: ModuleType, watcher: Watcher) -> None:
    """Take one scan the whole way."""
    from hpcdaas import load_recipe, pipeline
    from hpcdaas.backend.cpu import available_threads
    from hpcdaas.view.report import make_report

    scan, recipe, out = (folder / f"{name}.{end}" for end in (ending, "toml", "h5"))
    watcher.say(f"Simulating {scan}.")
    shape, simulation = half.simulate(scan, available_threads())
    watcher.say(f"{scan} holds {shape}.")
    catalog = str(folder / "catalog.db")
    result = pipeline.reconstruct(scan, load_recipe(recipe), out, watcher=watcher, overwrite=True, catalog=catalog)
    watcher.say("Writing the report, comparing with the truth.")
    report = make_report(out)
    _tell(
        result, half.table(result, simulation), {"Look at": report, "Result": out, "Scan, recipe": f"{scan}, {recipe}"}
    )


def _tell(result: Result, rows: list[Row], places: dict[str, Any]) -> None:
    """Say how near the result is to the truth, and where to look."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (result.raw.technique, "found", "true"):
        table.add_column(name, justify="right" if name in ("found", "true") else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, soft_wrap=True)
    console.print()
    console.print(table)
    took = "was there already" if result.existed else f"{result.seconds['total']:.1f} s"
    what = "voxels" if result.raw.technique == "tomography" else "modes and pixels of the object"
    console.print(f"\nReconstruction: {' × '.join(map(str, result.shape))} {what}, {took}", markup=False)
    for name, place in places.items():
        console.print(f"{name:<16}{place}", markup=False)
