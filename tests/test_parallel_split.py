"""Who does what: every item once, balance within one item, halos right; up to 4096 ranks, without MPI."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdaas.parallel import Serial
from hpcdaas.parallel.halo import Halo
from hpcdaas.parallel.launcher import announced
from hpcdaas.parallel.split import most_rows, rows_to_read, shares, split_rows
from hpcdaas.parallel.tiles import Box, make_tiling

RANKS = [1, 2, 3, 7, 64, 1000, 4096]


@given(st.integers(0, 10**7), st.integers(1, 4096))
def test_shares_hold_every_item_once(total: int, ranks: int) -> None:
    found = shares(total, ranks)
    assert len(found) == ranks
    assert found[0].start == 0
    assert found[-1].stop == total
    assert all(a.stop == b.start for a, b in itertools.pairwise(found))
    lengths = {len(share) for share in found}
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(0, 50), st.integers(1, 400), st.integers(1, 5), st.integers(1, 100))
def test_rows_are_split_once_and_evenly(start: int, count: int, step: int, ranks: int) -> None:
    rows = range(start, start + count * step, step)
    found = split_rows(rows, ranks)
    assert [row for span in found for row in span] == list(rows)
    lengths = [len(span) for span in found]
    pair = 2 if count >= 2 * ranks else 1
    assert max(lengths) - min(lengths) <= pair + 1
    assert max(lengths) <= most_rows(count, ranks) <= max(lengths) + pair - 1
    if pair == 2:  # pairs, which share a transform, stay together
        assert all(length % 2 == 0 for length in lengths[:-1])


@given(st.integers(0, 40), st.integers(1, 60), st.integers(1, 4), st.integers(1, 9), st.integers(0, 5), st.data())
def test_what_is_read_holds_each_rank_s_rows_and_halo(
    start: int, count: int, step: int, ranks: int, halo: int, data: st.DataObject
) -> None:
    if halo and step > 1:  # rows that are apart come one for each rank
        count = min(count, ranks)
    rows = range(start, start + count * step, step)
    spans = split_rows(rows, ranks)
    reads, places = rows_to_read(spans, halo)
    read = [row for run in reads for row in run]
    for span, place in zip(spans, places, strict=True):
        mine = read[place]
        if not len(span):
            assert mine == []
        elif halo == 0:
            assert mine == list(span)
        else:
            assert mine == list(range(span[0] - halo, span[-1] + halo + 1))
    if step == 1:
        assert len(reads) == 1


def windows(count: int, n: int, seed: int) -> tuple[np.ndarray, tuple[int, int]]:
    corners = np.random.default_rng(seed).integers(2, 500, (count, 2)).astype(np.int32)
    return corners, (504 + n, 504 + n)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("count", [1, 5, 640, 5000])
def test_tiles(count: int, ranks: int) -> None:
    n = 16
    corners, shape = windows(count, n, seed=count)
    tiling = make_tiling(corners, n, shape, ranks)
    views = np.bincount(tiling.owner, minlength=ranks)
    assert views.sum() == count
    # each cut is within one view, and there are as many cuts as twos in the number of ranks
    assert views.max() - views.min() <= max(1, np.ceil(np.log2(ranks)))
    times = np.zeros(shape, np.int32)
    for box in tiling.owned:
        times[box.slices] += 1
    assert (times == 1).all()
    for rank in range(0, ranks, max(1, ranks // 50)):
        held = tiling.held[rank]
        assert tiling.owned[rank].empty or held.around(tiling.owned[rank]) == held
        for y, x in corners[tiling.owner == rank]:
            assert held.both(Box(y, y + n, x, x + n)) == Box(y, y + n, x, x + n)


def test_powers_of_two_are_nested() -> None:
    """What belongs to one of two ranks belongs to the first or the second half of many."""
    corners, shape = windows(1024, 16, seed=3)
    many, two = (make_tiling(corners, 16, shape, ranks).owner for ranks in (32, 2))
    assert ((many >= 16) == (two == 1)).all()


@pytest.mark.parametrize("places", ["line", "point", "two clouds"])
def test_uneven_scans(places: str) -> None:
    corners = np.full((60, 2), 7, np.int32)
    if places == "line":
        corners[:, 1] += 3 * np.arange(60)
    elif places == "two clouds":
        corners[10:] += 300
    tiling = make_tiling(corners, 16, (400, 400), 7)
    assert set(np.bincount(tiling.owner, minlength=7)) <= {8, 9}
    assert sum(np.prod(box.shape) for box in tiling.owned) == 400 * 400


class Together:
    """Ranks in one process: what each sends is there for the others."""

    def __init__(self, rank: int, ranks: int, post: dict[tuple[int, int], np.ndarray]) -> None:
        self.rank, self.size, self.post = rank, ranks, post

    def exchange(self, sends: dict[int, np.ndarray], receives: dict[int, np.ndarray]) -> None:
        for other, array in sends.items():
            self.post[(self.rank, other)] = array.copy()
        for other, array in receives.items():
            if (other, self.rank) in self.post:
                array[...] = self.post[(other, self.rank)]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
def test_sums_of_tiles_are_those_of_the_plane(count: int, ranks: int, seed: int) -> None:
    n, rng = 9, np.random.default_rng(seed)
    corners = rng.integers(0, 40, (count, 2)).astype(np.int32)
    shape = (50, 52)
    tiling = make_tiling(corners, n, shape, ranks)
    plane, parts = np.zeros((1, *shape)), [np.zeros((1, *box.shape)) for box in tiling.held]
    for (y, x), owner in zip(corners, tiling.owner, strict=True):
        what = rng.random((n, n))
        plane[0, y : y + n, x : x + n] += what
        box = tiling.held[owner]
        parts[owner][0, y - box.top : y - box.top + n, x - box.left : x - box.left + n] += what
    post: dict[tuple[int, int], np.ndarray] = {}
    before = [part.copy() for part in parts]
    for rank in range(ranks):  # all send before any receives
        Halo(Together(rank, ranks, post), tiling).add(before[rank].copy())  # type: ignore[arg-type]
    for rank, part in enumerate(parts):
        Halo(Together(rank, ranks, post), tiling).add(part)  # type: ignore[arg-type]
        np.testing.assert_allclose(part[0], plane[(0, *tiling.held[rank].slices)], atol=1e-12)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"PMI_SIZE": "1"}, None),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, ("MPICH or Intel MPI", 4, 3)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, ("Open MPI", 2, 1)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, ("srun", 8, 5)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # a batch script, not a step of it
    ],
)
def test_launchers(variables: dict[str, str], expected: tuple[str, int, int] | None) -> None:
    assert announced(variables) == expected


def test_one_process_is_alone() -> None:
    comm = Serial()
    total = np.arange(3.0)
    comm.add(total)
    assert total.tolist() == [0, 1, 2]
    assert (comm.agree(True), comm.agree(), comm.share(5), comm.gather(5), comm.largest(2.0)) == (
        True,
        False,
        5,
        [5],
        2.0,
    )
