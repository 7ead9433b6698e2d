"""``hpcdaas inspect``: what was understood of a raw file, what is missing, and where the centre may be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from hpcdaas.recipe import Recipe
    from hpcdaas.scan import Scan

#: Numbers of a scan that are shown, with their units.
UNITS = {"pixel_size": "m", "energy": "eV", "distance": "m", "center": "columns"}


def inspect(
    file: Annotated[Path, typer.Argument(help="The raw scan.")],
    show_recipe: Annotated[bool, typer.Option("--recipe", help="Print the resolved recipe as TOML.")] = False,
    center: Annotated[bool, typer.Option("--center", help="Write a strip of trial slices around the centre.")] = False,
    recipe: Annotated[Path | None, typer.Option("-r", help="Recipe (TOML).")] = None,
    setting: Annotated[list[str] | None, typer.Option("-s", help="NAME.parameter=value or scan.key=value.")] = None,
    out: Annotated[Path | None, typer.Option("-o", help="Picture of --center; default: FILE_center.png here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")] = False,
) -> None:
    """Show what was understood of a scan and what is missing."""
    from hpcdaas.cli.reconstruct import resolve
    from hpcdaas.io import describe, open_scan

    chosen = resolve(recipe, setting, None, None)
    scan = open_scan(file, chosen.scan)
    if show_recipe:
        content = chosen.resolved()
        print(json.dumps(content) if as_json else chosen.toml(), end="\n" if as_json else "")
        return
    picture = out or Path(f"{file.stem}_center.png")
    if picture.suffix != ".png" or not picture.parent.is_dir():
        raise InputError(f"{picture} can't become a picture.", "Give -o a name that ends with .png, in a folder.")
    found = describe(scan)
    if center:
        found["trials"] = _trials(scan, chosen, picture)
    if as_json:
        print(json.dumps(found))
    else:
        _tell(found)


def _trials(scan: Scan, recipe: Recipe, path: Path) -> dict[str, Any]:
    """Find the centre, reconstruct a row with centres around it, draw the strip."""
    from hpcdaas.backend import get_backend
    from hpcdaas.pipeline.memory import default_budget
    from hpcdaas.pipeline.tomography import Tomography
    from hpcdaas.view.figures import save, strip

    work = Tomography(scan, recipe, get_backend(), default_budget())
    estimate = work.find_center()
    work.volume.center = estimate.center
    centers, slices = work.trials(estimate.center)
    save(strip(slices, centers, estimate.center), path)
    return {
        "center": estimate.center,
        "confidence": estimate.confidence,
        "methods": dict(estimate.methods),
        "reason": estimate.reason,
        "tried": centers,
        "picture": str(path),
    }


def _tell(found: dict[str, Any]) -> None:
    """Print it for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    angles, rows, columns = found["shape"]
    first, last = found["angles"]["first"], found["angles"]["last"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    facts = {
        "scan": f"{found['name']} ({found['technique']}, {found['format']})",
        "projections": f"{angles} of {rows} × {columns} pixels, {found['dtype']}, {found['bytes'] / 1e9:.3g} GB",
        "angles": f"{first:g}° to {last:g}°",
        "flats, darks": f"{sum(group['frames'] for group in found['flats'])}, {found['darks']}",
        **{name.replace("_", " "): f"{found[name]:g} {u}" for name, u in UNITS.items() if found[name] is not None},
        "storage": " ".join(str(v) for k, v in found["storage"].items() if k in ("kind", "chunk", "filters") and v),
        "result": f"{' × '.join(map(str, found['output']['shape']))}, {found['output']['bytes'] / 1e9:.3g} GB",
    }
    for name, value in facts.items():
        table.add_row(name, Text(value))
    console.print(table)
    for title, lines in (
        ("Understood", found["understood"]),
        ("Missing", [f"{m['what']}, for {m['for']}: {m['option']}" for m in found["missing"]]),
    ):
        if lines:
            console.print(f"\n{title}", style="bold")
            for line in lines:
                console.print(Text(f"  {line}"))
    if "trials" in found:
        t = found["trials"]
        console.print(Text(f"\nCentre {t['center']:.2f}, confidence {t['confidence']:.2f}: {t['reason']}"))
        console.print(Text(f"Look at it: {t['picture']}"))
