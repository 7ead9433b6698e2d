"""Recipes of ptychography: the default, chains of algorithms, their order, and the way through TOML and JSON."""

from __future__ import annotations

import json
import tomllib
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas import ptycho, tomo
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.ptycho.model import Iterations, waves_needed
from hpcdaas.recipe import Recipe, default_recipe, parse
from hpcdaas.run import canonical
from hpcdaas.step import Axis

ALGORITHMS = [name for name, step in ptycho.steps().items() if step.axis is Axis.VIEW]


def default() -> Recipe:
    return default_recipe("ptychography")


def names(recipe: Recipe) -> list[str]:
    return [step.name for step in recipe.steps]


def chain(*uses: str) -> Recipe:
    return parse({"name": "x", "step": [{"use": use, "name": f"{use}{i}"} for i, use in enumerate(uses)]})


def test_the_default() -> None:
    """LSQ-ML, then maximum likelihood, and halves for the resolution; nothing of it stores waves."""
    assert names(default()) == ["frames", "start", "lsqml", "ml", "halves"]
    assert default().technique == "ptychography"
    assert default_recipe().technique == "tomography"
    assert not any(waves_needed(s.parameters) for s in default().steps)


def test_all_algorithms_that_are_asked_for() -> None:
    assert set(ALGORITHMS) == {"dm", "raar", "epie", "rpie", "lsqml", "ml"}
    for name in ALGORITHMS:
        parameters = ptycho.steps()[name].parameters()
        assert isinstance(parameters, Iterations)
        assert waves_needed(parameters) == (name in ("dm", "raar"))
        assert names(chain(name)) == [f"{name}0"]


@pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in ("lsqml", "ml")])
def test_an_algorithm_that_is_lacking_is_put_at_its_place(name: str) -> None:
    found = default().override([f"{name}.iterations=7"])
    places = [s.step.place for s in found.steps]
    assert places == sorted(places)
    added = found.steps[names(found).index(name)].parameters
    assert isinstance(added, Iterations)
    assert added.iterations == 7


def test_algorithms_may_come_in_any_order_and_again() -> None:
    for order in permutations(["dm", "lsqml", "ml"]):
        assert names(chain("frames", "start", *order, "halves"))[2:-1] == [f"{u}{i}" for i, u in enumerate(order, 2)]
    twice = chain("lsqml", "lsqml").override(["lsqml1.group=4"])
    assert [s.parameters.model_dump()["group"] for s in twice.steps] == [32, 4]


@pytest.mark.parametrize("order", [p for p in permutations(["frames", "start", "ml", "halves"]) if list(p) != sorted(
    p, key=["frames", "start", "ml", "halves"].index)])  # fmt: skip
def test_any_other_order_is_refused(order: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="The order is"):
        chain(*order)


@pytest.mark.parametrize("use", ["frames", "start", "halves"])
def test_what_is_there_once_only(use: str) -> None:
    steps = sorted([use, use, "ml"], key=["frames", "start", "ml", "halves"].index)
    with pytest.raises(InputError, match="at most one"):
        chain(*steps)


@pytest.mark.parametrize("use", [n for n in tomo.steps() if n not in ("store", "phase")])
def test_techniques_do_not_mix(use: str) -> None:
    for steps in (("lsqml", use), (use, "lsqml")):
        with pytest.raises(InputError, match=f"'{use}{steps.index(use)}' is for tomography"):
            chain(*steps)


def test_every_parameter_is_documented() -> None:
    for name, step in ptycho.steps().items():
        assert issubclass(step.parameters, Parameters)
        assert step.summary.endswith("."), name
        for key, field in step.parameters.model_fields.items():
            assert field.description, f"{name}.{key}"


SETTINGS = st.lists(
    st.one_of(
        st.integers(1, 500).map(lambda v: f"lsqml.iterations={v}"),
        st.floats(0.01, 1).map(lambda v: f"lsqml.damping={v!r}"),
        st.sampled_from(["sparse", "compact"]).map(lambda v: f"lsqml.grouping={v}"),
        st.integers(1, 32).map(lambda v: f"start.modes={v}"),
        st.floats(-1e-3, 1e-3).map(lambda v: f"start.defocus={v!r}"),
        st.integers(8, 512).map(lambda v: f"frames.size={v}"),
        st.floats(1e-6, 1).map(lambda v: f"scan.focus_distance={v!r}"),
        st.sampled_from(["auto", "+y-x", "-x-y"]).map(lambda v: f"scan.position_orientation={v}"),
        st.just("scan.positions=other.h5:/a/b um"),
        st.just("scan.paths.mask=none"),
        st.just("start.diameter=3e-6"),
        st.just("dm.iterations=20"),
        st.just("ml.noise=poisson"),
    ),
    max_size=6,
)


@given(SETTINGS)
def test_neither_toml_nor_json_loses_anything(settings: list[str]) -> None:
    recipe = default().override(settings)
    for again in (parse(tomllib.loads(recipe.toml())), parse(_of_json(recipe))):
        assert canonical(again.resolved()) == canonical(recipe.resolved())
        assert again.toml() == recipe.toml()


def _of_json(recipe: Recipe) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(canonical(recipe.resolved()))
    return content
