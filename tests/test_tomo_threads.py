"""Steps in several threads do what they do in one."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.tomo import steps
from hpcdaas.tomo.threads import each
from tomo_blocks import make_block

COUNTS = np.random.default_rng(0).poisson(100.0, (48, 300, 400)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("phase", {"delta_beta": 50.0}), ("stripes", {})],
)
def test_the_same_bits_in_any_number_of_threads(name, parameters, monkeypatch):
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(ReferenceBackend, "threads", threads)
        block = make_block(COUNTS.copy(), energy=2e4, distance=0.1, pixel_size=1e-6)
        steps()[name].apply(block, steps()[name].parameters(**parameters))
        found.append(block.values())
    assert np.array_equal(*found)
    assert not np.array_equal(found[0], COUNTS)


def test_parts_go_at_the_same_time_and_come_in_order():
    both = threading.Barrier(2, timeout=60)

    def work(part: int) -> int:
        both.wait()
        return 10 * part

    assert each(work, range(4), 2) == [0, 10, 20, 30]


def test_what_one_part_fails_with_is_raised():
    with pytest.raises(ZeroDivisionError):
        each(lambda part: 1 // part, [1, 0, 1], 3)


def test_one_thread_is_this_one():
    assert each(lambda _: threading.current_thread(), [0, 1], 1) == [threading.current_thread()] * 2
