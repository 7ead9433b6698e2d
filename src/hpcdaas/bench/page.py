"""One HTML page about benchmarks that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from hpcdaas.bench import plots
from hpcdaas.bench.shown import quantity
from hpcdaas.errors import InputError

NAME = "bench.html"
ROOFLINE = (
    "Points: what hpcdaas does. The dash above each is its floor: its own transforms and multiply-adds at the speed "
    "that this machine has for them, or its bytes through memory. Black: what memory and multiply-adds allow; grey: "
    "transforms in the cache. All were measured in turns in one run."
)
BARS = "Time over the time of the floor. Index arithmetic, roots, divisions and moves in the cache are in no floor."


def write_page(benchmarks: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Write the page of some benchmarks, as `hpcdaas.bench.files.load` gives them; gives its path.

    Raises
    ------
    InputError
        If the folder can't be written.
    """
    page = render(benchmarks)
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The page {path} can't be written: {error.strerror or error}.") from error
    return path


def render(benchmarks: Sequence[Mapping[str, Any]]) -> str:
    """Give the page as HTML."""
    drawn = [b for b in benchmarks if b["benchmark"] == "bench" and plots.has_floors(b)]
    pictures = [_picture(f"Roofline, {b['file']}", ROOFLINE, plots.roofline(b)) for b in drawn]
    if drawn:
        pictures.append(_picture("Ratios to the floors", BARS, plots.bars(drawn)))
    package = resources.files("hpcdaas")
    # the look is that of the reports
    report = package.joinpath("view", "report.html").read_text(encoding="utf-8")
    style = report.partition("<style>")[2].partition("</style>")[0]
    template = package.joinpath("bench", "bench.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        style=style, files=[_facts(b) for b in benchmarks], pictures=pictures, groups=_groups(benchmarks),
        notes=[(b["file"], note) for b in benchmarks for note in b.get("notes", ())],
    )  # fmt: skip


def _picture(heading: str, caption: str, figure: Figure) -> dict[str, str]:
    coded = base64.b64encode(plots.svg(figure).encode()).decode()
    return {"heading": heading, "caption": caption, "source": f"data:image/svg+xml;base64,{coded}"}


def _facts(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    machine = benchmark["machine"]
    rows = {
        "machine": machine["cpu"],
        "cores, memory": f"{machine['cores']}, {quantity(machine['memory_bytes'], 'B')}",
        "vector level, FFT": f"{machine.get('vector_level', '?')}, {machine.get('fft_library', '?')}",
        "settings": ", ".join(f"{name} {value}" for name, value in benchmark.get("settings", {}).items()),
        "versions": ", ".join(f"{name} {value}" for name, value in benchmark.get("versions", {}).items()),
        "commit": benchmark.get("commit", "?"),
        "date": benchmark.get("date", "?"),
        "wrong results": ", ".join(benchmark.get("wrong", ())) or "none",
    }
    return {"name": benchmark["file"], "benchmark": benchmark["benchmark"], "rows": list(rows.items())}


def _groups(benchmarks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the tables: by group and name, the value and the ratio of each file."""
    found: dict[str, dict[tuple[str, str], list[tuple[str, str]]]] = {}
    for number, benchmark in enumerate(benchmarks):
        for figure in benchmark["figures"]:
            group = figure.get("group") or benchmark["benchmark"]
            rows = found.setdefault(group, {})
            key = (figure["name"], figure.get("limit", ""))
            cells = rows.setdefault(key, [("", "")] * len(benchmarks))
            ratio = figure.get("ratio")
            cells[number] = (quantity(figure["value"], figure["unit"]), "" if ratio is None else f"{ratio:.3g}")
    return [
        {
            "name": group,
            "rows": [{"name": name, "limit": limit, "cells": cells} for (name, limit), cells in rows.items()],
        }
        for group, rows in found.items()
    ]
