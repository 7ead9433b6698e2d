"""The whole way, from a file of counts to slices: against the definition, invariances, identity, memory."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

import hpcdaas
import tomo_phantom
from command_line import DARK, FLAT, CommandLine, Shape, everything, voxels
from hpcdaas.backend import FbpPlan
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.errors import HpcdaasError, InputError, Interrupted
from hpcdaas.pipeline import Watcher
from hpcdaas.pipeline.tomography import Tomography
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.filters import response
from hpcdaas.tomo.plan import Plan, block_bytes

SHAPE = Shape()
Slices = NDArray[np.float32]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Catalogue and caches of this test's own."""
    shell = CommandLine(tmp_path / "home")
    for name in [name for name in os.environ if name not in shell.environment]:
        monkeypatch.delenv(name)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, shell.environment[name])
    return shell


def make(scan: Path, *settings: str, name: str = "result.h5", **options: Any) -> hpcdaas.Result:
    recipe = hpcdaas.default_recipe().override(settings)
    return hpcdaas.reconstruct(scan, recipe, scan.parent / name, **{"register_result": False, **options})


def slices(scan: Path, *settings: str, name: str = "result.h5", **options: Any) -> Slices:
    return voxels(make(scan, *settings, name=name, **options).path)


def disc(n: int) -> NDArray[np.bool_]:
    x = np.arange(n) - (n - 1) / 2
    return np.asarray(x[:, None] ** 2 + x**2 <= x[-1] ** 2)


