"""Tomography: one file per step. A file that ends with ``STEP = Step(...)`` is found by itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache

from hpcdaas.step import Step, discover


@cache
def steps() -> Mapping[str, Step]:
    """Give all steps by name, in the order of their places."""
    return discover(sys.modules[__name__])
