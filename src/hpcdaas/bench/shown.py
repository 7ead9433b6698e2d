"""The figures as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Columns of a table that goes to no terminal: no cell is cut.
WIDE = 160
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
COLORS = {"aim": "green", "must": "", "SHORT": "bold red", "better": "green", "worse": "yellow"}


def quantity(value: float, unit: str) -> str:
    """Write a value with its unit as people do: 24.1 µs, 31.2 GB/s, 4.2 GB; counts per hour without a prefix."""
    if unit in ("s", "B", "B/s", "flop/s") and value > 0:
        last = PREFIXES[-1] if unit == "s" else PREFIXES[4]
        factor, prefix = next(((f, p) for f, p in PREFIXES if value >= f and (unit != "s" or f <= 1)), last)
        return (
            f"{value / factor:.3g} {prefix}{unit}" if value / factor < 999.5 else f"{value / factor:.0f} {prefix}{unit}"
        )
    return f"{value:.3g} {unit}".strip() if abs(value) < 1000 else f"{value:,.0f} {unit}".strip()


def head(found: Mapping[str, Any]) -> str:
    """Say on one line what was measured where."""
    machine = found["machine"]
    memory = quantity(machine["memory_bytes"], "B")
    return f"{machine['cpu']}, {machine['cores']} cores, {memory}, {machine['vector_level']}, {machine['fft_library']}"


def print_result(found: Mapping[str, Any]) -> None:
    """Print a benchmark, a table for each thing that was measured."""
    console = _console()
    console.print(Text(head(found), "bold"))
    settings = ", ".join(f"{name} {value}" for name, value in found["settings"].items())
    console.print(
        f"hpcdaas {found['versions'].get('hpcdaas')}, commit {found['commit'][:12]}; {settings}", markup=False
    )
    for group, figures in groupby(found["figures"], key=lambda figure: figure["group"]):
        table = _table(group, "", "ratio", "to", "")
        for figure in figures:
            ratio = "" if figure["ratio"] is None else f"{figure['ratio']:.3g}"
            verdict = figure["verdict"] if figure["residual"] else ""
            table.add_row(
                figure["name"], quantity(figure["value"], figure["unit"]), ratio, figure["limit"],
                Text({"must": "right", "aim": "right", "SHORT": "WRONG"}.get(verdict, ""), COLORS.get(verdict, "")),
            )  # fmt: skip
        console.print()
        console.print(table)
    for note in found["notes"]:
        console.print(f"\n{note}", style="italic", markup=False)
    if found.get("wrong"):
        console.print(f"\nWrong results: {', '.join(found['wrong'])}.", style="bold red", markup=False)


def print_comparison(found: Mapping[str, Any]) -> None:
    """Print two benchmarks beside each other."""
    console = _console()
    one, other = found["files"]
    if not found["same_machine"]:
        said = "The machines differ: compare the ratios to their floors, not times."
        console.print(said, style="bold yellow", markup=False)
    for name, (a, b) in found["differences"].items():
        console.print(f"{name}: {a} | {b}", markup=False)
    for group, figures in groupby(found["figures"], key=lambda figure: figure["group"]):
        table = _table(group or "figure", one, other, "B / A", "to floor: A", "B", "")
        for figure in figures:
            a, b = (quantity(value, figure["unit"]) for value in figure["values"])
            numbers = ["" if number is None else f"{number:.3g}" for number in (figure["ratio"], *figure["ratios"])]
            table.add_row(figure["name"], a, b, *numbers, Text(figure["verdict"], COLORS.get(figure["verdict"], "")))
        console.print()
        console.print(table)
    if found["missing"]:
        some = ", ".join(found["missing"][:3]) + (" …" if len(found["missing"]) > 3 else "")
        console.print(f"\nOnly in one of them: {len(found['missing'])} figures ({some})", markup=False)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(title), min_width=34, overflow="fold")
    for column in columns:
        table.add_column(Text(column), justify="left" if column in ("to",) else "right")
    return table
