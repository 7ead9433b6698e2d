"""Groups of views on a GPU whose work is recorded once and started as a whole for each: a CUDA graph.

A small group takes the device less time than the processor needs to start its kernels one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from hpcdaas.backend.cuda_device import I32, Device
from hpcdaas.backend.cuda_pieces import Placed, Staged

#: What is done with a group: its number, and its views.
Work: TypeAlias = Callable[[int, Placed], None]


def each_group(placed: Placed, bounds: Sequence[int], work: Work) -> None:
    """Do one group after the other."""
    for number, (first, last) in enumerate(pairwise(bounds)):
        work(number, placed.part(first, last))


def each_recorded(device: Device, placed: Placed, bounds: Sequence[int], work: Work) -> None:
    """Do the same where all groups of one size start the same kernels, but for the places of their views.

    The first one of a size is done as it is, so that kernels, plans and memory are there; the second one is recorded,
    if others follow.
    """
    many = Counter(np.diff(bounds).tolist())
    done: set[int] = set()
    kept: dict[int, tuple[Staged, Callable[[], None]]] = {}
    for number, (first, last) in enumerate(pairwise(bounds)):
        size = last - first
        if size not in done or many[size] == 2:
            work(number, placed.part(first, last))
            done.add(size)
            continue
        if size not in kept:
            staged = Staged.of(device, placed, size)
            kept[size] = staged, device.record(partial(work, number, staged))
        staged, again = kept[size]
        device.launch(
            device.kernel("places"), (1,), placed.corners, placed.frame, I32(first), I32(size), staged.corners,
            staged.frame,
        )  # fmt: skip
        again()
