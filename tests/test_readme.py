"""What the README and its neighbours say works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hpcdaas.bench.truth import object_error
from hpcdaas.cli import demo_ptychography, demo_tomography
from hpcdaas.ptycho.simulate import Simulation
from hpcdaas.recipe import parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def lines() -> list[str]:
    """All shell lines but that which makes the environment of the reader, which is here already."""
    return [line for block in blocks("sh") for line in block.splitlines() if not line.startswith("source ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo was made, and the README's recipe written."""
    place = tmp_path_factory.mktemp("readme")
    for block in blocks("toml"):
        (place / block.splitlines()[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    done = run("hpcdaas demo", place)
    assert done.returncode == 0, done.stderr
    return place


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_DATA_HOME": str(folder / "data")}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """What the demo says when it is done once more."""
    return run("hpcdaas demo", folder).stdout


def number(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    assert found, said
    return float(found.group(1))


def test_the_demo_finds_what_was_put_in(folder: Path, said: str) -> None:
    assert said.count("was there already") == 2
    found, true = re.search(r"rotation centre \(columns\)\s+([\d.]+)\s+([\d.]+)", said).groups()  # type: ignore[union-attr]
    assert float(found) == pytest.approx(float(true), abs=0.2)
    found, true = re.search(r"attenuation .*?(\d+)\s+(\d+)\n", said).groups()  # type: ignore[union-attr]
    assert float(found) == pytest.approx(float(true), rel=0.01)
    assert number(r"slices \(relative L2\)\s+([\d.]+) %", said) < 10
    assert (folder / "demo" / "demo_report" / "demo.html").is_file()
    assert run("hpcdaas catalog list --catalog demo/catalog.db", folder).stdout.count("derived") == 2


def test_the_demo_of_ptychography_finds_the_object(folder: Path, said: str) -> None:
    assert number(r"object \(relative L2\)\s+([\d.]+) %", said) < 5
    assert number(r"half a period \(nm\)\s+([\d.]+)", said) < 25  # a pixel is 20.8 nm
    assert (folder / "demo" / "ptycho_report" / "ptycho.html").is_file()


def test_a_changed_recipe_of_ptychography_is_no_fault(folder: Path) -> None:
    """What can't be held against the truth any more is said to be unknown."""
    for change in ("frames.size=96", "scan.frames=0:200", "scan.position_orientation=-y-x"):
        line = (
            f"hpcdaas reconstruct demo/ptycho.cxi -r demo/ptycho.toml -o changed.h5 --overwrite --preview -s {change}"
        )
        assert run(line, folder).returncode == 0
        assert object_error(folder / "changed.h5", Simulation()) is None, change


@pytest.mark.parametrize("line", lines())
def test_shell_lines(line: str, folder: Path) -> None:
    if line.startswith("hpcdaas reconstruct") and not re.search("--rows|--preview|volume.h5|ptycho", line):
        line += " --rows 20:28"  # enough to see that it works
    if line.startswith("hpcdaas reconstruct demo/ptycho.cxi") and "--preview" not in line:
        line += " -s lsqml.iterations=3 -s ml.iterations=2"
    done = run(line, folder)
    assert done.returncode == 0, done.stderr
    assert "fault of hpcdaas" not in done.stderr


def test_python(folder: Path) -> None:
    (folder / "example.py").write_text("\n".join(blocks("python")), encoding="utf-8")
    done = run("python example.py", folder)
    assert done.returncode == 0, done.stderr
    assert "from_python.h5" in done.stdout


def test_recipes_are_accepted() -> None:
    for text in (*blocks("toml"), demo_tomography.RECIPE, demo_ptychography.RECIPE):
        parse(tomllib.loads(text))


def test_the_two_commands_are_there() -> None:
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert f"\n{target}:" in made


@pytest.mark.parametrize("page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


def test_the_page_of_steps_is_up_to_date() -> None:
    made = subprocess.run([sys.executable, ROOT / "docs" / "make_steps.py"], capture_output=True, text=True, check=True)
    written = (ROOT / "docs" / "steps.md").read_text(encoding="utf-8")
    assert made.stdout == written, "run 'make docs' and commit docs/steps.md"
