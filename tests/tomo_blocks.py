"""Blocks for tests of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.tomo.block import Block


def make_block(data: Any, angles: Any = None, **given: Any) -> Block:
    """Make a block around data (angle, row, column) on the reference backend, if no other is given."""
    data = np.asarray(data)
    if angles is None:
        angles = np.linspace(0, np.pi, len(data), endpoint=False)
    values: dict[str, Any] = {
        "darks": np.zeros((0, *data.shape[1:]), data.dtype),
        "flats": [],
        "first_projection": 0,
        "rows": np.arange(data.shape[1]),
        "backend": ReferenceBackend(),
        **given,
    }
    return Block(data=data, angles=np.asarray(angles, np.float64), **values)
