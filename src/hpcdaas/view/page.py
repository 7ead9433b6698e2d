"""The page of a report: one HTML file that needs nothing but itself, the same for all techniques."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from hpcdaas.params import units
from hpcdaas.scan import ScanTable
from hpcdaas.view import figures
from hpcdaas.view.entry import Entry
from hpcdaas.view.picture import length

NOT_SAID = "not in the file"


@dataclass(frozen=True)
class Picture:
    """A picture of the report, or the reason why there is none.

    Attributes
    ----------
    name : str
        Ending of its PNG's name.
    heading, caption : str
        For the page.
    figure : Figure or None
        None: the caption says what is missing.
    """

    name: str
    heading: str
    caption: str
    figure: Figure | None


@dataclass(frozen=True)
class Contents:
    """What a technique has to say on the page, beside what all results hold.

    Attributes
    ----------
    facts : sequence of dict
        ``label``, ``value``, ``more``: what is wanted first.
    pictures : sequence of Picture
        In the order of the page.
    values : mapping
        ``{name: (value, units)}`` of what was measured on the way.
    """

    facts: Sequence[dict[str, str]]
    pictures: Sequence[Picture]
    values: Mapping[str, tuple[Any, str]]


def render(file: Entry, contents: Contents, folder: Path) -> str:
    """Write the pictures as PNG into a folder, and give the page as HTML.

    Parameters
    ----------
    file : Entry
        The result.
    contents : Contents
        What its technique says about it.
    folder : Path
        Exists.

    Raises
    ------
    InputError
        If a picture can't be written.
    """
    shown = [_show(picture, folder / f"{file.path.stem}_{picture.name}.png") for picture in contents.pictures]
    recipe_text = file.text("process/recipe")
    recipe = _recipe(recipe_text)
    template = resources.files("hpcdaas.view").joinpath("report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=_title(file),
        subtitle=_subtitle(file),
        facts=[*contents.facts, *_makers(file)],
        pictures=shown,
        metrics=[(_words(name), quantity(value, units)) for name, (value, units) in contents.values.items()],
        recipe_name=file.text("process/recipe_name") or str(recipe.get("name", "")),
        steps=_steps(recipe),
        scan=_rows(recipe.get("scan"), units(ScanTable)),
        recipe=json.dumps(recipe, indent=2, ensure_ascii=False) if recipe else recipe_text,
        provenance=_provenance(file),
        file_name=file.path.name,
    )


def _show(picture: Picture, path: Path) -> dict[str, str]:
    """Save a picture and give what the page needs of it."""
    source = ""
    if picture.figure is not None:
        figures.save(picture.figure, path)
        source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    return {"heading": picture.heading, "caption": picture.caption, "source": source}


def _title(file: Entry) -> str:
    """Give the sample, else the title; of a title that is but the raw file's path its last part."""
    title = file.text("title") or file.path.stem
    return file.text("sample/name") or (Path(title).name if title == file.text("process/raw_file") else title)


def _subtitle(file: Entry) -> str:
    parts = [file.text("title") if file.text("sample/name") else None, file.path.name, _date(file.text("process/date"))]
    return "  ·  ".join(part for part in parts if part)


def _makers(file: Entry) -> list[dict[str, str]]:
    """Say which program and run made a result."""
    program = " ".join(part for part in (file.text("process/program"), file.text("process/version")) if part)
    run = file.text("process/run")
    return [fact("Made by", program or NOT_SAID), fact("Run", run[:8] if run else NOT_SAID)]


def fact(label: str, value: str, more: str = "") -> dict[str, str]:
    """Give what stands in one box at the top of the page."""
    return {"label": label, "value": value, "more": more}


def number(values: Mapping[str, tuple[Any, str]], name: str) -> float | None:
    """Give a finite number of ``{name: (value, units)}``, or None."""
    value = values.get(name, (None, ""))[0]
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _provenance(file: Entry) -> list[tuple[str, str]]:
    names = {"raw_file": "raw file", "raw_files": "raw files", "raw_identity": "raw identity"}
    names |= {name: name for name in ("run", "program", "version", "date")}
    rows = {label: file.text(f"process/{name}") for name, label in names.items()}
    files = _lines(rows["raw files"])
    if files and files != rows["raw file"]:
        rows["raw files"] = files
    else:
        del rows["raw files"]
    rows["result"] = str(file.path.resolve())
    rows["size of the result"] = f"{file.path.stat().st_size:,} bytes"
    return [(label, value or NOT_SAID) for label, value in rows.items()]


def _lines(text: str | None) -> str | None:
    """Give a list that is stored as JSON one item per line."""
    try:
        found = json.loads(text or "")
    except ValueError:
        return text
    return "\n".join(str(item) for item in found) if isinstance(found, list) else text


def _recipe(text: str | None) -> dict[str, Any]:
    """Read the recipe; empty where it isn't there or isn't what we write."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _steps(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps = recipe.get("step")
    found = []
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict):
            use = str(step.get("use", "?"))
            name = str(step.get("name", use))
            parameters = {key: value for key, value in step.items() if key not in ("use", "name")}
            found.append({"name": use if name == use else f"{name} ({use})", "parameters": _rows(parameters)})
    return found


def _rows(values: Any, unit: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Give the parameters that are set."""
    if not isinstance(values, dict):
        return []
    shown = {key: value for key, value in values.items() if value not in (None, {}, [])}
    return [(_words(key), quantity(value, (unit or {}).get(key, ""))) for key, value in shown.items()]


def quantity(value: Any, units: str) -> str:
    """Give a value with its units as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and units == "m" and value > 0:
        factor, units = length(value)
        value = value * factor
    if isinstance(value, float):
        value = f"{value:.6g}"
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return f"{value} {units}".strip()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _date(text: str | None) -> str:
    return f"{text[:10]} {text[11:16]} UTC" if text and text.endswith("Z") and len(text) >= 17 else text or ""
