"""Flat and dark field: counts become transmission."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.backend import Correction, Float32
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.scan import Scan
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block

NO_LIGHT = InputError(
    "The flat fields are nowhere brighter than the dark fields.",
    "Are the two exchanged, or was the shutter closed? Give others with -s scan.flats=... and -s scan.darks=...",
)


class FlatField(Parameters):
    """Parameters of `flatfield`."""

    average: Literal["mean", "median"] = Field(
        "mean", description="how frames of a group are joined; median leaves out zingers"
    )


def flatfield(block: Block, parameters: FlatField) -> None:
    """Divide by the flat field, dark field taken off both; flats are interpolated linearly in time.

    t = (counts − dark) / (flat − dark). The flat of a projection lies on the line between the
    group of flats before it and the one after it; before the first and after the last group the
    nearest one is taken. Nothing is computed on the data here: the next kernel does it while it
    loads the counts. Without dark frames the dark is zero (tally ``rows_without_darks``). Pixels
    where a group's flat isn't above the dark are counted (tally ``dead_pixels``).

    Parameters
    ----------
    block : Block
        Raw counts; gets a pending `Correction`.
    parameters : FlatField

    Raises
    ------
    InputError
        If there are no flats, they hold values that are not finite, or are nowhere above the darks.
    """
    if block.pending is not None:
        raise InputError("Step 'flatfield' is there twice, or after 'minus_log'.", "Keep one, before 'minus_log'.")
    groups = _groups(block)
    inner = slice(block.halo, block.data.shape[1] - block.halo)
    if len(block.darks):
        dark = _average(block.darks, parameters.average, "dark")
    else:
        dark = np.zeros(block.data.shape[1:], np.float32)
        block.tally["rows_without_darks"] += inner.stop - inner.start
    net = np.stack([_average(frames, parameters.average, "flat") - dark for frames in groups.values()])
    if not (net > 0).any() and not _between_modules(groups, block.darks):
        raise NO_LIGHT
    block.tally["dead_pixels"] += int((net[:, inner] <= 0).any(axis=0).sum())
    group, weight = in_time(np.array(list(groups)), block.first_projection, len(block.data))
    block.pending = Correction(dark, net, group, weight)


def in_time(
    when: NDArray[np.float64], first_projection: int, projections: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Say between which groups of flats each projection lies, and how far it is on the way.

    Parameters
    ----------
    when : ndarray, (group,)
        The projection before which each group was taken, ascending.
    first_projection, projections : int
        Index of the first projection, and how many.

    Returns
    -------
    group : ndarray, (projection,), int32
        The group before it (the first one, where none is before it).
    weight : ndarray, (projection,), float32
        Share of the following group, 0 to 1; 0 with the last group.
    """
    middle = first_projection + np.arange(projections) + 0.5  # `when` is between projections
    place = np.interp(middle, when, np.arange(len(when)))
    group = np.floor(place).astype(np.int32)
    return group, (place - group).astype(np.float32)


def check_flats(scan: Scan) -> None:
    """Refuse flats and darks that can't be used, from one frame of each, before the work starts.

    Raises
    ------
    InputError
        If there are no flats, their frames have another size than the projections, they hold
        values that are not finite, or they are nowhere above the darks.
    """
    if not scan.flats:
        raise _no_flats()
    frames = {"flat": [group.frames for group in scan.flats], "dark": [scan.darks] if scan.darks is not None else []}
    first: dict[str, list[NDArray[Any]]] = {"flat": [], "dark": []}
    for kind, stacks in frames.items():
        for stack in stacks:
            if stack.shape[1:] != scan.shape[1:]:
                raise InputError(
                    f"The {kind} fields are {stack.shape[1]} × {stack.shape[2]} pixels, "
                    f"the projections {scan.shape[1]} × {scan.shape[2]}.",
                    f"Give others with -s scan.{kind}s=...",
                )
            if stack.shape[0]:
                first[kind].append(_average(stack.read(slice(0, 1), slice(0, stack.shape[1])), "mean", kind))
    if not first["flat"]:
        raise _no_flats()
    dark = first["dark"][0] if first["dark"] else np.float32(0)
    if not any((flat > dark).any() for flat in first["flat"]):
        raise NO_LIGHT


def _no_flats() -> InputError:
    return InputError(
        "The scan has no flat fields.",
        "Say where they are with -s scan.flats=FILE:PATH, or leave the step 'flatfield' out of the recipe.",
    )


def _groups(block: Block) -> dict[float, NDArray[Any]]:
    """Give flats by time, ascending; groups taken at the same time become one."""
    groups: dict[float, NDArray[Any]] = {}
    for when, frames in sorted(block.flats, key=lambda group: group[0]):
        if len(frames):
            groups[when] = np.concatenate([groups[when], frames]) if when in groups else frames
    if not groups:
        raise _no_flats()
    return groups


def _average(frames: NDArray[Any], how: str, kind: str) -> Float32:
    """Join frames to one of float32, and refuse values that are not finite."""
    joined = np.median(frames, axis=0) if how == "median" else frames.mean(axis=0, dtype=np.float64)
    if not np.isfinite(joined).all():
        raise InputError(f"The {kind} fields hold values that are not finite.", f"Give others with -s scan.{kind}s=...")
    return np.asarray(joined, np.float32)


def _between_modules(groups: dict[float, NDArray[Any]], darks: NDArray[Any]) -> bool:
    """Tell rows between detector modules, where every frame holds one same value, from flats that are darks."""
    value = next(iter(groups.values())).flat[0]
    return all((frames == value).all() for frames in (*groups.values(), darks))


STEP = Step(name="flatfield", apply=flatfield, parameters=FlatField, axis=Axis.POINT, place=20)