def error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Relative L2 error inside the inscribed disc."""
    inside = disc(found.shape[-1])
    return float(np.linalg.norm((found - expected)[:, inside]) / np.linalg.norm(expected[:, inside]))


def write(path: Path, shape: Shape, p: NDArray[np.float64], **options: Any) -> Path:
    """Write line integrals (angle, row, column) as counts."""
    frames = shape.frames("f8")
    frames[5:] = DARK + (FLAT - DARK) * np.exp(-p)
    return shape.write(path, frames=frames.astype("f4"), **options)


# Against the definition and the phantom


def definition(p: NDArray[np.float64], shape: Shape, window: str = "ramp", padding: float = 2.0) -> Slices:
    """Slices by the float64 definition, from line integrals."""
    theta = np.deg2rad(shape.theta)
    filtering = response(window, shape.columns, padding)  # type: ignore[arg-type]
    plan = FbpPlan(theta, angular_weights(theta), filtering, shape.center)
    out = np.empty((shape.rows, shape.columns, shape.columns), np.float32)
    ReferenceBackend().fbp(p.astype(np.float32), None, plan, out)
    return out


@pytest.mark.parametrize("eps", [1e-3, 1e-4, 1e-5])
def test_definition(tmp_path: Path, eps: float) -> None:
    shape = Shape(rows=3)
    p = shape.line_integrals()
    found = slices(write(tmp_path / "scan.nxs", shape, p), f"fbp.eps={eps}", f"scan.center={shape.center}")
    assert error(found, definition(p, shape)) < eps


@pytest.mark.parametrize(
    ("shape", "window", "padding"),
    [
        (Shape(angles=37, rows=1, columns=51, center=20.3), "hann", 2.0),
        (Shape(angles=45, rows=17, columns=40, center=19.5, turn=360.0), "parzen", 3.1),
        (Shape(angles=31, rows=2, columns=33, center=16.0, turn=120.0), "shepp", 2.5),
    ],
)
def test_definition_of_odd_scans(tmp_path: Path, shape: Shape, window: str, padding: float) -> None:
    p = shape.line_integrals()
    settings = (f"fbp.filter={window}", f"fbp.padding={padding}", f"scan.center={shape.center}")
    found = slices(write(tmp_path / "scan.nxs", shape, p), *settings)
    assert error(found, definition(p, shape, window, padding)) < 1e-3


def test_backproject_is_near_fbp(tmp_path: Path) -> None:
    """Linear interpolation smooths; on a window that is smooth already it changes little."""
    shape = Shape(rows=2, angles=120)
    scan = write(tmp_path / "scan.nxs", shape, shape.line_integrals())
    table = {"name": "plain", "scan": {"center": shape.center}}
    steps = [{"use": "flatfield"}, {"use": "minus_log"}, {"use": "backproject", "filter": "parzen"}]
    recipe = hpcdaas.recipe.parse({**table, "step": steps})
    found = voxels(hpcdaas.reconstruct(scan, recipe, tmp_path / "plain.h5", register_result=False).path)
    assert error(found, slices(scan, f"scan.center={shape.center}", "fbp.filter=parzen")) < 0.03


def test_phantom(tmp_path: Path) -> None:
    """From counts of 16 bits to the density that was put in; the centre is found."""
    shape = Shape(angles=300, rows=2, columns=192, center=99.7)
    result = make(shape.write(tmp_path / "scan.nxs"))
    assert abs(result.metrics["center"]["value"] - shape.center) < 0.1
    assert result.metrics["center_confidence"] > 0.5
    found = voxels(result.path)
    radius = shape.columns / 2 - abs(shape.center - (shape.columns - 1) / 2) - 1
    x = (np.arange(shape.columns) - (shape.columns - 1) / 2) / radius
    truth = np.zeros(found.shape[1:])
    sharp = np.ones(truth.shape, bool)
    for e in tomo_phantom.HEAD:
        dx, dy = x[None, :] - e.x, x[:, None] - e.y
        along, across = (
            dx * np.cos(e.angle) + dy * np.sin(e.angle),
            dy * np.cos(e.angle) - dx * np.sin(e.angle),
        )
        distance = np.hypot(along / e.a, across / e.b)
        truth += e.density * (distance < 1)
        sharp &= np.abs(distance - 1) * min(e.a, e.b) > 3 / radius
    truth /= radius
    for row, scale in enumerate((1.0, 1.25)):
        inside = sharp & disc(shape.columns)
        assert np.abs((found[row] - scale * truth)[inside]).mean() < 0.02 * truth.max()
        matrix = inside & np.isclose(truth, 1 / radius)
        assert abs(found[row][matrix].mean() * radius / scale - 1) < 3e-3


# Invariances


def test_shift_of_the_detector(tmp_path: Path) -> None:
    """Moved by whole columns, a sample that the detector sees whole gives the same slices."""
    shape = Shape(rows=2, center=29.4)
    p = shape.line_integrals()
    p[..., :4] = p[..., -4:] = 0
    first = slices(write(tmp_path / "a.nxs", shape, p), "scan.center=29.4", "fbp.eps=1e-5", name="a.h5")
    moved = write(tmp_path / "b.nxs", shape, np.roll(p, 3, axis=2))
    assert error(slices(moved, "scan.center=32.4", "fbp.eps=1e-5", name="b.h5"), first) < 3e-5


def test_rotation_of_the_sample(tmp_path: Path) -> None:
    """90 degrees more on the stage turn the slices by 90 degrees: f'(x, y) = f(y, −x)."""
    shape = Shape(rows=2, turn=180.0)
    p = shape.line_integrals()
    settings = (f"scan.center={shape.center}", "fbp.eps=1e-5")
    scan = write(tmp_path / "scan.nxs", shape, p)
    first = slices(scan, *settings)
    angles = (shape.theta + 90).tolist()
    turned = slices(scan, *settings, f"scan.angles={angles}", name="turned.h5")
    assert error(turned, np.rot90(first, -1, axes=(1, 2))) < 3e-5
    mirrored = slices(scan, *settings, f"scan.angles={(-shape.theta).tolist()}", name="mirrored.h5")
    assert error(mirrored, first[:, ::-1]) < 3e-5


def test_linearity(tmp_path: Path) -> None:
    shape = Shape(rows=1)
    one = shape.line_integrals()
    other = np.roll(one, 5, axis=2) * np.linspace(0.2, 0.7, shape.angles)[:, None, None]
    settings = (f"scan.center={shape.center}", "fbp.eps=1e-5")
    parts = [
        slices(write(tmp_path / f"{i}.nxs", shape, p), *settings, name=f"{i}.h5")
        for i, p in enumerate((one, other, 0.5 * one + 2 * other))
    ]
    assert error(parts[2], 0.5 * parts[0] + 2 * parts[1]) < 3e-5


def test_pixel_size_scales_to_attenuation(tmp_path: Path) -> None:
    scan = SHAPE.write(tmp_path / "scan.nxs")
    plain = slices(scan, "scan.center=33.2", name="plain.h5")
    scaled = slices(scan, "scan.center=33.2", "scan.pixel_size=0.65 um", name="scaled.h5")
    assert error(scaled * 0.65e-6, plain) < 1e-6


