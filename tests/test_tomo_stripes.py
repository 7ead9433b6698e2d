"""Stripes: what is put on a sinogram must come off it, and little else."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.tomo.stripes import Stripes, fill_dead, flicker, stand_out, stripes
from tomo_blocks import make_block
from tomo_phantom import HEAD, sinogram

ANGLES = np.linspace(0, np.pi, 240, endpoint=False)
rng = np.random.default_rng(5)
# with noise, without which every edge of the phantom stands out
CLEAN = (sinogram(HEAD, ANGLES, 511, 255.0, 240.0) + rng.normal(0, 0.01, (240, 511))).astype(np.float32)


def error(found: NDArray[np.float32], columns: slice = slice(None)) -> float:
    """Root mean square of the difference to the clean sinogram (angle, column)."""
    return float(np.sqrt(np.mean((found - CLEAN)[:, columns] ** 2)))


def cleaned(data: NDArray[np.float32], **parameters: Any) -> NDArray[np.float32]:
    """Clean a sinogram (angle, column)."""
    block = make_block(data[:, None].copy(), backend=CpuBackend(1))
    stripes(block, Stripes(**parameters))
    return block.data[:, 0]


@pytest.mark.parametrize("method", ["sorting", "large", "all"])
def test_both_backends_clean_alike(method: Literal["sorting", "large", "all"]) -> None:
    data = CLEAN[:, None].copy()
    data[:, 0, 200:206] += 0.5
    data[:, 0, 300] = 0.7
    found = [make_block(data.copy(), backend=backend) for backend in (CpuBackend(1), ReferenceBackend())]
    for block in found:
        stripes(block, Stripes(method=method))
    np.testing.assert_array_equal(found[0].data, found[1].data)


def test_flicker_is_the_distance_to_the_smoothed_column() -> None:
    smooth = ndimage.uniform_filter1d(CLEAN.astype(np.float64), 10, axis=0)
    np.testing.assert_allclose(flicker(CLEAN), np.abs(CLEAN - smooth).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_narrower_than_the_median(columns: int) -> None:
    for method in ("sorting", "large", "all"):
        block = make_block(rng.normal(size=(20, 2, columns)).astype(np.float32))
        stripes(block, Stripes(method=method))
        assert np.isfinite(block.data).all()


def test_constant_sinogram_stays() -> None:
    block = make_block(np.full((20, 2, 60), 0.5, np.float32))
    stripes(block, Stripes())
    np.testing.assert_allclose(block.data, 0.5)


def test_sorting_takes_faint_stripes_off() -> None:
    faint = np.zeros(511, np.float32)
    faint[rng.choice(511, 50, replace=False)] = rng.normal(0, 0.05, 50)
    data = CLEAN + faint
    found = cleaned(data, method="sorting", size=9)
    # what is left is no stripe: no column is off as a whole, nor does the sample change much
    offset = (found - CLEAN).mean(axis=0)
    assert np.abs(offset).max() < 0.25 * np.abs(faint).max()
    assert error(found) < 0.6 * error(data)


def test_large_takes_a_wide_stripe_off() -> None:
    data = CLEAN.copy()
    data[:, 200:206] += 0.5
    found = cleaned(data, method="large", large_size=41)
    near = slice(195, 211)
    assert error(found, near) < 0.15 * error(data, near)
    assert error(found) < 0.02


def test_dead_columns_are_filled() -> None:
    data = CLEAN.copy()
    data[:, 300] = 0.7
    data[:, 160] += rng.normal(0, 0.8, len(data)).astype(np.float32)
    found = data.copy()
    fill_dead(found, 41, 3.0)
    for column in (160, 300):
        assert error(found, slice(column, column + 1)) < 0.1
    changed = np.flatnonzero((data != found).any(axis=0))
    assert set(changed) == {159, 160, 161, 299, 300, 301}


def test_all_on_every_row_of_a_block() -> None:
    data = np.repeat(CLEAN[:, None], 3, axis=1)
    data[:, 0, 200:204] += 0.4
    data[:, 1, 120] = 0.1
    before = [error(data[:, row]) for row in range(3)]
    block = make_block(data.copy())
    stripes(block, Stripes(size=9, large_size=41))
    after = [error(block.data[:, row]) for row in range(3)]
    assert after[0] < 0.6 * before[0]
    assert after[1] < 0.6 * before[1]
    assert after[2] < 0.02, "a clean row stays nearly as it is"


def test_stand_out_finds_what_does() -> None:
    values = rng.normal(0, 1, 400)
    assert not stand_out(values, 3.0).any()
    values[[7, 90]] = 60, -50
    assert np.flatnonzero(stand_out(values, 3.0)).tolist() == [7, 90]
    assert not stand_out(np.zeros(10), 3.0).any()
    assert not stand_out(np.arange(3.0), 3.0).any()


def test_neutron_sinogram() -> None:
    tifffile = pytest.importorskip("tifffile")
    root = Path(os.environ.get("HPCDAAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    file = root / "tomo" / "neutron_360.tif"
    if not file.exists():
        pytest.skip(f"{file.name} isn't in the data folder")
    raw = tifffile.imread(file).astype(np.float32)
    p = -np.log(np.maximum(raw, 1) / 47000)[:, None]
    block = make_block(p.copy(), np.linspace(0, 2 * np.pi, len(p)))
    stripes(block, Stripes())

    def roughness(data: NDArray[np.float32]) -> float:
        mean = data[:, 0].mean(axis=0)
        return float(np.abs(mean - ndimage.median_filter(mean, 15)).mean())

    assert roughness(block.data) < 0.4 * roughness(p)
    assert np.abs(block.data - p).mean() < 0.02, "the sample is still there"
