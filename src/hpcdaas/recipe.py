"""Recipes: the steps with their parameters, as TOML. Data only: nothing in them is run or expanded."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from hpcdaas import ptycho, tomo
from hpcdaas.errors import InputError, nearest
from hpcdaas.params import Parameters, explain
from hpcdaas.scan import ScanTable
from hpcdaas.step import Axis, Step

P = TypeVar("P", bound=Parameters)

#: The default for tomography alters no value unasked.
DEFAULT_TOMOGRAPHY = ("flatfield", "minus_log", "center", "fbp")
#: That for ptychography converges on ordinary far-field data, and says how sharp the object is.
DEFAULT_PTYCHOGRAPHY = ("frames", "start", "lsqml", "ml", "halves")
#: Axes of the steps of ptychography.
PTYCHOGRAPHY = (Axis.FRAME, Axis.START, Axis.VIEW, Axis.QUALITY)


@dataclass(frozen=True)
class RecipeStep:
    """A step with its parameters, under the name by which it is addressed."""

    step: Step
    name: str
    parameters: Parameters


@dataclass(frozen=True)
class Recipe:
    """Steps in their order, and what is known of the scan.

    Attributes
    ----------
    name : str
        Becomes part of result names.
    scan : ScanTable
        What the file lacks; wins over the file.
    steps : tuple of RecipeStep
    """

    name: str
    scan: ScanTable
    steps: tuple[RecipeStep, ...]

    @property
    def technique(self) -> str:
        """``tomography`` or ``ptychography``: what its steps are for."""
        return "ptychography" if self.only(*PTYCHOGRAPHY) else "tomography"

    def resolved(self) -> dict[str, Any]:
        """Give the whole recipe, defaults included, as JSON-able values: what the run's identity is made of."""
        return {
            "name": self.name,
            "scan": self.scan.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
            "step": [{"use": s.step.name, "name": s.name, **s.parameters.model_dump(mode="json")} for s in self.steps],
        }

    def toml(self) -> str:
        """Write the whole recipe, defaults included, as TOML."""
        lines = [f"name = {_toml(self.name)}"]
        tables = [("[scan]", self.scan.model_dump(mode="json", exclude_none=True, exclude_defaults=True))]
        for s in self.steps:
            head = {"use": s.step.name} | ({"name": s.name} if s.name != s.step.name else {})
            tables.append(("[[step]]", head | s.parameters.model_dump(mode="json", exclude_none=True)))
        for title, content in tables:
            if content:
                lines += ["", title, *(f"{key} = {_toml(value)}" for key, value in content.items())]
        return "\n".join(lines) + "\n"

    def only(self, *axes: Axis) -> list[RecipeStep]:
        """Give the steps along some axes, in their order."""
        return [s for s in self.steps if s.step.axis in axes]

    def override(self, settings: Iterable[str]) -> Recipe:
        """Change parameters.

        Parameters
        ----------
        settings : iterable of str
            ``NAME.parameter=value`` or ``scan.key=value``; values as in TOML, other text as a string.

        Raises
        ------
        InputError
            If a name is unknown or ambiguous, or a value is refused.
        """
        recipe = self
        for setting in settings:
            target, equals, text = setting.partition("=")
            name, dot, key = target.strip().partition(".")
            if not equals or not dot:
                raise InputError(f"-s {setting} can't be read.", "Write -s NAME.parameter=value.")
            value = _value(text.strip())
            recipe = recipe._with_scan(key, value) if name == "scan" else recipe._with(name, key, value)
        _check_order(recipe)
        return recipe

    def _with_scan(self, key: str, value: Any) -> Recipe:
        table = self.scan.model_dump(exclude_unset=True)
        head, dot, rest = key.partition(".")
        if dot and head != "paths":
            raise InputError(f"[scan] has no '{key}'.", nearest(head, ScanTable.model_fields))
        table[head] = {**table.get(head, {}), rest: value} if dot else value
        return replace(self, scan=_parameters(ScanTable, table, "[scan]"))

    def _with(self, name: str, key: str, value: Any) -> Recipe:
        found = [i for i, s in enumerate(self.steps) if s.name == name]
        if len(found) > 1:
            raise InputError(
                f"The recipe has {len(found)} steps '{name}'.", "Give each a name of its own in the recipe."
            )
        if found:
            old = self.steps[found[0]]
            given = old.parameters.model_dump(exclude_unset=True) | {key: value}
            new = replace(old, parameters=_parameters(old.step.parameters, given, f"step '{name}'"))
            return replace(self, steps=(*self.steps[: found[0]], new, *self.steps[found[0] + 1 :]))
        step = _known(name)
        called = [s.name for s in self.steps if s.step is step]
        if called:
            raise InputError(
                f"The recipe's step of the kind '{name}' is called '{called[0]}'.", f"-s {called[0]}.{key}=..."
            )
        new = RecipeStep(step, name, _parameters(step.parameters, {key: value}, f"step '{name}'"))
        place = next((i for i, s in enumerate(self.steps) if s.step.place > step.place), len(self.steps))
        return replace(self, steps=(*self.steps[:place], new, *self.steps[place:]))