def test_frames_of_many_turns(tmp_path: Path) -> None:
    """The second half-turn of a file alone, by `scan.frames`."""
    shape = Shape(angles=120, rows=2, turn=360.0)
    scan = shape.write(tmp_path / "scan.nxs")
    part = slices(scan, "scan.center=33.2", "scan.frames=60:120", name="part.h5")
    half = Shape(angles=60, rows=2)
    frames = shape.frames("u2")
    alone = half.write(tmp_path / "alone.nxs", frames=np.concatenate([frames[:5], frames[65:]]))
    angles = (half.theta + 180).tolist()
    assert error(part, slices(alone, "scan.center=33.2", f"scan.angles={angles}", name="alone.h5")) < 1e-5


# Rows


@pytest.mark.parametrize("rows", ["3:9", "0:12:5", "2::4", "11:12", ":7"])
@pytest.mark.parametrize("steps", [(), ("outliers.size=3", "phase.delta_beta=5", "scan.pixel_size=2 um")])
def test_chosen_rows_are_those_of_the_volume(tmp_path: Path, rows: str, steps: tuple[str, ...]) -> None:
    scan = SHAPE.write(tmp_path / "scan.nxs")
    settings = ("scan.center=33.2", "fbp.eps=1e-5", *steps)
    whole = slices(scan, *settings, name="whole.h5")[slice(*(int(i) if i else None for i in rows.split(":")))]
    part = slices(scan, *settings, f"scan.rows={rows}", name="part.h5")
    assert part.shape == whole.shape
    assert error(part, whole) < 1e-5


def test_partner_of_a_slice_matters_less_than_eps(tmp_path: Path) -> None:
    """Two slices share a complex transform; what leaks between them is part of the error that is allowed."""
    scan = SHAPE.write(tmp_path / "scan.nxs")
    whole = slices(scan, "scan.center=33.2", name="whole.h5")
    part = slices(scan, "scan.center=33.2", "scan.rows=3:9", name="part.h5")
    assert error(part, whole[3:9]) < 1e-4


# Ways through the memory


def plan_for(scan: Path, settings: tuple[str, ...], block: int, hold: bool = False) -> int:
    """Give the memory that is just enough for blocks of some rows."""
    recipe = hpcdaas.default_recipe().override(settings)
    work = Tomography(hpcdaas.open_scan(scan, recipe.scan), recipe, CpuBackend(), 1 << 40)
    backend, size = work.backend, work.volume.size
    maker = work.volume.maker.parameters
    return block_bytes(
        work.volume.load(
            backend.work_bytes(size, len(work.rows), work.scan.shape[0], maker.padding, maker.eps)  # type: ignore[attr-defined]
        ),
        block,
        hold,
    )


#: Where a read of any row decodes whole frames.
FRAMES = ("gzip frames", "bitshuffle frames", "gzip tiles")
STORAGE: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "gzip frames": {"compression": "gzip"},
    "bitshuffle frames": {"chunks": (1, 48, 64), **hdf5plugin.Bitshuffle(cname="lz4")},
    "gzip tiles": {"chunks": (10, 20, 30), "compression": "gzip"},
    "chunks of rows": {"chunks": (35, 1, 64)},
}
STEPS = {
    "default": (),
    "outliers, phase": ("outliers.threshold=0.3", "phase.delta_beta=5", "scan.pixel_size=2 um"),
    "stripes": ("stripes.method=sorting",),
}
CASES = [(s, "default") for s in STORAGE] + [(s, p) for s in ("contiguous", FRAMES[0]) for p in STEPS if p != "default"]


@pytest.mark.parametrize(("storage", "steps"), CASES)
def test_memory_and_storage_change_no_voxel(tmp_path: Path, storage: str, steps: str) -> None:
    shape = Shape(rows=48, angles=30)
    frames = shape.frames("u2")
    frames[20, 25, 30] = frames[7, 0, 0] = frames[31, 47, 63] = 65000  # zingers
    settings = ("scan.center=33.2", *STEPS[steps])
    truth = slices(shape.write(tmp_path / "plain.nxs", frames=frames), *settings, name="truth.h5")
    scan = shape.write(tmp_path / "scan.nxs", frames=frames, **STORAGE[storage])
    said: list[str] = []
    watcher = Watcher(say=said.append)
    for block in (48, 16, 4, 1) if steps == "default" else (48, 16, 2):
        memory = plan_for(scan, settings, block)
        found = slices(scan, *settings, name=f"{block}.h5", memory=memory, watcher=watcher)
        # a slice alone lacks its partner in the complex transform
        assert np.abs(found - truth).max() < (1e-4 if block == 1 else 1e-5) * np.abs(truth).max(), block
    plans = "\n".join(line for line in said if line.startswith("Plan"))
    assert ("one row at a time" in plans) == (steps == "default")
    # whole frames are decoded once: the counts are held, or one block has all rows
    once = "raw counts held in memory" in plans or "48 rows at a time, the file is read once" in plans
    assert once or storage not in FRAMES
    assert "raw counts held in memory" not in plans or storage in FRAMES
    assert re.search("is read (48|24) times", plans) if storage in FRAMES else "times" not in plans


