"""The result file is what the contract says: NeXus, plain, described, in the type that was asked for."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

import hpcdaas
from command_line import CommandLine, Shape, everything, voxels
from hpcdaas.errors import InputError
from hpcdaas.io.nexus_result import ALIGNMENT, existing_run, read_summary

SHAPE = Shape(rows=20, columns=130, center=66.2)
PIXEL = 0.65e-6


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SHAPE.write(tmp_path_factory.mktemp("scan") / "scan.nxs", pixel_size=PIXEL)


@pytest.fixture(scope="module")
def result(shell: CommandLine, scan: Path) -> dict[str, Any]:
    return shell.reconstruct(scan, scan.parent / "result.h5", "-s", "fbp.filter=hann")


@pytest.fixture
def file(result: dict[str, Any]) -> h5py.File:
    with h5py.File(result["result"], "r") as opened:
        yield opened


def test_defaults_lead_to_the_picture(file: h5py.File) -> None:
    node: Any = file
    while "default" in node.attrs:
        node = node[node.attrs["default"]]
    assert node.name == "/entry/data"
    assert node.attrs["NX_class"] == "NXdata"
    assert node[node.attrs["signal"]].shape == (20, 130, 130)
    assert list(node.attrs["axes"]) == ["z", "y", "x"]
    for number, axis in enumerate("zyx"):
        assert node.attrs[f"{axis}_indices"] == number
        assert node[axis].shape == (node["data"].shape[number],)


def test_classes(file: h5py.File) -> None:
    classes = {"/": "NXroot", "entry": "NXentry", "entry/process": "NXprocess", "entry/data": "NXdata"}
    assert {path: file[path].attrs["NX_class"] for path in classes} == classes
    assert file["entry/definition"].asstr()[()] == "NXtomoproc"


def test_process(file: h5py.File, result: dict[str, Any], scan: Path) -> None:
    process = {name: item[()] for name, item in file["entry/process"].items()}
    process = {k: v.decode() if isinstance(v, bytes) else v for k, v in process.items()}
    assert process["program"] == "hpcdaas"
    assert process["version"] == hpcdaas.__version__
    assert process["run"] == result["run"]
    assert re.fullmatch("[0-9a-f]{64}", process["run"])
    assert re.fullmatch("[0-9a-f]{64}", process["raw_identity"])
    assert process["raw_file"] == str(scan)
    assert json.loads(process["raw_files"]) == [str(scan)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", process["date"])
    age = datetime.now(UTC) - datetime.fromisoformat(process["date"])
    assert abs(age.total_seconds()) < 600
    steps = json.loads(process["recipe"])["step"]
    assert [step["use"] for step in steps] == ["flatfield", "minus_log", "center", "fbp"]
    assert {"filter": "hann", "padding": 2.0, "eps": 1e-3}.items() <= steps[-1].items()


def test_recipe_in_the_file_gives_the_same_run(shell: CommandLine, file: h5py.File, scan: Path, tmp_path: Path) -> None:
    recipe = hpcdaas.recipe.parse(json.loads(file["entry/process/recipe"][()]))
    (tmp_path / "again.toml").write_text(recipe.toml())
    again = shell.reconstruct(scan, tmp_path / "again.h5", "-r", tmp_path / "again.toml")
    assert again["run"] == file["entry/process/run"].asstr()[()]


def test_axes_and_units(file: h5py.File) -> None:
    data = file["entry/data"]
    assert data["data"].attrs["units"] == "1/m"
    assert {data[axis].attrs["units"] for axis in "xyz"} == {"m"}
    assert np.allclose(data["x"], (np.arange(130) - 64.5) * PIXEL)
    assert np.allclose(data["y"], (np.arange(130) - 64.5) * PIXEL)
    assert np.allclose(data["z"], np.arange(20) * PIXEL)


def test_every_number_has_units(file: h5py.File) -> None:
    lacking = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.dtype.kind in "fiu" and "units" not in node.attrs:
            lacking.append(name)

    file.visititems(visit)
    assert lacking == []
    expected = {"sinogram_raw": "counts", "sinogram": "1", "center_trials": "1/m", "cut_x": "1/m"}
    expected |= {"center_values": "pixel"}
    assert {name: item.attrs["units"] for name, item in file["entry/diagnostics"].items()} == expected


def test_without_pixel_size_everything_is_per_pixel(shell: CommandLine, tmp_path: Path) -> None:
    shell.reconstruct(SHAPE.write(tmp_path / "scan.nxs"), tmp_path / "result.h5", "--rows", "4:12:3")
    with h5py.File(tmp_path / "result.h5") as file:
        data = file["entry/data"]
        assert data["data"].attrs["units"] == "1/pixel"
        assert {data[axis].attrs["units"] for axis in "xyz"} == {"pixel"}
        assert data["z"][:].tolist() == [4, 7, 10]
        assert data["x"][0] == -64.5


def test_plain_and_contiguous(file: h5py.File, result: dict[str, Any]) -> None:
    data = file["entry/data/data"]
    assert data.dtype == np.float32
    assert (data.chunks, data.compression, data.external, data.is_virtual) == (None, None, None, False)
    offset = data.id.get_offset()
    assert offset % ALIGNMENT == 0  # it is larger than a block
    stored = np.fromfile(result["result"], "<f4", data.size, offset=offset)
    assert np.array_equal(stored.reshape(data.shape), data[()])

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            assert not node.is_virtual
            assert node.external is None

    file.visititems(visit)
    assert all(isinstance(file["entry"].get(name, getlink=True), h5py.HardLink) for name in file["entry"])


def test_mode_and_size(file: h5py.File, result: dict[str, Any]) -> None:
    status = Path(result["result"]).stat()
    assert status.st_mode & 0o777 == 0o660
    # what was claimed for the description and not used was given back
    assert status.st_size < 2 * ALIGNMENT + file["entry/data/data"].nbytes + (1 << 20)


def test_metrics(file: h5py.File, result: dict[str, Any]) -> None:
    center = file["entry/metrics/center"]
    assert abs(center[()] - SHAPE.center) < 0.1
    assert center.attrs["units"] == "pixel"
    assert file["entry/metrics/center_confidence"][()] == result["center_confidence"] > 0.5
    assert read_summary(Path(result["result"]))["metrics"]["center"] == {"value": result["center"], "unit": "pixel"}


def test_diagnostics(file: h5py.File) -> None:
    found = file["entry/diagnostics"]
    row = found.attrs["row"]
    assert np.array_equal(found["sinogram_raw"][()], SHAPE.frames("u2")[5:, row])
    p = SHAPE.line_integrals()[:, row]
    assert np.abs(found["sinogram"][()] - p).max() < 2e-3 * p.max()
    assert found["center_trials"].shape[0] == len(found["center_values"])
    volume = file["entry/data/data"][()]
    assert np.array_equal(found["cut_x"][()], volume[:, :, 65])
    middle = int(np.argmin(np.abs(found["center_values"][()] - file["entry/metrics/center"][()])))
    # this trial is the slice itself; the trial was made alone, the slice with a partner
    assert np.abs(found["center_trials"][middle] - volume[row]).max() < 1e-3 * volume.max()


# Types and crops


@pytest.mark.parametrize("dtype", ["uint16", "uint8"])
def test_integers(shell: CommandLine, scan: Path, result: dict[str, Any], tmp_path: Path, dtype: str) -> None:
    stored = shell.reconstruct(scan, tmp_path / "small.h5", "-s", f"store.dtype={dtype}", "-s", "fbp.filter=hann")
    with h5py.File(stored["result"]) as file:
        data = file["entry/data/data"]
        assert data.dtype == dtype
        scale, offset = data.attrs["scale"], data.attrs["offset"]
        values = data[()] * scale + offset
        cut = file["entry/diagnostics/cut_x"][()]
    full = voxels(Path(result["result"]))
    inside = (full > offset) & (full < offset + scale * np.iinfo(dtype).max)
    assert inside.mean() > 0.99
    assert np.abs(values - full)[inside].max() < 0.5001 * scale + 1e-6 * np.abs(full).max()
    assert np.allclose(cut, values[:, :, 65], rtol=1e-5)


def test_limits_that_are_given(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    limits = ("-s", "store.low=-1000", "-s", "store.high=40000")
    shell.reconstruct(scan, tmp_path / "small.h5", "-s", "store.dtype=uint8", *limits)
    with h5py.File(tmp_path / "small.h5") as file:
        data = file["entry/data/data"]
        assert data.attrs["offset"] == -1000
        assert data.attrs["scale"] == pytest.approx(41000 / 255)


def test_crop(shell: CommandLine, scan: Path, result: dict[str, Any], tmp_path: Path) -> None:
    crop = ("-s", "store.y=10:100", "-s", "store.x=:33", "-s", "fbp.filter=hann")
    cropped = shell.reconstruct(scan, tmp_path / "crop.h5", *crop)
    assert cropped["shape"] == [20, 90, 33]
    assert np.array_equal(voxels(tmp_path / "crop.h5"), voxels(Path(result["result"]))[:, 10:100, :33])
    with h5py.File(tmp_path / "crop.h5") as file, h5py.File(result["result"]) as full:
        assert np.allclose(file["entry/data/y"], full["entry/data/y"][10:100])
        assert np.allclose(file["entry/data/x"], full["entry/data/x"][:33])


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_tiff_stack(shell: CommandLine, scan: Path, tmp_path: Path, dtype: str) -> None:
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "stack.h5"
    settings = ("--rows", "3:9", "-s", "store.tiff=true", "-s", f"store.dtype={dtype}")
    shell.reconstruct(scan, out, *settings)
    volume = voxels(out)
    files = sorted(path for path in (tmp_path / "out").rglob("*.tif"))
    assert len(files) == 6
    for file, one in zip(files, volume, strict=True):
        found = tifffile.imread(file)
        assert found.dtype == dtype
        assert np.array_equal(found, one)
    before = everything(tmp_path / "out")
    assert not [name for name in before if "partial" in name]
    files[3].unlink()  # a stack that isn't whole any more is no reason to do the run again
    assert shell.reconstruct(scan, out, *settings)["existed"]


def test_half_a_tiff_stack_is_made_whole(shell: CommandLine, scan: Path, tmp_path: Path) -> None:
    """Killed while the stack was written: the same command writes it."""
    settings = ("--rows", "3:9", "-s", "store.tiff=true")
    script = """
import os, tifffile
write, count = tifffile.imwrite, []
def third(*arguments, **named):
    count.append(1)
    os.kill(os.getpid(), 9) if len(count) == 3 else write(*arguments, **named)
tifffile.imwrite = third
from hpcdaas.cli.main import main; main()
"""
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "stack.h5"
    assert shell.run("reconstruct", scan, "-o", out, *settings, script=script).code == -9
    assert shell.reconstruct(scan, out, *settings)["existed"]
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 6
    assert not [name for name in everything(tmp_path / "out") if "partial" in name]


# Reading back


def test_existing_run(result: dict[str, Any], tmp_path: Path) -> None:
    assert existing_run(Path(result["result"])) == result["run"]
    assert existing_run(tmp_path / "gone.h5") is None
    (tmp_path / "text.h5").write_text("text")
    assert existing_run(tmp_path / "text.h5") == ""
    with pytest.raises(InputError, match="is a folder"):
        existing_run(tmp_path)


def test_summary_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match="no result"):
        read_summary(tmp_path / "text.h5")
