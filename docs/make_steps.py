"""Prints docs/steps.md, the page of all steps and their parameters, from the steps themselves."""

from __future__ import annotations

import inspect
from typing import Any

from hpcdaas.recipe import PTYCHOGRAPHY, all_steps
from hpcdaas.scan import ScanTable
from hpcdaas.step import Step

HEAD = """\
# Steps and their parameters

Written by `make docs` from the program itself.

A recipe names the steps of one technique in the order in which they are done. Steps that are put in with
`-s STEP.parameter=value` and aren't in the recipe take the place that they have here. A parameter that is left out has
its default."""

TOMOGRAPHY = "## Tomography"

VIEWS = """\
## Ptychography

At most one `frames`, at most one `start`, one or more algorithms, each of which goes on from what the one before it
found, at most one `halves`. An algorithm may be there more than once; names of their own tell them apart."""

SCAN = """\
## The `[scan]` table

What the file lacks, in a recipe's `[scan]` table or with `-s scan.key=value`. What is given here wins over the file."""


def table(schema: dict[str, Any], defaults: bool) -> str:
    """Write the parameters of a model as a table."""
    lines = ["| parameter | default | bounds | meaning |", "|---|---|---|---|"]
    for name, entry in schema.get("properties", {}).items():
        required = "must be given" if name in schema.get("required", ()) else default(entry)
        cells = [f"`{name}`", required, bounds(entry), entry.get("description", "").replace("|", "\\|")]
        lines.append("| " + " | ".join(cells if defaults else [cells[0], cells[3]]) + " |")
    if not defaults:
        lines[:2] = ["| key | meaning |", "|---|---|"]
    return "\n".join(lines)


def default(entry: dict[str, Any]) -> str:
    """Write a default as it stands in a recipe."""
    value = entry.get("default")
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else f"{value:.6g}"
    return f"`{text}`"


def bounds(entry: dict[str, Any]) -> str:
    """Write what values are allowed."""
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    words = (
        ("minimum", "≥ {:g}"),
        ("exclusiveMinimum", "> {:g}"),
        ("maximum", "≤ {:g}"),
        ("exclusiveMaximum", "< {:g}"),
    )
    return ", ".join(word.format(entry[key]) for key, word in words if key in entry)


def section(step: Step) -> str:
    """Write what a step does and its parameters."""
    text = (
        (inspect.getdoc(step.apply) or "")
        .split("\nParameters\n")[0]
        .split("\nReturns\n")[0]
        .split("\nRaises\n")[0]
        .strip()
    )
    schema = step.parameters.model_json_schema()
    parameters = table(schema, defaults=True) if schema.get("properties") else "It has no parameters."
    return f"### `{step.name}`\n\n{text}\n\n{parameters}"


def page() -> str:
    """Write the whole page."""
    steps = all_steps().values()
    tomography = [section(step) for step in steps if step.axis not in PTYCHOGRAPHY]
    ptychography = [section(step) for step in steps if step.axis in PTYCHOGRAPHY]
    return (
        "\n\n".join(
            [
                HEAD,
                TOMOGRAPHY,
                *tomography,
                VIEWS,
                *ptychography,
                SCAN,
                table(ScanTable.model_json_schema(), defaults=False),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    print(page(), end="")
