"""Measured scans of ptychography, where they are: what is known of them comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptycho_files import opened, refused

STAR, NEAR = "ptycho/siemens_star.cxi", "ptycho/p25_near_field.cxi"


def test_siemens_star(real_data: Path) -> None:
    scan = opened(real_data / STAR)
    assert (scan.shape, scan.frames.dtype) == ((516, 128, 128), np.uint16)
    whole = scan.frames.read(slice(None), slice(None))
    assert whole.max() == 963
    mean = whole.mean(axis=0)
    assert (mean.sum(axis=1) * np.arange(128)).sum() / mean.sum() == pytest.approx(63.98, abs=0.01)
    assert scan.energy == pytest.approx(8800)
    assert scan.pixel_size == (75e-6, 75e-6)
    assert scan.object_pixel == pytest.approx((10e-9, 10e-9))
    np.testing.assert_allclose(scan.positions[0], (3.31917681e-06, 4.65657024e-08), rtol=1e-6)
    assert scan.probe is not None
    assert scan.probe.shape == (1, 128, 128)
    assert (scan.orientation, scan.oriented, scan.good) == ("+y+x", "", None)


def test_near_field(real_data: Path) -> None:
    scan = opened(real_data / NEAR, focus_distance="3.65 mm")
    assert (scan.shape, scan.frames.dtype) == ((200, 100, 100), np.int32)
    assert scan.energy == pytest.approx(12658, rel=1e-4)
    assert scan.magnification == pytest.approx(307.85, rel=1e-4)
    assert scan.object_pixel == pytest.approx((178.7e-9, 178.7e-9), rel=1e-3)
    span = np.ptp(scan.positions, axis=0) / scan.object_pixel
    assert span[::-1] == pytest.approx((113, 107), abs=1)
    assert scan.good is not None
    assert (~scan.good).sum() == 5
    # the detector's vectors say it, and so do the frames, whose features move with the positions
    assert (scan.orientation, scan.oriented) == ("+y+x", "file")


def test_near_field_frames_move_with_the_positions(real_data: Path) -> None:
    scan = opened(real_data / NEAR, focus_distance="3.65 mm")
    frames = scan.frames.read(slice(0, 40), slice(None)).astype(float)
    frames /= np.maximum(frames.mean(axis=0), 1)
    frames -= frames.mean(axis=(1, 2), keepdims=True)
    moved = np.rint((scan.positions[:40] - scan.positions[0]) / scan.object_pixel).astype(int)
    inner = slice(35, 65)
    alike = {1: [], -1: []}
    for frame, (down, across) in zip(frames[1:], moved[1:], strict=True):
        for sign, found in alike.items():
            back = np.roll(frame, (sign * down, sign * across), (0, 1))
            found.append(np.corrcoef(back[inner, inner].ravel(), frames[0][inner, inner].ravel())[0, 1])
    assert np.mean(alike[1]) > 0.2
    assert abs(np.mean(alike[-1])) < 0.1


def test_refused_one_by_one(real_data: Path) -> None:
    assert "scan.frames" in refused(real_data / STAR, frames="0:517").message
    assert "isn't of use" in refused(real_data / STAR, paths={"image_key": "/a"}).message
