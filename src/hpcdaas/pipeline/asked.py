"""Which recipe is meant: a file and settings, or the default for what the scan is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpcdaas.io.detect import technique_of
from hpcdaas.recipe import Recipe, default_recipe, load_recipe


def recipe_for(file: Path, recipe: Path | None = None, settings: Sequence[str] = ()) -> Recipe:
    """Put a recipe together.

    Parameters
    ----------
    file : Path
        The raw scan: where no recipe is named, its technique decides.
    recipe : Path, optional
        The recipe's file.
    settings : sequence of str, optional
        ``NAME.parameter=value`` or ``scan.key=value``.

    Raises
    ------
    InputError
        If the scan, the recipe or a setting is refused.
    """
    if recipe is not None:
        return load_recipe(recipe).override(settings)
    of_scan = [setting for setting in settings if setting.lstrip().startswith("scan.")]
    return default_recipe(technique_of(file, default_recipe().override(of_scan).scan)).override(settings)
