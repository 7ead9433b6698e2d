"""Frames that are streamed are those that are held: the same views with the same groups, and the same objects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.ptycho import source
from hpcdaas.ptycho.source import Source
from hpcdaas.scan import PtychoScan
from ptycho_models import iterate, make_algorithm, make_model
from ptycho_scans import FAR, cut_of, scan_of, simulated

VIEWS = 41
FRAMES = np.random.default_rng(2).integers(1, 60000, (VIEWS, 18, 18)).astype(np.uint16)
CORNERS = np.stack([np.arange(VIEWS), 7 * np.arange(VIEWS)], axis=1).astype(np.int32)


def source_of(piece: int | None, frames: NDArray[Any] = FRAMES, **parameters: Any) -> Source:
    scan = scan_of(frames)
    return Source(scan, cut_of(scan, hot=0, **parameters), CORNERS[: len(frames)], piece)


def unpacked(of: Source, order: NDArray[np.int32], bounds: Sequence[int] | None) -> list[tuple[Any, ...]]:
    """Views one by one as they come: frame, corner, slot, and the number of the group."""
    found, group = [], 0
    for batch, inner in of.batches(order, bounds):
        assert inner[0] == 0
        assert inner[-1] == len(batch)
        for first, last in pairwise(inner):
            assert last > first
            for i in range(first, last):
                number = group if bounds is not None else 0
                found.append((batch.frames[batch.frame[i]], batch.corners[i], batch.slot[i], number))
            group += 1
    return found


@given(st.integers(1, VIEWS), st.integers(1, VIEWS), st.integers(1, VIEWS + 5), st.integers(0, 99), st.booleans())
@settings(max_examples=80, deadline=None)
def test_pieces_hold_what_is_held(count: int, group: int, piece: int, seed: int, grouped: bool) -> None:
    order = np.random.default_rng(seed).permutation(VIEWS)[:count].astype(np.int32)
    bounds = [*range(0, count, group), count] if grouped else None
    held = unpacked(source_of(None), order, bounds)
    streamed = unpacked(source_of(piece), order, bounds)
    assert len(held) == len(streamed) == count
    for view, mine, others in zip(order, held, streamed, strict=True):
        np.testing.assert_array_equal(mine[0], FRAMES[view])
        np.testing.assert_array_equal(mine[1], CORNERS[view])
        assert mine[2] == view
        assert all(np.array_equal(a, b) for a, b in zip(mine, others, strict=True))


@given(st.integers(1, VIEWS), st.integers(1, VIEWS))
@settings(max_examples=40, deadline=None)
def test_no_more_in_memory_than_is_allowed(group: int, piece: int) -> None:
    """A group that is larger than a piece comes alone; others come with as many as fit."""
    bounds = [*range(0, VIEWS, group), VIEWS]
    lengths = [
        (len(batch), len(inner) - 1)
        for batch, inner in source_of(piece).batches(np.arange(VIEWS, dtype=np.int32), bounds)
    ]
    assert sum(groups for _, groups in lengths) == len(bounds) - 1
    for length, groups in lengths:
        assert length <= piece or groups == 1
    for length, _ in lengths[:-2]:
        assert length + group > piece
    plain = [len(batch) for batch, _ in source_of(piece).batches(np.arange(VIEWS, dtype=np.int32))]
    assert plain == [min(piece, VIEWS - first) for first in range(0, VIEWS, piece)]


@pytest.mark.parametrize("at_once", [1, 2000, 64 << 20])
@pytest.mark.parametrize("piece", [None, 9])
def test_reads_are_cut_at_bytes(monkeypatch: pytest.MonkeyPatch, piece: int | None, at_once: int) -> None:
    monkeypatch.setattr(source, "AT_ONCE", at_once)
    order = np.arange(VIEWS, dtype=np.int32)[::-1].copy()
    for (frame, *_), view in zip(unpacked(source_of(piece), order, None), order, strict=True):
        np.testing.assert_array_equal(frame, FRAMES[view])


def test_every_view_is_read_once_in_a_pass() -> None:
    of = source_of(9)
    of.scan.frames.read_views.clear()
    unpacked(of, np.random.default_rng(0).permutation(VIEWS).astype(np.int32), None)
    assert sorted(of.scan.frames.read_views) == list(range(VIEWS))


def test_pieces_are_cut_and_binned_alike() -> None:
    order = np.arange(VIEWS, dtype=np.int32)
    for piece in (None, 7):
        for (frame, *_), raw in zip(unpacked(source_of(piece, size=8, bin=2), order, None), FRAMES, strict=True):
            expected = raw[1:17, 1:17].astype(float).reshape(8, 2, 8, 2).sum(axis=(1, 3))
            np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize("piece", [None, 30])
def test_frames_that_are_not_finite_are_named(piece: int | None) -> None:
    frames = np.ones((200, 8, 8), np.float32)
    scan = scan_of(frames)
    cut = cut_of(scan)
    frames[118, 3, 5] = np.nan  # one of those that were not looked at
    with pytest.raises(InputError, match=r"Frame 118 .* not finite"):
        unpacked(Source(scan, cut, np.zeros((200, 2), np.int32), piece), np.arange(200, dtype=np.int32)[::-1], None)


# What comes out


@pytest.fixture(scope="module")
def scan() -> PtychoScan:
    return simulated(FAR, views=70)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("lsqml", {"group": 8}),
        ("lsqml", {"group": 8, "grouping": "compact", "momentum": 0.5}),
        ("rpie", {"batch": 5}),
        ("rpie", {"batch": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("threads", [1, 2])
def test_moves_after_groups_are_the_same_bits(scan: PtychoScan, name: str, given: dict[str, Any], threads: int) -> None:
    models = [make_model(scan, threads, piece, modes=2) for piece in (None, 19)]
    numbers = [iterate(model, name, 4, **given) for model in models]
    np.testing.assert_array_equal(models[1].object, models[0].object)
    np.testing.assert_array_equal(models[1].probe, models[0].probe)
    for held, streamed in zip(*numbers, strict=True):
        assert streamed == pytest.approx(held, rel=1e-9)


@pytest.mark.parametrize(("name", "given"), [("ml", {}), ("ml", {"noise": "poisson"}), ("dm", {}), ("raar", {})])
def test_sums_over_all_views_are_the_same_but_for_rounding(scan: PtychoScan, name: str, given: dict[str, Any]) -> None:
    models = [make_model(scan, 1, piece) for piece in (None, 19)]
    for model in models:
        iterate(model, "lsqml", 5)
        algorithm = make_algorithm(model, name, **given)
        for iteration in range(3):
            algorithm.iterate(iteration)
    for held, streamed in zip(*((model.object, model.probe) for model in models), strict=True):
        assert np.linalg.norm(streamed - held) <= 1e-5 * np.linalg.norm(held)
