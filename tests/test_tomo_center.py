"""The rotation centre: right to a tenth of a column, or refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hpcdaas.tomo.center import Center, CenterEstimate, center, cut, find_center, turns
from tomo_blocks import make_block
from tomo_phantom import HEAD, sinogram

HALF, FULL = np.pi, 2 * np.pi
DATA = Path(os.environ.get("HPCDAAS_DATA", Path(__file__).parents[2] / "shared" / "data"))


def scan(
    columns: int,
    angles: int,
    true: float,
    radius: float,
    turn: float = HALF,
    end: bool = False,
    noise: float = 0.0,
    rows: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Line integrals of the phantom, each row with noise of its own."""
    theta = np.linspace(0, turn, angles, endpoint=end)
    one = sinogram(HEAD, theta, columns, true, radius)[:, None]
    rng = np.random.default_rng(columns + angles)
    return (one + rng.normal(0, noise, (angles, rows, columns))).astype(np.float32), theta


@settings(max_examples=30, deadline=None)
@given(
    columns=st.integers(64, 400),
    shift=st.floats(-0.25, 0.25),
    turn=st.sampled_from([HALF, FULL]),
    end=st.booleans(),
    start=st.floats(-7, 7),
    backwards=st.booleans(),
)
def test_exact_without_noise(columns: int, shift: float, turn: float, end: bool, start: float, backwards: bool) -> None:
    true = (columns - 1) / 2 + shift * columns
    radius = min(true, columns - 1 - true)
    angles = int(columns * turn / np.pi)
    data, theta = scan(columns, angles, true, radius, turn, end)
    # where the scan starts and which way it turns is only a name for the angles
    found = find_center(data, (start - theta) if backwards else start + theta)
    assert abs(found.center - true) < 0.1, found
    assert found.confidence > 0.5, found


@pytest.mark.parametrize("turn", [HALF, FULL])
@pytest.mark.parametrize("shift", [0.0, -0.25, 0.13])
@pytest.mark.parametrize("columns", [200, 401])
def test_near_with_noise(columns: int, shift: float, turn: float) -> None:
    true = (columns - 1) / 2 + shift * columns
    data, theta = scan(columns, 300, true, 0.95 * min(true, columns - 1 - true), turn, noise=0.1, rows=5)
    found = find_center(data, theta)
    assert abs(found.center - true) < 0.3, found
    assert found.confidence > 0.5, found


@pytest.mark.parametrize("reach", [1.3, 1.6, 2.4])
@pytest.mark.parametrize("turn", [HALF, FULL])
def test_sample_wider_than_the_detector(reach: float, turn: float) -> None:
    data, theta = scan(300, 300, 155.3, reach * 150, turn)
    assert cut(data.swapaxes(0, 1)) == (True, True)
    found = find_center(data, theta)
    assert abs(found.center - 155.3) < 0.1, found
    assert found.confidence > 0.5, found


def test_uneven_and_shuffled_angles() -> None:
    rng = np.random.default_rng(2)
    theta = np.sort(rng.uniform(0, HALF, 600))
    theta = rng.permutation(theta)
    data = sinogram(HEAD, theta, 301, 160.4, 130.0).astype(np.float32)[:, None]
    found = find_center(data, theta)
    assert abs(found.center - 160.4) < 0.5, found
    golden = np.mod(np.arange(500) * np.deg2rad(111.246), FULL)
    data = sinogram(HEAD, golden, 301, 160.4, 130.0).astype(np.float32)[:, None]
    found = find_center(data, golden)
    assert abs(found.center - 160.4) < 0.3, found
    assert found.confidence > 0.5, found


def test_rings_and_background_do_not_draw_it() -> None:
    rng = np.random.default_rng(4)
    for turn in (HALF, FULL):
        data, theta = scan(300, 300, 121.7, 115.0, turn, noise=0.02, rows=5)
        static = rng.normal(0, 0.1, (1, 5, 300)) + 0.2 * np.exp(-(((np.arange(300) - 149.5) / 60) ** 2))
        found = find_center((data + static).astype(np.float32), theta)
        assert abs(found.center - 121.7) < 0.5, found


