"""Plans keep the budget, hold frames where they fit, and say what is enough where nothing does."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas.errors import InputError
from hpcdaas.ptycho.plan import FEWEST, RESIDENT, Load, Plan, make_plan

LOADS = st.builds(
    Load,
    views=st.integers(2, 30000),
    n=st.sampled_from([8, 64, 100, 128, 256, 512, 1024]),
    itemsize=st.sampled_from([1, 2, 4]),
    stored_frame=st.integers(100, 20_000_000),
    probes=st.integers(1, 8),
    objects=st.integers(1, 3),
    object_pixels=st.integers(10_000, 10**8),
    group=st.integers(1, 256),
    stores_waves=st.booleans(),
    threads=st.integers(1, 128),
).map(lambda load: replace(load, group=min(load.group, load.views)))
BUDGETS = st.integers(0, 2 * 10**11)
#: 1.06 GB of frames.
LARGE = Load(16129, 256, 1, 65536, 1, 1, 900**2, 32, False, 2)


def planned(load: Load, memory: int) -> Plan | None:
    try:
        return make_plan(load, memory)
    except InputError:
        return None


def frames(load: Load, count: int) -> int:
    return count * load.n**2 * load.itemsize


@given(LOADS, BUDGETS)
def test_the_budget_is_kept(load: Load, memory: int) -> None:
    plan = planned(load, memory)
    if plan is None:
        assert load.fixed + load.waves + min(frames(load, load.views), 2 * frames(load, FEWEST)) > memory
        return
    assert plan.bytes <= memory
    # two pieces are there at once: one is read while another is worked on
    held = frames(load, load.views) if plan.piece is None else 2 * frames(load, plan.piece)
    assert plan.bytes == load.fixed + load.waves + held
    assert plan.waves == load.waves


@given(LOADS, BUDGETS)
def test_frames_are_held_where_they_fit(load: Load, memory: int) -> None:
    plan = planned(load, memory)
    if plan is None:
        return
    fit = load.fixed + load.waves + frames(load, load.views) <= memory
    assert (plan.piece is None) == fit
    if plan.piece is not None:
        assert max(FEWEST, load.group) <= plan.piece < load.views
        # as large as can be
        assert plan.bytes + 2 * frames(load, 1) > memory


@given(LOADS, BUDGETS, st.integers(0, 10**11))
def test_more_memory_never_means_smaller_pieces(load: Load, memory: int, more: int) -> None:
    less, much = planned(load, memory), planned(load, memory + more)
    if less is not None:
        assert much is not None
        assert (much.piece or load.views) >= (less.piece or load.views)


@given(LOADS, st.integers(0, 10**8))
def test_what_is_said_to_be_enough_is(load: Load, memory: int) -> None:
    with pytest.raises(InputError) as refused:
        make_plan(load, memory)
    said = re.search(r"--memory ([0-9.]+)GB", refused.value.hint)
    assert said
    enough = round(float(said[1]) * 1e9)
    make_plan(load, enough)
    assert planned(load, enough - 2 * 10**7) is None  # and no more than that
    assert f"needs {said[1]} GB" in refused.value.message
    assert ("lsqml" in refused.value.hint) == load.stores_waves


@given(LOADS)
def test_what_is_kept_grows_with_what_is_asked(load: Load) -> None:
    for more in (
        replace(load, n=load.n + 2),
        replace(load, probes=load.probes + 1),
        replace(load, objects=load.objects + 1),
        replace(load, object_pixels=load.object_pixels + 1),
        replace(load, threads=load.threads + 1),
    ):
        assert more.fixed > load.fixed
    assert load.fixed > RESIDENT + 8 * load.objects * load.object_pixels


def test_stored_waves_are_all_of_them() -> None:
    load = Load(516, 128, 2, 32768, 2, 3, 10**6, 32, True, 2)
    assert load.waves == 516 * 2 * 3 * 128 * 128 * 8
    assert replace(load, stores_waves=False).waves == 0


def test_a_gigabyte_of_frames_within_three() -> None:
    """They are held; within one gigabyte they are streamed in pieces worth reading."""
    assert make_plan(LARGE, 3 * 10**9).piece is None
    piece = make_plan(LARGE, 10**9).piece
    assert piece is not None
    assert 1000 < piece < 16129


def test_waves_of_that_do_not_fit() -> None:
    """8.5 GB of them: what is needed is said, and what needs less."""
    with pytest.raises(InputError) as refused:
        make_plan(replace(LARGE, stores_waves=True), 3 * 10**9)
    assert "8.46 GB of it are stored exit waves" in refused.value.message
    assert "lsqml" in refused.value.hint
    assert make_plan(replace(LARGE, stores_waves=True), 12 * 10**9).waves == 16129 * 256**2 * 8


def test_sentence() -> None:
    assert "held in memory" in Plan(None, 10**9).sentence()
    assert "500 frames at a time" in Plan(500, 10**9).sentence()
    assert "8.5 GB of stored waves, about 9.0 GB" in Plan(None, 9 * 10**9, 8_456_000_000).sentence()
