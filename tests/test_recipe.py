"""Recipes: defaults, overrides, what is refused, and that nothing is lost on the way through TOML and JSON."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas import tomo
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.recipe import default_recipe, load_recipe, parse
from hpcdaas.run import canonical

DEFAULT = ["flatfield", "minus_log", "center", "fbp"]


def names(recipe: Any) -> list[str]:
    return [step.name for step in recipe.steps]


def parameters(recipe: Any, name: str) -> Any:
    return next(step.parameters for step in recipe.steps if step.name == name)


def test_the_default_alters_no_value_unasked() -> None:
    recipe = default_recipe()
    assert names(recipe) == DEFAULT
    fbp = parameters(recipe, "fbp")
    assert (fbp.filter, fbp.padding, fbp.eps) == ("ramp", 2.0, 1e-3)
    assert recipe.resolved()["scan"] == {}


def test_an_empty_recipe_beside_its_steps() -> None:
    recipe = parse({"name": "x", "step": [{"use": "fbp"}]})
    assert names(recipe) == ["fbp"]


@pytest.mark.parametrize("name", [n for n, s in tomo.steps().items() if n not in (*DEFAULT, "backproject", "extended")])
def test_a_step_that_is_lacking_is_put_at_its_place(name: str) -> None:
    step = tomo.steps()[name]
    schema = step.parameters.model_json_schema()["properties"]
    key = next(iter(schema))
    value = schema[key].get("default", 100)
    recipe = default_recipe().override([f"{name}.{key}={json.dumps(value)}"])
    places = [s.step.place for s in recipe.steps]
    assert name in names(recipe)
    assert places == sorted(places)


def test_a_second_step_that_makes_slices_is_refused() -> None:
    with pytest.raises(InputError, match="makes slices"):
        default_recipe().override(["backproject.filter=hann"])


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3.0), ("3.5", 3.5), ("2e0", 2.0), (" 4 ", 4.0)],
)
def test_numbers_are_read_as_in_toml(text: str, value: float) -> None:
    assert parameters(default_recipe().override([f"fbp.padding={text}"]), "fbp").padding == value


def test_words_need_no_quotes() -> None:
    for text in ("hann", '"hann"', "'hann'"):
        assert parameters(default_recipe().override([f"fbp.filter={text}"]), "fbp").filter == "hann"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("3.65 mm", 3.65e-3), ("3.65e-3", 3.65e-3), ("0.65 um", 0.65e-6), ("0.65 µm", 0.65e-6), ('"2 nm"', 2e-9)],
)
def test_lengths(setting: str, value: float) -> None:
    assert default_recipe().override([f"scan.pixel_size={setting}"]).scan.pixel_size == pytest.approx(value)


def test_energies_and_angles() -> None:
    recipe = default_recipe().override(["scan.energy=25 keV", 'scan.angle_range=[0, "3.14159265 rad"]'])
    assert recipe.scan.energy == pytest.approx(25e3)
    assert recipe.scan.angle_range == pytest.approx((0, 180), abs=1e-6)


def test_overrides_add_up_and_the_last_one_wins() -> None:
    recipe = default_recipe().override(["fbp.eps=1e-4", "fbp.padding=3", "fbp.eps=1e-5", "scan.center=3"])
    fbp = parameters(recipe.override(["fbp.padding=4", "scan.paths.data=/a", "scan.paths.angles=/b"]), "fbp")
    assert (fbp.eps, fbp.padding) == (1e-5, 4)
    paths = recipe.override(["scan.paths.data=/a", "scan.paths.angles=/b"]).scan
    assert (dict(paths.paths), paths.center) == ({"data": "/a", "angles": "/b"}, 3)


def test_values_hold_equal_signs() -> None:
    assert default_recipe().override(["scan.flats=a=b.h5:/x"]).scan.flats == "a=b.h5:/x"


def test_named_steps_are_told_apart() -> None:
    recipe = parse(
        {
            "name": "x",
            "step": [{"use": "stripes", "name": "first"}, {"use": "stripes", "name": "second"}, {"use": "fbp"}],
        }
    )
    other = recipe.override(["second.method=large"])
    assert parameters(other, "second").method == "large"
    assert parameters(other, "first") == parameters(recipe, "first")


@pytest.mark.parametrize(
    ("setting", "message", "hint"),
    [
        ("fbq.eps=1", "no step 'fbq'", "'fbp'"),
        ("flatfeild.average=mean", "no step 'flatfeild'", "'flatfield'"),
        ("fbp.epps=1", "no parameter 'epps'", "'eps'"),
        ("scan.centr=1", "no parameter 'centr'", "'center'"),
        ("scam.center=1", "no step 'scam'", "'scan'"),
    ],
)
def test_the_nearest_name_is_named(setting: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        default_recipe().override([setting])
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_recipes_are_data(tmp_path: Path) -> None:
    """Nothing in them is run or expanded."""
    recipe = default_recipe().override(["scan.flats=$HOME/`id`/{name}/~/x.h5", "scan.positions=__import__('os')"])
    assert recipe.scan.flats == "$HOME/`id`/{name}/~/x.h5"
    assert recipe.scan.positions == "__import__('os')"


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", 3])
def test_names_can_not_leave_the_folder(name: Any) -> None:
    with pytest.raises(InputError, match="name"):
        parse({"name": name, "step": [{"use": "fbp"}]})


def test_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "fine.toml").write_text("[[step]]\nuse = 'fbp'")
    assert load_recipe(tmp_path / "fine.toml").name == "fine"
    (tmp_path / "fine.toml").write_text("name = 'other'\n[[step]]\nuse = 'fbp'")
    assert load_recipe(tmp_path / "fine.toml").name == "other"


# Through TOML and JSON

SETTINGS = st.lists(
    st.one_of(
        st.floats(2, 8).map(lambda v: f"fbp.padding={v!r}"),
        st.floats(1e-5, 1e-2).map(lambda v: f"fbp.eps={v!r}"),
        st.sampled_from(["ramp", "shepp", "hann", "cosine", "parzen"]).map(lambda v: f"fbp.filter={v}"),
        st.floats(0, 4000).map(lambda v: f"scan.center={v!r}"),
        st.floats(1e-9, 1e-3).map(lambda v: f"scan.pixel_size={v!r}"),
        st.lists(st.floats(-720, 720), min_size=2, max_size=5).map(lambda v: f"scan.angles={v}"),
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(
            lambda v: f"scan.flats={json.dumps(v, ensure_ascii=False)}"
        ),
        st.sampled_from(["0:10", "5:", ":7", "1:9:3"]).map(lambda v: f"scan.rows={v}"),
        st.just("scan.paths.data=/entry/data"),
        st.just("store.dtype=uint16"),
        st.just("phase.delta_beta=100"),
        st.just("stripes.method=large"),
    ),
    max_size=6,
)


@given(SETTINGS)
def test_toml_gives_the_same_recipe_back(settings: list[str]) -> None:
    recipe = default_recipe().override(settings)
    again = parse(tomllib.loads(recipe.toml()))
    assert canonical(again.resolved()) == canonical(recipe.resolved())
    assert again.toml() == recipe.toml()


@given(SETTINGS)
def test_json_gives_the_same_recipe_back(settings: list[str]) -> None:
    recipe = default_recipe().override(settings)
    again = parse(json.loads(canonical(recipe.resolved())))
    assert canonical(again.resolved()) == canonical(recipe.resolved())


def test_every_parameter_is_documented() -> None:
    for name, step in tomo.steps().items():
        assert issubclass(step.parameters, Parameters)
        assert step.summary.endswith("."), name
        for key, field in step.parameters.model_fields.items():
            assert field.description, f"{name}.{key}"
