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
    out: Annotated[
        Path | None,
        typer.Option("-o", help="Picture of --center (default: FILE_center.png here), or of the positions."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")] = False,
) -> None:
    """Show what was understood of a scan and what is missing."""
    from hpcdaas.cli.reconstruct import resolve
    from hpcdaas.io import describe, open_scan
    from hpcdaas.scan import Scan

    chosen = resolve(recipe, setting, None, None, file)
    scan = open_scan(file, chosen.scan)
    if show_recipe:
        content = chosen.resolved()
        print(json.dumps(content) if as_json else chosen.toml(), end="\n" if as_json else "")
        return
    if center and not isinstance(scan, Scan):
        raise InputError(f"{file} is a scan of {scan.technique}, which has no rotation centre.", "Leave out --center.")
    picture = out or Path(f"{file.stem}_center.png")
    if picture.suffix != ".png" or not picture.parent.is_dir():
        raise InputError(f"{picture} can't become a picture.", "Give -o a name that ends with .png, in a folder.")
    found = describe(scan)
    if isinstance(scan, Scan):
        if center:
            found["trials"] = _trials(scan, chosen, picture)
    elif out is not None:
        from hpcdaas.view.figures import save
        from hpcdaas.view.scan_map import scan_map

        save(scan_map(scan), picture)
        found["picture"] = str(picture)
    if as_json:
        print(json.dumps(found))
    else:
        _tell(found, _facts(found) if isinstance(scan, Scan) else _ptycho_facts(found))


def _trials(scan: Scan, recipe: Recipe, path: Path) -> dict[str, Any]:
    """Find the centre, reconstruct a row with centres around it, draw the strip."""
    from hpcdaas.backend import get_backend
    from hpcdaas.pipeline.memory import default_budget
    from hpcdaas.pipeline.tomography import Tomography
    from hpcdaas.view.figures import save, strip

    work = Tomography(scan, recipe, get_backend("cpu"), default_budget())
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


def _facts(found: dict[str, Any]) -> dict[str, str]:
    """Facts of a tomographic scan, by what they are of."""
    angles, rows, columns = found["shape"]
    first, last = found["angles"]["first"], found["angles"]["last"]
    return {
        "scan": f"{found['name']} ({found['technique']}, {found['format']})",
        "projections": f"{angles} of {rows} × {columns} pixels, {found['dtype']}, {found['bytes'] / 1e9:.3g} GB",
        "angles": f"{first:g}° to {last:g}°",
        "flats, darks": f"{sum(group['frames'] for group in found['flats'])}, {found['darks']}",
        **{name.replace("_", " "): f"{found[name]:g} {u}" for name, u in UNITS.items() if found[name] is not None},
        "storage": _storage(found),
        "result": f"{' × '.join(map(str, found['output']['shape']))}, {found['output']['bytes'] / 1e9:.3g} GB",
    }


def _ptycho_facts(found: dict[str, Any]) -> dict[str, str]:
    """Facts of a ptychographic scan; pairs are (y, x)."""
    views, rows, columns = found["shape"]
    span, pixels = found["positions"]["span"], found["positions"]["span_pixels"]
    by = {"user": ", as asked", "file": ", by the file", "": ", as stored"}[found["oriented"]]
    facts = {
        "scan": f"{found['name']} ({found['technique']}, {found['format']})",
        "frames": f"{views} of {rows} × {columns} pixels, {found['dtype']}, {found['bytes'] / 1e9:.3g} GB",
        "positions": f"{span[0]:.4g} × {span[1]:.4g} m, {pixels[0]:.4g} × {pixels[1]:.4g} pixels of the object",
        "orientation": "to be found" if found["orientation"] == "auto" else found["orientation"] + by,
        "object pixel": "{:.4g} × {:.4g} m".format(*found["object_pixel"]),
        "energy": f"{found['energy']:g} eV",
        "distance": f"{found['distance']:g} m",
        "pixel size": "{:g} × {:g} m".format(*found["pixel_size"]),
    }
    if found["focus_distance"] is not None:
        facts["focus distance"] = f"{found['focus_distance']:g} m, magnified {found['magnification']:.5g} times"
    if found["mask"] is not None:
        facts["mask"] = f"{found['mask']['bad_pixels']} bad pixels"
    if found["probe_modes"]:
        facts["first probe"] = f"{found['probe_modes']} mode" + "s" * (found["probe_modes"] > 1)
    if found["beam_center"] is not None:
        facts["beam centre"] = "row {:.2f}, column {:.2f}".format(*found["beam_center"])
    facts["storage"] = _storage(found)
    facts["result"] = f"{' × '.join(map(str, found['output']['shape']))}, {found['output']['bytes'] / 1e9:.3g} GB"
    return facts


def _storage(found: dict[str, Any]) -> str:
    return " ".join(str(v) for k, v in found["storage"].items() if k in ("kind", "chunk", "filters") and v)


def _tell(found: dict[str, Any], facts: dict[str, str]) -> None:
    """Print it for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
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
                console.print(Text(f"  {line}"), soft_wrap=True)
    if "trials" in found:
        t = found["trials"]
        console.print(
            Text(f"\nCentre {t['center']:.2f}, confidence {t['confidence']:.2f}: {t['reason']}"), soft_wrap=True
        )
        console.print(Text(f"Look at it: {t['picture']}"), soft_wrap=True)
    if "picture" in found:
        console.print(Text(f"\nThe scan on the object: {found['picture']}"), soft_wrap=True)
