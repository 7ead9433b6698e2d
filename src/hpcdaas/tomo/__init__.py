"""Tomography: one file per step. A file that ends with ``STEP = Step(...)`` is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from hpcdaas.step import Step


@cache
def steps() -> Mapping[str, Step]:
    """Give all steps by name, in the order of their places."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        step = getattr(importlib.import_module(f"{__name__}.{module.name}"), "STEP", None)
        if step is not None:
            found.append(step)
    return {step.name: step for step in sorted(found, key=lambda step: (step.place, step.name))}