def test_held_counts_are_not_changed_by_steps(tmp_path: Path) -> None:
    """Rows of the halo belong to two blocks: what one block's steps write, the next must not read."""
    shape = Shape(rows=48, angles=30)
    frames = shape.frames("u2")
    frames[5:, 15:17, 20:40] = 65000
    settings = ("scan.center=33.2", "outliers.size=5")
    truth = slices(shape.write(tmp_path / "plain.nxs", frames=frames), *settings, name="truth.h5")
    held = slices(shape.write(tmp_path / "held.nxs", frames=frames, compression="gzip"), *settings, name="held.h5")
    assert np.abs(held - truth).max() < 1e-5 * np.abs(truth).max()


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4", "f8", ">u2", ">f4"])
def test_types_of_counts(tmp_path: Path, dtype: str) -> None:
    shape = Shape(rows=2)
    frames = shape.frames("f8")
    if dtype == "u1":
        frames /= 100
    found = slices(shape.write(tmp_path / "scan.nxs", frames=frames.astype(dtype)), "scan.center=33.2")
    expected = definition(shape.line_integrals(), shape)
    assert error(found, expected) < (0.05 if dtype == "u1" else 3e-3)


def test_counts_below_the_dark_are_counted(tmp_path: Path) -> None:
    frames = SHAPE.frames("u2")
    frames[5:, 3, 20:23] = 50
    result = make(SHAPE.write(tmp_path / "scan.nxs", frames=frames), "scan.center=33.2", memory=10**9)
    assert result.metrics["nonpositive"] == 3 * SHAPE.angles
    assert np.isfinite(voxels(result.path)).all()


def test_tally_is_the_same_in_blocks(tmp_path: Path) -> None:
    shape = Shape(rows=48)
    frames = shape.frames("u2")
    frames[5:, 30, 20:23] = 50
    frames[20, 15:18, 30] = 65000
    scan = shape.write(tmp_path / "scan.nxs", frames=frames)
    settings = ("scan.center=33.2", "outliers.size=3")
    for block in (48, 16, 4, 1):
        metrics = make(scan, *settings, name=f"{block}.h5", memory=plan_for(scan, settings, block)).metrics
        assert (metrics["nonpositive"], metrics["zingers"]) == (3 * shape.angles, 3), block


# Identity


def test_twice_is_once(tmp_path: Path, home: CommandLine) -> None:
    scan = SHAPE.write(tmp_path / "scan.nxs")
    first = make(scan, register_result=True)
    before = (first.path.stat().st_mtime_ns, first.path.read_bytes())
    second = make(scan, register_result=True)
    assert (first.existed, second.existed) == (False, True)
    assert (second.run, second.pid, second.shape) == (first.run, first.pid, first.shape)
    assert dict(second.metrics).items() >= dict(first.metrics).items()
    assert (first.path.stat().st_mtime_ns, first.path.read_bytes()) == before
    assert [dataset["pid"] for dataset in home.datasets()] == [first.pid]


def test_a_copy_is_the_same_run(tmp_path: Path, home: CommandLine) -> None:
    scan = SHAPE.write(tmp_path / "scan.nxs")
    first = make(scan, register_result=True)
    (tmp_path / "elsewhere").mkdir()
    copy = Path(shutil.copy(scan, tmp_path / "elsewhere" / "renamed.nxs"))
    os.utime(copy, (0, 0))
    second = make(copy, register_result=True)
    assert second.run == first.run
    assert second.pid == first.pid
    assert len(home.datasets()) == len(home.datasets("raw")) == 1
    assert np.array_equal(voxels(first.path), voxels(second.path))


def test_how_a_run_is_carried_out_is_not_its_identity(tmp_path: Path) -> None:
    scan = SHAPE.write(tmp_path / "scan.nxs")
    first = make(scan)
    for number, options in enumerate(({"threads": 2}, {"memory": "1GB"}, {"backend": "cpu"}, {"catalog": "x.db"})):
        other = make(scan, name=f"{number}.h5", **options)
        assert other.run == first.run
        assert np.abs(voxels(other.path) - voxels(first.path)).max() < 1e-5 * np.abs(voxels(first.path)).max()


