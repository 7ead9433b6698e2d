"""What a technique has to be able to do, and which one a scan needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hpcdaas.backend import Backend
from hpcdaas.errors import InputError
from hpcdaas.io.partial import Partial
from hpcdaas.parallel import Comm
from hpcdaas.pipeline.options import Watcher
from hpcdaas.recipe import Recipe
from hpcdaas.scan import PtychoScan, Scan


class Work(Protocol):
    """One scan, one recipe, one backend: what a technique has to be able to do, on all ranks in the same order."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time of each stage so far."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the main dataset."""
        ...

    @property
    def room(self) -> int:
        """Bytes that are needed on disk."""
        ...

    def plan(self) -> Any:
        """Choose how the scan goes through the memory; the plan has its bytes."""
        ...

    def run(self, partial: Partial, plan: Any, saved: dict[str, Any] | None, watcher: Watcher) -> Any:
        """Do it, from a checkpoint where there is one; what comes out has `metrics()`."""
        ...

    def describe(self, path: Path, outcome: Any, process: dict[str, Any], seconds: dict[str, float]) -> None:
        """Complete the result in the making."""
        ...


def make_work(
    scan: Scan | PtychoScan, recipe: Recipe, backend: Backend, memory: int, comm: Comm
) -> Work:  # fmt: skip
    """Give what does a run of the scan's technique."""
    if recipe.technique != scan.technique:
        raise InputError(
            f"{scan.name} is a scan of {scan.technique}, and the recipe '{recipe.name}' is for {recipe.technique}.",
            "Leave out -r for the default, or see 'hpcdaas inspect FILE --recipe'.",
        )
    if isinstance(scan, Scan):
        from hpcdaas.pipeline.tomography import Tomography

        return Tomography(scan, recipe, backend, memory, comm)
    from hpcdaas.pipeline.ptychography import Ptychography

    return Ptychography(scan, recipe, backend, memory, comm)
