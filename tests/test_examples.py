"""The example notebooks run as they are, and what they show is right; on a SLURM cluster: slurm/test_pools.py."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import h5py
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import hpcdaas
from hpcdaas.catalog.embedded import EmbeddedCatalog

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("tomography", "ptychography")
#: Seconds for one cell, on a machine that has other things to do too.
CELL = 300


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def execute(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a notebook in a folder, with a catalogue and settings of its own; give all that its cells put out."""
    for kind in ("DATA", "STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(folder / kind))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    book = read(name)
    NotebookClient(book, timeout=CELL, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in book.cells for output in cell.get("outputs", [])]


def text(outputs: list[Any], stream: str = "stdout") -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == stream)


def shown(outputs: list[Any], kind: str) -> list[str]:
    """Give what cells show, of one MIME type."""
    return [output.data[kind] for output in outputs if "data" in output and kind in output.data]


def number(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    assert found, said
    return float(found[1])


def check_pictures(outputs: list[Any], count: int) -> None:
    """All pictures, those in HTML too, show something."""
    pictures = shown(outputs, "image/png")
    pictures += [word for html in shown(outputs, "text/html") for word in re.findall(r"base64,([^\"]+)", html)]
    assert len(pictures) == count
    for picture in pictures:
        with Image.open(io.BytesIO(b64decode(picture))) as image:
            assert min(image.size) > 80
            assert np.asarray(image.convert("L")).std() > 15


def check_the_end(outputs: list[Any], folder: Path) -> None:
    """The report is there, nobody works any more, and no key is left."""
    report = Path(text(outputs).splitlines()[-1])
    assert report.is_file()
    assert report.is_relative_to(folder)
    assert not list((folder / "STATE").rglob("key*"))


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_kept_without_outputs_and_begin_with_what_they_do(name: str) -> None:
    book = read(name)
    nbformat.validate(book)
    assert book.cells[0].cell_type == "markdown"
    assert book.cells[0].source.startswith("# ")
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells)


def test_tomography(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = execute("tomography", tmp_path, monkeypatch)
    said = text(outputs)
    assert "no cluster here" in said
    assert number(r"rotation centre: ([\d.]+)", said) == pytest.approx(127.5 + 7.3, abs=0.1)  # shift of the simulation
    assert number(r"true: \S+ error of the slices: ([\d.]+) %", said) < 8
    errors = [number(rf"{name}: error of the slices ([\d.]+) %", said) for name in ("ramp", "shepp", "parzen")]
    assert errors == sorted(errors, reverse=True)  # each is smoother than the one before
    assert "ramp ended 100%, shepp ended 100%, parzen ended 100%" in said
    assert "scan.nxs was cancelled." in said
    check_pictures(outputs, 4)
    check_the_end(outputs, tmp_path)
    check_same(tmp_path, tmp_path / "tomography" / "scan.nxs", "smooth", "entry/data/data", 4)


def test_ptychography(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = execute("ptychography", tmp_path, monkeypatch)
    said = text(outputs)
    assert "no cluster here" in said
    # the pixel of the object, λz/(NΔ): nothing is sharper
    pixel = 1e9 * 1.23984198e-6 / 6200 * 1.0 / (64 * 75e-6)
    assert pixel - 1 < number(r"resolution: ([\d.]+) nm", said) < 1.5 * pixel
    assert number(r"error of the object: ([\d.]+) %", said) < 3
    steps = [int(word) for word in re.findall(r"(?:queued|running|ended) (\d+)%  ", said)]
    assert steps == sorted(steps)
    assert steps[-1] == 100
    assert re.search(r"scan.cxi with 'sharp': running, \d+%", said)
    assert "scan.cxi was cancelled." in said
    check_pictures(outputs, 3)
    check_the_end(outputs, tmp_path)
    check_same(tmp_path, tmp_path / "ptychography" / "scan.cxi", "recipe", "entry/object/data", 1)


def check_same(folder: Path, scan: Path, recipe: str, data: str, count: int) -> None:
    """The result is that of the same run without a pool, and so many are in the catalogue."""
    direct = hpcdaas.reconstruct(
        scan, hpcdaas.load_recipe(scan.parent / f"{recipe}.toml"), folder / "direct.h5", register_result=False
    )
    (path,) = scan.parent.glob(f"*_{direct.run[:8]}.h5")
    with h5py.File(path) as one, h5py.File(direct.path) as other:
        np.testing.assert_allclose(one[data][:], other[data][:], rtol=1e-4, atol=1e-4 * np.abs(other[data][:]).max())
    registered = EmbeddedCatalog(folder / "DATA" / "hpcdaas" / "catalog.db").datasets(type="derived")
    assert len(registered) == count