def test_what_is_done_is_its_identity(tmp_path: Path) -> None:
    scan = SHAPE.write(tmp_path / "scan.nxs")
    changes = (
        (), ("scan.rows=0:12",), ("scan.rows=0:6",), ("scan.center=33.2",), ("scan.pixel_size=1 um",),
        ("fbp.filter=hann",), ("fbp.eps=1e-4",), ("fbp.padding=3",), ("stripes.method=sorting",),
        ("store.dtype=uint16",),
    )  # fmt: skip
    runs = [make(scan, *settings, name=f"{i}.h5").run for i, settings in enumerate(changes)]
    again = make(scan, name="again.h5", attempt=2).run
    assert len({*runs, again}) == len(changes) + 1
    # a default that is spelled out is the same recipe
    assert make(scan, "fbp.eps=0.001", "fbp.filter=ramp", name="spelled.h5").run == runs[0]
    # and so is a length in other units
    assert make(scan, "scan.pixel_size=1e-6", name="units.h5").run == runs[4]


def test_one_pixel_makes_another_run(tmp_path: Path) -> None:
    scan = SHAPE.write(tmp_path / "scan.nxs")
    frames = SHAPE.frames("u2")
    frames[40, 5, 30] += 1
    other = SHAPE.write(tmp_path / "other.nxs", frames=frames)
    assert make(scan, name="a.h5").run != make(other, name="b.h5").run


# What is left, and who is told


def test_nothing_but_the_result_is_left(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    scan = SHAPE.write(tmp_path / "in" / "scan.nxs")
    hpcdaas.reconstruct(scan, None, tmp_path / "out" / "result.h5")
    assert everything(tmp_path / "out") == {"result.h5", "result.record.json", "result-ro-crate-metadata.json"}
    assert everything(tmp_path / "in") == {"scan.nxs"}


def test_in_a_batch_job_the_record_waits(tmp_path: Path, home: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    before = everything(home.folder)
    result = make(SHAPE.write(tmp_path / "scan.nxs"), register_result=True)
    assert result.pid is None
    assert (tmp_path / "result.record.json").exists()
    assert not {name for name in everything(home.folder) - before if name.endswith(".db")}, "no catalogue is made"
    monkeypatch.delenv("SLURM_JOB_ID")
    assert home.datasets() == []
    assert make(tmp_path / "scan.nxs", register_result=True).pid is not None
    assert len(home.datasets()) == 1


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    shape = Shape(rows=40)
    watcher = Watcher(progress=lambda done, total: told.append((done, total)))
    make(shape.write(tmp_path / "scan.nxs"), "scan.center=33.2", watcher=watcher)
    assert told == sorted(told)
    assert told[0] == (0, 40)
    assert told[-1] == (40, 40)


def test_stopped_before_anything_is_made(tmp_path: Path) -> None:
    def stop() -> None:
        raise Interrupted("Enough.")

    scan = SHAPE.write(tmp_path / "scan.nxs")
    with pytest.raises(Interrupted, match="Enough"):
        make(scan, watcher=Watcher(stop=stop))
    assert not (tmp_path / "result.h5").exists()
    make(scan)
    assert not (tmp_path / "result.h5.partial").exists()


def test_a_fault_inside_leaves_the_way_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a lease nor a thread stays behind in a process that lives on."""
    scan = SHAPE.write(tmp_path / "scan.nxs")

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error", "/the/disk")

    with monkeypatch.context() as broken:
        broken.setattr("hpcdaas.io.partial.Partial.note", fail)
        with pytest.raises(HpcdaasError, match="Input/output error"):
            make(scan)
    assert not (tmp_path / "result.h5").exists()
    make(scan)


def test_raised_errors_are_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        hpcdaas.reconstruct(tmp_path / "gone.nxs")
    scan = SHAPE.write(tmp_path / "scan.nxs")
    with pytest.raises(InputError, match="threads"):
        make(scan, threads=0)
    with pytest.raises(InputError, match="'overwrite'"):
        make(scan, overwrit=True)
    with pytest.raises(InputError, match="memory"):
        make(scan, memory=-1)


def test_plan_survives_a_checkpoint() -> None:
    plan = Plan(16, False, 2, 10**9)
    assert replace(plan) == Plan(**{"block": 16, "hold": False, "passes": 2, "bytes": 10**9})