@pytest.mark.parametrize("turn", [HALF, FULL])
@pytest.mark.parametrize("rows", [1, 4])
def test_nothing_there_is_refused(rows: int, turn: float) -> None:
    rng = np.random.default_rng(6)
    theta = np.linspace(0, turn, 300, endpoint=False)
    shape = (300, rows, 250)
    noise = rng.normal(0, 0.1, shape)
    hump = np.exp(-(((np.arange(250) - 124.5) / 50) ** 2))
    drift = 1 + 0.1 * np.linspace(0, 1, 300)[:, None, None]
    for name, data in {
        "zero": np.zeros(shape),
        "constant": np.ones(shape),
        "noise": noise,
        "noise on a level": 1 + noise,
        "rings": np.broadcast_to(noise[:1], shape),
        "rings and noise": noise[:1] + noise[::-1],
        "background": np.broadcast_to(hump, shape),
        "background and noise": hump + 0.1 * noise,
        "background that drifts": hump * drift + 0.1 * noise,
        "nan": np.full(shape, np.nan),
    }.items():
        found = find_center(data.astype(np.float32), theta)
        assert found.confidence < 0.5, (name, found)
        assert found.reason
        assert np.isfinite(found.center)


def test_too_few_angles_are_refused() -> None:
    for turn in (0.5 * HALF, 0.95 * HALF):
        data, theta = scan(200, 200, 100.0, 90.0, turn)
        found = find_center(data, theta)
        assert found.confidence == 0
        assert "half a turn" in found.reason
    data, theta = scan(200, 200, 100.0, 90.0)
    keep = (theta < 1) | (theta > 1.3)
    assert find_center(data[keep], theta[keep]).confidence == 0


@pytest.mark.parametrize("shift", [0.3, -0.42])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_extended_field_of_view_is_never_silently_wrong(shift: float, noise: float) -> None:
    true = 149.5 + shift * 300
    for turn in (HALF, FULL):
        data, theta = scan(300, 400, true, 0.95 * (150 + abs(shift) * 300), turn, noise=noise, rows=3)
        found = find_center(data, theta)
        assert found.confidence < 0.5, found
        if turn == FULL:
            assert "extended" in found.reason
            assert abs(found.center - true) < 0.5


def test_tooth() -> None:
    h5py = pytest.importorskip("h5py")
    file = DATA / "tomo" / "tooth.h5"
    if not file.exists():
        pytest.skip(f"{file.name} isn't in the data folder")
    with h5py.File(file) as f:
        dark = f["exchange/data_dark"][:].mean(axis=0)
        t = (f["exchange/data"][:] - dark) / (f["exchange/data_white"][:].mean(axis=0) - dark)
        theta = np.deg2rad(f["exchange/theta"][:].astype(np.float64))
    p = -np.log(np.maximum(t, 1e-4)).astype(np.float32)
    for rows in (slice(0, 2), slice(0, 1), slice(1, 2)):
        found = find_center(p[:, rows], theta)
        assert 295 <= found.center <= 296.5, found
        assert found.confidence > 0.5, found


def test_crop_that_cannot_tell() -> None:
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    file = DATA / "tomo" / "k11_diad" / "k11-18014.nxs"
    if not file.exists():
        pytest.skip(f"{file.name} isn't in the data folder")
    with h5py.File(file) as f:
        data = f["entry/imaging/data"][:].astype(np.float32)
        key = f["entry/instrument/imaging/image_key"][:].ravel()
        theta = np.deg2rad(f["entry/imaging/gts_theta_value"][:].ravel().astype(np.float64))
    flat, dark = data[key == 1].mean(axis=0), data[key == 2].mean(axis=0)
    p = -np.log(np.maximum((data[key == 0] - dark) / (flat - dark), 1e-4)).astype(np.float32)
    for rows in ([11], [2, 3], [0, 5, 10, 15, 21], [8, 9, 10, 11, 12]):
        found = find_center(p[:, rows], theta[key == 0])
        assert found.confidence < 0.5, found


def test_step_looks_at_rows_without_the_halo() -> None:
    data, theta = scan(200, 200, 93.2, 85.0, rows=9)
    data[:, [0, 1, -2, -1]] = np.random.default_rng(0).normal(0, 5, (200, 4, 200))
    found = center(make_block(data, theta, halo=2), Center())
    assert isinstance(found, CenterEstimate)
    assert abs(found.center - 93.2) < 0.1
    assert found.confidence > 0.9


def test_noise_does_not_turn() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (2, 100, 150)).astype(np.float32)
    assert not turns(noise)
    data, _ = scan(150, 100, 75.0, 70.0, noise=0.3)
    assert turns(data.swapaxes(0, 1))
