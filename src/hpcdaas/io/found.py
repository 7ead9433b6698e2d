"""What a format's reader found in a file, before the recipe's ``[scan]`` table is applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Stack

PROJECTION, FLAT, DARK, INVALID = 0, 1, 2, 3


@dataclass
class Found:
    """What a format's reader found in a file.

    Attributes
    ----------
    path : Path
        The file or folder that was opened.
    name, format : str
        As in `hpcdaas.scan.Scan`.
    files : list of Path
        Every file that holds the data, the opened one first.
    frames : Stack
        All frames (frame, row, column).
    keys : ndarray, (frames,), int, or None
        0 projection, 1 flat, 2 dark, 3 invalid; None where all are projections.
    angles : ndarray or None
        Degrees, one per frame or one per projection, as the file gives them.
    flats : list of (Stack, when)
        Flats that are kept apart from the projections.
    darks : list of Stack
        Darks that are kept apart from the projections.
    quantities : dict
        ``pixel_size, energy, distance, center`` where they are known.
    metadata : dict
        For `Scan.metadata`.
    notes : list of str
        For `Scan.understood`.
    """

    path: Path
    name: str
    format: str
    files: list[Path]
    frames: Stack
    keys: NDArray[np.integer[Any]] | None = None
    angles: NDArray[np.float64] | None = None
    flats: list[tuple[Stack, float]] = field(default_factory=list)
    darks: list[Stack] = field(default_factory=list)
    quantities: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def use(self, files: Sequence[Path]) -> None:
        """Remember files as part of the scan's data."""
        self.files += [path for path in files if path not in self.files]


def image_keys(values: NDArray[Any], frames: int, where: str) -> NDArray[np.int64]:
    """Check image keys, which some files store as reals.

    Raises
    ------
    InputError
        If there is not one for each frame, or one is none of 0, 1, 2, 3.
    """
    flat = np.ravel(values)
    if flat.size != frames:
        raise InputError(
            f"{where} has {flat.size} values, but there are {frames} frames.",
            "Give the right one with -s scan.paths.image_key=PATH.",
        )
    if not np.isin(flat, (PROJECTION, FLAT, DARK, INVALID)).all():
        wrong = flat[~np.isin(flat, (PROJECTION, FLAT, DARK, INVALID))][0]
        raise InputError(f"{where} holds {wrong:g}; known are 0 projection, 1 flat, 2 dark, 3 invalid.")
    return flat.astype(np.int64)


def flat_groups(frames: Stack, keys: NDArray[np.integer[Any]]) -> list[tuple[Stack, float]]:
    """Group the flats among the frames by how many projections were taken before them."""
    index = np.flatnonzero(keys == FLAT)
    before = np.cumsum(keys == PROJECTION)[index]
    return [(frames.take(index[before == when]), float(when)) for when in np.unique(before)]
