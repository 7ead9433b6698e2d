"""Plans keep the budget, and read no more often than it demands."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas.errors import InputError
from hpcdaas.tomo.plan import BATCH, Load, Plan, block_bytes, make_plan

LOADS = st.builds(
    Load,
    angles=st.integers(1, 4000),
    rows=st.integers(1, 3000),
    columns=st.integers(16, 6000),
    itemsize=st.sampled_from([1, 2, 4]),
    slice_bytes=st.integers(1000, 4 * 6000**2),
    fixed=st.integers(0, 10**9),
    field_frames=st.integers(0, 100),
    halo=st.integers(0, 60),
    float_copies=st.sampled_from([0, 2]),
    whole_frames=st.booleans(),
    step=st.integers(1, 10),
    threads=st.integers(1, 256),
    row_work=st.sampled_from([0, 10**6, 10**8]),
)
BUDGETS = st.integers(0, 2 * 10**11)


def planned(load: Load, memory: int) -> Plan | None:
    try:
        return make_plan(load, memory)
    except InputError:
        return None


@given(LOADS, BUDGETS)
def test_the_budget_is_kept(load: Load, memory: int) -> None:
    plan = planned(load, memory)
    if plan is None:
        assert block_bytes(load, 1, hold=False) > memory
        return
    assert plan.bytes <= memory
    assert plan.bytes == block_bytes(load, plan.block, plan.hold)
    assert 1 <= plan.block <= load.rows


@given(LOADS, BUDGETS)
def test_blocks_are_whole_batches_where_they_can_be(load: Load, memory: int) -> None:
    plan = planned(load, memory)
    if plan and plan.block >= BATCH:
        assert plan.block % BATCH == 0 or plan.block == load.rows


@given(LOADS, BUDGETS)
def test_the_file_is_read_no_more_often_than_needed(load: Load, memory: int) -> None:
    plan = planned(load, memory)
    if plan is None:
        return
    if not load.whole_frames or plan.hold:
        assert plan.passes == 1
    else:
        assert plan.passes == -(-load.rows // plan.block)
        # neither what is held nor a taller block would have fitted
        assert block_bytes(load, min(BATCH, load.rows), hold=True) > memory
        taller = min(plan.block + BATCH, load.rows)
        single = load.step > 1 and load.halo > 0
        assert single or taller == plan.block or block_bytes(load, taller, hold=False) > memory


@given(LOADS, BUDGETS, st.integers(0, 10**11))
def test_more_memory_never_means_more_passes(load: Load, memory: int, more: int) -> None:
    less, much = planned(load, memory), planned(load, memory + more)
    if less is not None:
        assert much is not None
        assert much.passes <= less.passes


@given(LOADS)
def test_the_hint_is_enough(load: Load) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(load, 1000)
    said = re.search(r"--memory ([0-9.]+)GB", caught.value.hint)
    assert said
    make_plan(load, int(float(said[1]) * 1e9))


@given(LOADS, st.integers(1, 100), st.booleans())
def test_memory_grows_with_the_block(load: Load, block: int, hold: bool) -> None:
    assert block_bytes(load, block, hold) <= block_bytes(load, block + 1, hold)


def test_rows_apart_from_each_other_come_alone() -> None:
    """With a halo, rows that are not neighbours share nothing."""
    load = Load(100, 50, 100, 2, 40000, 0, halo=5, step=7)
    assert make_plan(load, 10**10).block == 1
    assert make_plan(Load(100, 50, 100, 2, 40000, 0, halo=0, step=7), 10**10).block > 1


def test_threads_that_need_much_memory_get_lower_blocks() -> None:
    load = Load(1500, 2000, 2048, 2, 4 * 2048**2, 0, float_copies=2, threads=64, row_work=150_000_000)
    low, high = (make_plan(load, memory) for memory in (4 * 10**9, 64 * 10**9))
    assert low.block < high.block
    assert high.bytes - block_bytes(replace(load, threads=1), high.block, hold=False) == 31 * load.row_work


def test_sentence() -> None:
    assert "3 times" in Plan(16, False, 3, 10**9).sentence()
    assert "once" in Plan(16, False, 1, 10**9).sentence()
    assert "held" in Plan(16, True, 1, 10**9).sentence()
    assert "one row" in Plan(1, False, 1, 10**9).sentence()