def default_recipe(technique: str = "tomography") -> Recipe:
    """Give the recipe that is used where none is given for a scan of this technique."""
    names = DEFAULT_PTYCHOGRAPHY if technique == "ptychography" else DEFAULT_TOMOGRAPHY
    return parse({"name": "default", "step": [{"use": name} for name in names]})


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe file.

    Raises
    ------
    InputError
        If it isn't there, is no TOML, or holds unknown or refused keys.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"The recipe {path} can't be read: {reason}.") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The recipe {path} is no TOML: {error}.") from error
    return parse({"name": path.stem, **content})


def parse(content: Mapping[str, Any]) -> Recipe:
    """Check a recipe's content.

    Raises
    ------
    InputError
        If it holds unknown or refused keys, or no steps that make slices.
    """
    for key in content:
        if key not in ("name", "scan", "step"):
            raise InputError(f"A recipe has no '{key}'.", nearest(key, ("name", "scan", "step")))
    name, tables, scan = content.get("name", ""), content.get("step", []), content.get("scan", {})
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise InputError(f"The recipe's name {name!r} can't be part of a file's name.")
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables) or not isinstance(scan, dict):
        raise InputError("A recipe's steps are written as [[step]] tables, and [scan] is a table.")
    recipe = Recipe(name, _parameters(ScanTable, scan, "[scan]"), tuple(_step(table) for table in tables))
    _check_order(recipe)
    return recipe


def _step(table: Mapping[str, Any]) -> RecipeStep:
    use = table.get("use")
    if not isinstance(use, str):
        raise InputError("A step of the recipe lacks its 'use'.", f"Steps: {', '.join(all_steps())}.")
    step = _known(use)
    name = table.get("name", use)
    if not isinstance(name, str) or not name or "." in name or name == "scan":
        raise InputError(f"{name!r} can't be the name of a step.")
    given = {key: value for key, value in table.items() if key not in ("use", "name")}
    return RecipeStep(step, name, _parameters(step.parameters, given, f"step '{name}'"))


def all_steps() -> dict[str, Step]:
    """Give the steps of all techniques by name."""
    return {**tomo.steps(), **ptycho.steps()}


def _known(name: str) -> Step:
    if name in tomo.steps():  # without those of the other technique, which take time to import
        return tomo.steps()[name]
    known = all_steps()
    if name not in known:
        raise InputError(f"There is no step '{name}'.", nearest(name, [*known, "scan"]))
    return known[name]


def _check_order(recipe: Recipe) -> None:
    """Refuse recipes that make nothing, mix techniques, or go on after they are done."""
    if recipe.technique == "ptychography":
        _check_views(recipe)
        return
    axes = [s.step.axis for s in recipe.steps]
    if axes.count(Axis.SLICE) != 1:
        raise InputError(
            f"A tomography recipe has one step that makes slices, this one has {axes.count(Axis.SLICE)}.",
            f"Known: {', '.join(n for n, s in tomo.steps().items() if s.axis is Axis.SLICE)}.",
        )
    if any(axis is not Axis.RESULT for axis in axes[axes.index(Axis.SLICE) + 1 :]) or axes.count(Axis.RESULT) > 1:
        raise InputError("After the step that makes slices only one 'store' may follow.")


def _check_views(recipe: Recipe) -> None:
    """Refuse recipes of ptychography that lack an algorithm, or whose steps are in no order that works."""
    other = next((s for s in recipe.steps if s.step.axis not in PTYCHOGRAPHY), None)
    if other is not None:
        raise InputError(
            f"The step '{other.name}' is for tomography, others of the recipe for ptychography.", "Leave one kind out."
        )
    if not recipe.only(Axis.VIEW):
        raise InputError(
            "A ptychography recipe needs an algorithm.",
            f"Known: {', '.join(n for n, s in ptycho.steps().items() if s.axis is Axis.VIEW)}.",
        )
    ranks = [PTYCHOGRAPHY.index(s.step.axis) for s in recipe.steps]
    if ranks != sorted(ranks) or any(len(recipe.only(axis)) > 1 for axis in PTYCHOGRAPHY if axis is not Axis.VIEW):
        raise InputError("The order is: at most one 'frames', at most one 'start', algorithms, at most one 'halves'.")


def _parameters(model: type[P], given: Mapping[str, Any], where: str) -> P:
    try:
        return model(**given)
    except ValidationError as error:
        raise explain(error, where, model) from None


def _value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if isinstance(value, date | time) else value  # 10:50:10 is rows, not ten to eleven


def _toml(value: Any) -> str:
    """Write a value as TOML: as JSON, but for tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
