"""What a step is: a function, its parameters, its axis and its halo."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from hpcdaas.errors import HpcdaasError
from hpcdaas.params import Parameters


class Axis(Enum):
    """Along what a step needs its data whole."""

    POINT = "point"  # nothing: pixel by pixel
    PROJECTION = "projection"  # a frame, or a halo of rows around each row of it
    SINOGRAM = "sinogram"  # all angles of one detector row
    SCAN = "scan"  # decides one thing for the whole scan from a few rows, before the main pass
    SLICE = "slice"  # turns sinograms into slices
    RESULT = "result"  # says how slices are stored
    FRAME = "frame"  # prepares diffraction frames: crop, bin, centre, mask
    START = "start"  # makes the first probe and object
    VIEW = "view"  # a ptychographic algorithm: goes over the views again and again
    QUALITY = "quality"  # says how good the object is


def no_halo(parameters: Any, scan: Any) -> int:
    """Rows that a step needs above and below: none."""
    return 0


@dataclass(frozen=True)
class Step:
    """One step of a recipe, as its file in `tomo` or `ptycho` declares it.

    Attributes
    ----------
    name : str
        The word after ``use`` in a recipe.
    apply : callable
        The function. What it takes depends on `axis`; `hpcdaas.tomo.block` says it.
    parameters : type
        Its pydantic model.
    axis : Axis
        Along what it needs its data whole.
    place : int
        Where it is put when a recipe lacks it: steps are ordered by place.
    halo : callable
        (parameters, scan) to the rows needed above and below a row.
    row_work : int
        Bytes for each value of a sinogram that each thread works in, where it takes sinograms in threads.
    """

    name: str
    apply: Callable[..., Any]
    parameters: type[Parameters]
    axis: Axis
    place: int
    halo: Callable[[Any, Any], int] = no_halo
    row_work: int = 0

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (self.apply.__doc__ or "").strip().splitlines()[0]


def discover(package: ModuleType) -> Mapping[str, Step]:
    """Give the steps of a package in the order of their places.

    There is one for each module that ends with ``STEP = Step(...)``, and one for each entry point of installed
    packages in the group of the package's name (``hpcdaas.tomo``, ``hpcdaas.ptycho``).

    Raises
    ------
    HpcdaasError
        If two steps have the same name, or a package's step can't be imported.
    """
    found: dict[str, Step] = {}
    for module in pkgutil.iter_modules(package.__path__):
        step = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "STEP", None)
        if step is not None:
            found[step.name] = step
    for entry in entry_points(group=package.__name__):
        try:
            step = entry.load()
        except Exception as error:  # anybody's code
            raise HpcdaasError(
                f"The step '{entry.value}' can't be imported: {error}.", "Uninstall its package."
            ) from error
        if not isinstance(step, Step) or step.name in found:
            raise HpcdaasError(f"'{entry.value}' is no step, or one whose name is taken.", "Uninstall its package.")
        found[step.name] = step
    return {step.name: step for step in sorted(found.values(), key=lambda step: (step.place, step.name))}
