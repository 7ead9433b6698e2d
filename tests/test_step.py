"""Steps of other packages: entry points, and the worked example with Numba."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "numba_step"
needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs Numba: pip install numba")

PLUGIN = """
from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
class Nothing(Parameters):
    pass
def nothing(block, parameters):
    "Do nothing."
STEP = Step(name="{name}", apply=nothing, parameters=Nothing, axis=Axis.POINT, place=33)
"""


def install(folder: Path, module: str, code: str) -> None:
    """Lay out a package as pip does."""
    (folder / f"{module}.py").write_text(code)
    told = folder / f"{module}-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(f"[hpcdaas.tomo]\n{module} = {module}:STEP\n")


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with a folder of packages, in a process of its own."""
    more = os.environ | environment | {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=more, check=False)


NAMES = "import hpcdaas.tomo, json; print(json.dumps(list(hpcdaas.tomo.steps())))"


def test_a_package_adds_a_step_at_its_place(tmp_path):
    before = json.loads(run(NAMES, tmp_path).stdout)
    install(tmp_path, "plugin", PLUGIN.format(name="nothing"))
    after = json.loads(run(NAMES, tmp_path).stdout)
    assert set(after) - set(before) == {"nothing"}
    assert [name for name in after if name != "nothing"] == before
    recipe = 'from hpcdaas.recipe import load_recipe; print([s.name for s in load_recipe("r.toml").steps])'
    (tmp_path / "r.toml").write_text('[[step]]\nuse = "flatfield"\n[[step]]\nuse = "nothing"\n[[step]]\nuse = "fbp"\n')
    told = run(recipe.replace("r.toml", str(tmp_path / "r.toml")), tmp_path)
    assert "'nothing'" in told.stdout, told.stderr


@pytest.mark.parametrize(("code", "message"), [(PLUGIN.format(name="fbp"), "is taken"), ("import no_such", "imported")])
def test_a_package_that_is_wrong_is_named(tmp_path, code, message):
    install(tmp_path, "plugin", code)
    told = run(NAMES, tmp_path)
    assert told.returncode != 0
    assert message in told.stderr
    assert "plugin:STEP" in told.stderr


def test_the_example_declares_its_step():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["hpcdaas.tomo"] == {"median3": "median3:STEP"}


CHECK = """
import numpy as np, sys
sys.path.insert(0, {example!r})
import median3
rng = np.random.default_rng(0)
rows = rng.random((5, 200)).astype(np.float32)
middle = np.median(np.stack([rows[:, :-2], rows[:, 1:-1], rows[:, 2:]]), axis=0)
expected = rows.copy()
expected[:, 1:-1] = np.where(np.abs(rows[:, 1:-1] - middle) > np.float32(0.25), middle, rows[:, 1:-1])
assert (expected != rows).sum() > 100
median3.{function}(rows, 0.25)
np.testing.assert_array_equal(rows, expected)
"""


@needs_numba
@pytest.mark.parametrize(
    ("function", "environment"), [("filter_rows", {}), ("filter_rows_on_gpu", {"NUMBA_ENABLE_CUDASIM": "1"})]
)
def test_the_examples_filter_on_processor_and_in_numbas_simulator(tmp_path, function, environment):
    told = run(CHECK.format(example=str(EXAMPLE), function=function), tmp_path, **environment)
    assert told.returncode == 0, told.stderr


@needs_numba
def test_a_recipe_uses_the_example(tmp_path):
    install(tmp_path, "median3", (EXAMPLE / "median3.py").read_text())
    code = """
import numpy as np
from hpcdaas import tomo
from hpcdaas.backend import get_backend
from hpcdaas.tomo.block import Block
data = np.zeros((3, 2, 9), np.float32)
data[1, 1, 4] = 5
block = Block(data, np.zeros(3), get_backend(), np.zeros((0, 2, 9)), [], 0, np.arange(2))
step = tomo.steps()["median3"]
step.apply(block, step.parameters())
assert not block.data.any()
"""
    told = run(code, tmp_path)
    assert told.returncode == 0, told.stderr
