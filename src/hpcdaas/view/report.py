"""The report of a result: PNGs, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from hpcdaas.errors import InputError
from hpcdaas.params import units
from hpcdaas.scan import ScanTable
from hpcdaas.view import figures
from hpcdaas.view.cuts import STRETCHED, THIN
from hpcdaas.view.grey import grey_levels
from hpcdaas.view.picture import length
from hpcdaas.view.volume import ResultFile

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


def make_report(result: Path, folder: Path | None = None) -> Path:
    """Write pictures of a result as PNG, and one self-contained HTML page about it.

    Reads a few planes of the volume, so that it may be larger than memory.

    Parameters
    ----------
    result : Path
        The result file.
    folder : Path, optional
        Where to write; made if missing. Default: ``RESULT_report`` beside the result.

    Returns
    -------
    Path
        The HTML page. All names begin with that of the result, so that a folder may hold many reports.

    Raises
    ------
    InputError
        If the result can't be read or the folder can't be written.
    """
    with ResultFile(result) as file:
        folder = folder or result.with_name(f"{result.stem}_report")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {folder} can't be made: {error.strerror or error}.") from error
        shown = [_show(picture, folder / f"{result.stem}_{picture.name}.png") for picture in _pictures(file)]
        page = _page(file, shown)
    path = folder / f"{result.stem}.html"
    try:
        path.write_text(page, encoding="utf-8", errors="replace")  # names needn't be UTF-8
    except OSError as error:
        raise InputError(f"The report {path} can't be written: {error.strerror or error}.") from error
    return path


def _show(picture: Picture, path: Path) -> dict[str, str]:
    """Save a picture and give what the page needs of it."""
    source = ""
    if picture.figure is not None:
        figures.save(picture.figure, path)
        source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    return {"heading": picture.heading, "caption": picture.caption, "source": source}


def _pictures(file: ResultFile) -> list[Picture]:
    return [_cuts(file), _centers(file), _sinograms(file), _histogram(file)]


def _cuts(file: ResultFile) -> Picture:
    z, _, x = (abs(axis.step) * n for axis, n in zip(file.axes, file.shape, strict=True))
    heading, caption = "Slices", "First, middle and last slice."
    if file.shape[0] == 1:
        heading, caption = "Slice", "The only slice of this result."
    elif file.shape[0] >= THIN:
        heading, caption = (
            "Three cuts through the middle",
            "Marks at the edges show where the two other cuts go through.",
        )
        if z < STRETCHED * x:
            caption += " The volume is thin: z is drawn stretched."
    caption += " Black and white leave out three in a thousand voxels at each end."
    return Picture("cuts", heading, caption, figures.cuts(file))


def _centers(file: ResultFile) -> Picture:
    heading = "Rotation centre"
    trials, values = file.image("center_trials"), file.image("center_values")
    if trials is None or values is None or trials.ndim != 3 or values.shape != trials.shape[:1] or not trials.size:
        return Picture("center", heading, "No trial centres were kept: the centre was given, or not searched.", None)
    chosen = _number(file.metrics(), "center")
    caption = "The same slice with other centres, each labelled with the one that was truly used."
    return Picture("center", heading, caption, figures.strip(trials, [float(v) for v in values], chosen))


def _sinograms(file: ResultFile) -> Picture:
    heading = "Sinogram before and after correction"
    raw, corrected = (
        image if image is not None and image.ndim == 2 and image.size else None
        for image in (file.image("sinogram_raw"), file.image("sinogram"))
    )
    if raw is None and corrected is None:
        return Picture("sinogram", heading, "The result holds no sinogram.", None)
    row = file.diagnostic("row")
    caption = "Straight vertical lines that are left make rings in the slices."
    if raw is None or corrected is None:
        caption = f"Only the sinogram {'after' if raw is None else 'before'} correction is in the file. " + caption
    return Picture("sinogram", heading, caption, figures.sinograms(raw, corrected, None if row is None else int(row)))


def _histogram(file: ResultFile) -> Picture:
    values = figures.sample(file)
    used = len(file.planes(9))
    slices = "all slices" if used == file.shape[0] > 1 else f"{used} of {file.shape[0]} slices"
    slices = "the slice" if file.shape[0] == 1 else slices
    levels = grey_levels([file.plane(0, file.shape[0] // 2)])
    caption = f"Voxels in the inscribed disc of {slices}; the dashed lines are the pictures' black and white."
    return Picture("histogram", "Histogram", caption, figures.histogram(values, file.units, levels))


def _page(file: ResultFile, pictures: list[dict[str, str]]) -> str:
    recipe_text = file.text("process/recipe")
    recipe = _recipe(recipe_text)
    metrics = file.metrics()
    template = resources.files("hpcdaas.view").joinpath("report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=file.text("sample/name") or file.text("title") or file.path.stem,
        subtitle=_subtitle(file),
        facts=_facts(file, metrics),
        pictures=pictures,
        metrics=[(_words(name), _quantity(value, units)) for name, (value, units) in metrics.items()],
        recipe_name=file.text("process/recipe_name") or str(recipe.get("name", "")),
        steps=_steps(recipe),
        scan=_rows(recipe.get("scan"), units(ScanTable)),
        recipe=json.dumps(recipe, indent=2, ensure_ascii=False) if recipe else recipe_text,
        provenance=_provenance(file),
        file_name=file.path.name,
    )


def _subtitle(file: ResultFile) -> str:
    parts = [file.text("title") if file.text("sample/name") else None, file.path.name, _date(file.text("process/date"))]
    return "  ·  ".join(part for part in parts if part)


def _facts(file: ResultFile, metrics: Mapping[str, tuple[Any, str]]) -> list[dict[str, str]]:
    z, y, x = file.shape
    facts = [{"label": "Volume", "value": f"{x} × {y} × {z}", "more": f"x, y, z; {file.dtype.name}"}]
    if file.pixel_size:
        factor, unit = length(file.pixel_size)
        wide, wide_unit = length(x * file.pixel_size)
        field = f"{x * file.pixel_size * wide:.4g} {wide_unit} wide"
        facts.append({"label": "Voxel", "value": f"{file.pixel_size * factor:.5g} {unit}", "more": field})
    else:
        facts.append({"label": "Voxel", "value": "size unknown", "more": "values are per pixel"})
    center, confidence = _number(metrics, "center"), _number(metrics, "center_confidence")
    if center is not None:
        sure = "" if confidence is None else f"confidence {confidence:.2f}"
        facts.append({"label": "Rotation centre", "value": f"column {center:.2f}", "more": sure})
    program = " ".join(part for part in (file.text("process/program"), file.text("process/version")) if part)
    facts.append({"label": "Made by", "value": program or NOT_SAID, "more": ""})
    run = file.text("process/run")
    facts.append({"label": "Run", "value": run[:8] if run else NOT_SAID, "more": ""})
    return facts


def _number(metrics: Mapping[str, tuple[Any, str]], name: str) -> float | None:
    value = metrics.get(name, (None, ""))[0]
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _provenance(file: ResultFile) -> list[tuple[str, str]]:
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
    return [(_words(key), _quantity(value, (unit or {}).get(key, ""))) for key, value in shown.items()]


def _quantity(value: Any, units: str) -> str:
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
