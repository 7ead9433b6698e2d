"""Measured scans, where they are: they read, and what is known of them comes out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from command_line import CommandLine, everything, voxels


@pytest.fixture
def shell(tmp_path: Path) -> CommandLine:
    (tmp_path / "out").mkdir()
    return CommandLine(tmp_path / "home")


def test_tooth(shell: CommandLine, real_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "tooth.h5"
    found = shell.reconstruct(real_data / "tomo" / "tooth.h5", out)
    assert 295 <= found["center"] <= 296.5
    assert found["center_confidence"] > 0.5
    assert found["shape"] == [2, 640, 640]
    volume = voxels(out)
    assert np.isfinite(volume).all()
    x = np.arange(640) - 319.5
    radius = np.hypot(x, x[:, None])
    # the tooth is within, air around it; one row looks like the next
    assert volume[:, radius < 150].mean() > 10 * abs(volume[:, (radius > 270) & (radius < 315)].mean())
    assert np.corrcoef(volume[0, radius < 200], volume[1, radius < 200])[0, 1] > 0.8
    with h5py.File(out) as file:
        assert file["entry/data/data"].attrs["units"] == "1/pixel"


def test_tooth_looks_alike_with_both_ways_back(shell: CommandLine, real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_text(
        "[scan]\ncenter = 295.8\n"
        + "".join(f"[[step]]\nuse = '{use}'\n" for use in ("flatfield", "minus_log", "backproject"))
        + "filter = 'hann'\n"
    )
    scan = real_data / "tomo" / "tooth.h5"
    shell.reconstruct(scan, tmp_path / "a.h5", "-r", tmp_path / "plain.toml")
    shell.reconstruct(scan, tmp_path / "b.h5", "--center", "295.8", "-s", "fbp.filter=hann")
    a, b = voxels(tmp_path / "a.h5"), voxels(tmp_path / "b.h5")
    x = np.arange(640) - 319.5
    disc = np.hypot(x, x[:, None]) < 319.5
    assert np.linalg.norm((a - b)[:, disc]) < 0.15 * np.linalg.norm(b[:, disc])


def test_diad_is_refused(shell: CommandLine, real_data: Path, tmp_path: Path) -> None:
    """A tiny crop from inside the sample: its axis can't be known, and isn't guessed."""
    scan = real_data / "tomo" / "k11_diad" / "k11-18014.nxs"
    ended = shell.here("reconstruct", scan, "-o", tmp_path / "out" / "diad.h5")
    assert ended.code == 2
    assert "--center" in "\n".join(ended.message)
    assert len(ended.message) <= 2
    assert everything(tmp_path / "out") == set()
    known = shell.reconstruct(scan, tmp_path / "out" / "diad.h5", "--center", "12.5", "--rows", "10:12")
    assert known["shape"] == [2, 26, 26]
    assert np.isfinite(voxels(tmp_path / "out" / "diad.h5")).all()


def test_neutrons_over_a_full_turn(shell: CommandLine, real_data: Path, tmp_path: Path) -> None:
    scan = real_data / "tomo" / "neutron_360.tif"
    out = tmp_path / "out" / "neutron.h5"
    found = shell.reconstruct(scan, out, "-s", "scan.flats=47000", "-s", "scan.angle_range=[0, 360]")
    assert found["shape"] == [1, 503, 503]
    assert found["center_confidence"] > 0.5
    one = voxels(out)[0]
    assert np.isfinite(one).all()
    # what absorbs lies inside, and the air around it doesn't
    x = np.arange(503) - 251
    radius = np.hypot(x, x[:, None])
    assert one[radius < 150].mean() > 5 * abs(one[(radius > 235) & (radius < 250)].mean())
    # half of the turn alone gives the same object: 230 of the 459 angles
    half = tmp_path / "out" / "half.h5"
    settings = ("-s", "scan.flats=47000", "-s", "scan.angle_range=[0, 360]", "-s", "scan.frames=0:230")
    shell.reconstruct(scan, half, *settings, "--center", found["center"])
    inside = radius < 200
    assert np.corrcoef(voxels(half)[0][inside], one[inside])[0, 1] > 0.85


@pytest.mark.parametrize("name", ["tooth.h5", "k11_diad/k11-18014.nxs", "neutron_360.tif"])
def test_inspect(shell: CommandLine, real_data: Path, name: str) -> None:
    shapes = {"tooth.h5": [181, 2, 640], "k11_diad/k11-18014.nxs": [3001, 22, 26], "neutron_360.tif": [459, 1, 503]}
    ended = shell.here("inspect", real_data / "tomo" / name, "--json", "-s", "scan.angle_range=[0, 360]")
    assert ended.code == 0
    assert ended.json["shape"] == shapes[name]
