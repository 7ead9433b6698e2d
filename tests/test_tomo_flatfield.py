"""Flat field and logarithm: what is handed to the kernel, and what is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcdaas.errors import InputError
from hpcdaas.scan import FlatGroup, Scan
from hpcdaas.tomo.flatfield import FlatField, check_flats, flatfield, in_time
from hpcdaas.tomo.minus_log import MinusLog, minus_log
from tomo_blocks import make_block

rng = np.random.default_rng(3)


def test_transmission_and_line_integrals() -> None:
    t = rng.uniform(0.1, 1, (5, 2, 7))
    flat, dark = rng.uniform(1000, 2000, (2, 7)), rng.uniform(50, 60, (2, 7))
    counts = (t * (flat - dark) + dark).astype(np.float32)
    for log, expected in ((False, t), (True, -np.log(t))):
        block = make_block(counts, flats=[(0.0, np.stack([flat + 3, flat - 3]))], darks=dark[None])
        flatfield(block, FlatField())
        assert block.data is counts, "nothing is computed before the kernel"
        if log:
            minus_log(block, MinusLog())
        np.testing.assert_allclose(block.values(), expected, rtol=2e-4, atol=1e-4)


def test_median_leaves_out_a_zinger() -> None:
    flats = np.full((5, 1, 4), 100.0)
    flats[2, 0, 1] = 1e6
    block = make_block(np.full((3, 1, 4), 50.0), flats=[(0.0, flats)])
    flatfield(block, FlatField(average="median"))
    np.testing.assert_allclose(block.values(), 0.5)


def test_flats_are_interpolated_between_groups() -> None:
    # the beam fades linearly: 1000 before the first, 800 after 10, 500 after 25 projections
    when = np.array([0.0, 10.0, 25.0])
    light = np.array([1000.0, 800.0, 500.0])
    middle = np.arange(3, 25) + 0.5
    expected = np.interp(middle, when, light)
    data = np.broadcast_to(0.25 * expected[:, None, None], (22, 1, 3)).copy()
    groups = [(w, np.full((4, 1, 3), v)) for w, v in zip(when, light, strict=True)]
    block = make_block(data, flats=groups[::-1], first_projection=3)
    flatfield(block, FlatField())
    np.testing.assert_allclose(block.values(), 0.25, rtol=1e-6)


def test_outside_the_groups_the_nearest_counts() -> None:
    group, weight = in_time(np.array([5.0, 8.0]), 0, 12)
    assert group.tolist() == [0] * 8 + [1] * 4
    np.testing.assert_allclose(weight, [0, 0, 0, 0, 0, 0.5 / 3, 0.5, 2.5 / 3, 0, 0, 0, 0], atol=1e-6)


def test_one_group_for_all() -> None:
    group, weight = in_time(np.array([700.0]), 0, 4)
    assert group.tolist() == [0] * 4
    assert weight.tolist() == [0] * 4


def test_missing_darks_and_dead_pixels_are_said() -> None:
    flats = np.full((2, 4, 5), 10, np.uint16)
    flats[:, 1, 2] = 0
    flats[:, 0, 0] = 0  # in the halo, so not counted
    block = make_block(np.ones((3, 4, 5), np.uint16), flats=[(0.0, flats)], halo=1)
    flatfield(block, FlatField())
    assert block.tally["rows_without_darks"] == 2
    assert block.tally["dead_pixels"] == 1
    np.testing.assert_allclose(block.values()[:, 1, 2], 1)


def test_refused() -> None:
    data = np.ones((3, 1, 4))
    with pytest.raises(InputError, match=r"(?s)no flat fields.*scan\.flats"):
        flatfield(make_block(data), FlatField())
    same = rng.poisson(100, (5, 1, 4))
    with pytest.raises(InputError, match="nowhere brighter"):
        flatfield(make_block(data, flats=[(0.0, same)], darks=same), FlatField())
    with pytest.raises(InputError, match="flat fields hold values that are not finite"):
        flatfield(make_block(data, flats=[(0.0, np.full((2, 1, 4), np.nan))]), FlatField())
    with pytest.raises(InputError, match="dark fields hold values that are not finite"):
        flatfield(make_block(data, flats=[(0.0, data)], darks=np.full((2, 1, 4), np.inf)), FlatField())
    block = make_block(data, flats=[(0.0, data)])
    flatfield(block, FlatField())
    with pytest.raises(InputError, match="twice"):
        flatfield(block, FlatField())


def test_rows_between_modules_are_dead_not_refused() -> None:
    full = np.full((3, 2, 4), 65535, np.uint16)
    block = make_block(full.copy(), flats=[(0.0, full)], darks=full)
    flatfield(block, FlatField())
    assert block.tally["dead_pixels"] == 8
    np.testing.assert_allclose(block.values(), 1)


def test_minus_log_counts_what_is_at_or_below_zero() -> None:
    t = np.array([[[1.0, 0.5, 0.0, -1.0]]], np.float32)
    block = make_block(t)
    minus_log(block, MinusLog(floor=0.01))
    np.testing.assert_allclose(block.values(), -np.log([[[1, 0.5, 0.01, 0.01]]]), atol=1e-7)
    assert block.tally["nonpositive"] == 2
    block = make_block(t)
    minus_log(block, MinusLog())
    with pytest.raises(InputError, match="twice"):
        minus_log(block, MinusLog())


@dataclass
class Stack:
    """Frames in memory."""

    data: Any
    whole_frames: bool = False

    @property
    def shape(self) -> Any:
        return self.data.shape

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    def read(self, frames: slice, rows: slice, out: Any = None) -> Any:
        return self.data[frames, rows]


def scan(flats: Any, darks: Any) -> Scan:
    groups = () if flats is None else (FlatGroup(Stack(flats), 0.0),)
    return Scan("s", "nxtomo", (Path("s.h5"),), Stack(np.ones((2, 3, 4))), np.zeros(2), groups, darks and Stack(darks))


def test_scan_is_checked_before_work_starts() -> None:
    good = np.full((1, 3, 4), 7.0)
    check_flats(scan(good, None))
    for flats, message in (
        (None, "no flat"),
        (good[:0], "no flat"),
        (good * 0, "nowhere"),
        (good * np.nan, "finite"),
        (good[:, :2], "2 × 4"),
    ):
        with pytest.raises(InputError, match=message):
            check_flats(scan(flats, None))
