"""What a preview does of a recipe: three slices, or a few iterations of the first algorithm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpcdaas.io import open_scan
from hpcdaas.recipe import Recipe
from hpcdaas.scan import parse_slice
from hpcdaas.step import Axis

#: Iterations of a preview of ptychography.
FEW = 15


def preview_of(file: Path, recipe: Recipe) -> Recipe:
    """Give the recipe of a preview.

    Parameters
    ----------
    file : Path
        The raw scan.
    recipe : Recipe

    Raises
    ------
    InputError
        If the scan is refused.
    """
    return _few_iterations(recipe) if recipe.technique == "ptychography" else _three_rows(file, recipe)


def _few_iterations(recipe: Recipe) -> Recipe:
    """Keep the first algorithm, with a few iterations."""
    first = recipe.only(Axis.VIEW)[0]
    kept = tuple(s for s in recipe.steps if s.step.axis in (Axis.FRAME, Axis.START) or s is first)
    few = min(FEW, getattr(first.parameters, "iterations", FEW))
    return replace(recipe, steps=kept).override([f"{first.name}.iterations={few}"])


def _three_rows(file: Path, recipe: Recipe) -> Recipe:
    """Choose three rows, evenly over those that are asked for."""
    scan = open_scan(file, recipe.scan)
    wanted = parse_slice(recipe.scan.rows, scan.shape[1])
    height = wanted.stop - wanted.start
    step = max(1, height // 4)
    first = wanted.start + (step if height >= 4 else 0)
    last = min(first + 2 * step + 1, wanted.stop)
    return recipe.override([f'scan.rows="{first}:{last}:{step}"'])
