"""Measured scans of ptychography, where they are, reconstructed: they converge, and the wrong way round they don't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from command_line import CommandLine
from ptycho_scans import recipe

FORTY = "use = 'lsqml'\niterations = 40"
STAR, NEAR = Path("ptycho/siemens_star.cxi"), Path("ptycho/p25_near_field.cxi")
FOCUS = ("-s", "scan.focus_distance=3.65 mm")


@pytest.fixture
def shell(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "home")


def run(shell: CommandLine, scan: Path, tmp_path: Path, *settings: str, steps: str = FORTY) -> dict[str, Any]:
    return shell.reconstruct(scan, tmp_path / "result.h5", "-r", recipe(tmp_path, steps), "--overwrite", *settings)


def test_siemens_star(shell: CommandLine, real_data: Path, tmp_path: Path) -> None:
    found = run(shell, real_data / STAR, tmp_path)
    assert found["error"] < 0.02
    with h5py.File(tmp_path / "result.h5") as file:
        entry = file["entry"]
        assert entry["object/data"].shape == tuple(found["shape"])
        assert entry["object/pixel_size"][()] == pytest.approx((10e-9, 10e-9))
        assert entry["probe/data"].shape == (1, 128, 128)
        error = entry["metrics/error"][()]
        phase, light = entry["data/data"][()], entry["object/light"][()]
        assert entry["quality/orientation_decided_by"][()].decode() == "nothing: as stored"
    assert len(error) == 40
    assert error[-1] < 0.1 * error[0]
    assert error[-1] == pytest.approx(found["error"], rel=0.1)
    # spokes and gaps: the spokes retard the wave
    lit = phase[light > 0.5 * np.median(light[light > 0.1 * light.max()])]
    spokes, gaps = np.percentile(lit, [15, 85])
    assert gaps - spokes > 0.6
    assert np.median(lit) - spokes > gaps - np.median(lit)
    assert np.isfinite(lit).all()


def test_near_field(shell: CommandLine, real_data: Path, tmp_path: Path) -> None:
    found = run(shell, real_data / NEAR, tmp_path, *FOCUS)
    assert found["error"] < 0.009
    assert found["metrics"]["object_pixel"] == pytest.approx(178.7e-9, rel=1e-3)
    assert (found["metrics"]["orientation"], found["metrics"]["orientation_decided_by"]) == ("+y+x", "the file")
    turned = run(shell, real_data / NEAR, tmp_path, *FOCUS, "-s", "scan.position_orientation=-y-x")
    assert turned["error"] > 1.5 * found["error"]


@pytest.mark.parametrize(("scan", "settings"), [(STAR, ()), (NEAR, FOCUS)])
def test_orientations_are_found(
    shell: CommandLine, real_data: Path, tmp_path: Path, scan: Path, settings: tuple[str, ...]
) -> None:
    auto = ("-s", "scan.position_orientation=auto")
    found = run(shell, real_data / scan, tmp_path, *settings, *auto, steps="use = 'lsqml'\niterations = 1")["metrics"]
    assert (found["orientation"], found["orientation_decided_by"]) == ("+y+x", "the data")
    assert found["orientation_confidence"] >= 0.5
