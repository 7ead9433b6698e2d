"""Flats and darks: among the frames, beside them in the file, in files of their own, or one value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io import nxtomo, tiff
from hpcdaas.io.found import DARK, FLAT, Found, flat_groups
from hpcdaas.io.frames import Joined, Memory, Stack
from hpcdaas.io.hdf5 import Tree, is_hdf5
from hpcdaas.io.hdf5_frames import stack_of
from hpcdaas.io.location import Location, locate
from hpcdaas.scan import ScanTable

_PLACES = {FLAT: ("/exchange/data_white", "/exchange/data"), DARK: ("/exchange/data_dark", "/exchange/data")}
_WORDS = {FLAT: "flats", DARK: "darks"}


def flats_of(found: Found, table: ScanTable, keys: NDArray[np.integer[Any]]) -> list[tuple[Stack, float]]:
    """Give the groups of flats, each with the projection before which it was taken.

    Raises
    ------
    InputError
        If what the table names isn't there.
    """
    given = table.flats if table.flats is not None else table.paths.get("flats")
    if given is not None:
        return [(_given(given, FLAT, found), 0.0)]
    return flat_groups(found.frames, keys) + found.flats


def darks_of(found: Found, table: ScanTable, keys: NDArray[np.integer[Any]]) -> Stack | None:
    """Give the darks, or None.

    Raises
    ------
    InputError
        If what the table names isn't there, or darks differ in size.
    """
    given = table.darks if table.darks is not None else table.paths.get("darks")
    if given is not None:
        return _given(given, DARK, found)
    index = np.flatnonzero(keys == DARK)
    parts = ([found.frames.take(index)] if index.size else []) + found.darks
    for part in parts:
        if part.shape[1:] != parts[0].shape[1:]:
            raise InputError(f"The darks of {found.path} have frames of different sizes.")
    return Joined(parts) if len(parts) > 1 else parts[0] if parts else None


def _given(given: str | float, key: int, found: Found) -> Stack:
    what = _WORDS[key]
    rows, columns = found.frames.shape[1:]
    try:
        value = float(given)
    except ValueError:
        place = locate(str(given), what, found.path)
    else:
        if not np.isfinite(value) or (key == FLAT and value <= 0):
            raise InputError(f"scan.{what} = {value:g} can't be: counts are finite, and those of flats positive.")
        return Memory.constant(value, (rows, columns))
    stack, files = _open(place, key)
    found.use(files)
    if rows == 1 and stack.shape[0] == 1 and stack.shape[1] > 1:
        return Memory(stack.read(slice(None), slice(None)).reshape(-1, 1, stack.shape[2]))  # a sinogram, too
    return stack


def _open(place: Location, key: int) -> tuple[Stack, list[Path]]:
    """Open flats or darks in a file of their own, or at a path."""
    what = _WORDS[key]
    if place.file.is_dir() or not is_hdf5(place.file):
        stack, files = tiff.open_stack(place.file)
        return stack, files
    with Tree(place.file) as tree:
        if place.path:
            dataset = tree.dataset(place.path)
            if dataset is None:
                raise InputError(f"scan.{what}: {place} is no dataset.")
            return stack_of(tree, dataset), tree.files
        if nxtomo.knows(tree):
            found = nxtomo.find(tree, ScanTable.model_validate({"angle_range": (0, 180)}))
            index = np.flatnonzero(found.keys == key) if found.keys is not None else np.empty(0, np.intp)
            return (found.frames.take(index) if index.size else found.frames), tree.files
        for path in _PLACES[key]:
            dataset = tree.dataset(path)
            if dataset is not None:
                return stack_of(tree, dataset), tree.files
        images = nxtomo.images(tree)
        if len(images) == 1:
            return stack_of(tree, images[0][1]), tree.files
    raise InputError(f"scan.{what}: it isn't clear where in {place.file} they are.", "Say where: FILE:PATH.")
