"""What goes into a checkpoint of ptychography on each rank, and how it comes back, also to another number of ranks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.io.pieces import CONTENT
from hpcdaas.parallel.tiles import Box
from hpcdaas.ptycho.tile import Tile

#: Parts of the names of arrays that lie on the object's pixels, and of those that belong to views.
ON_OBJECT, OF_VIEWS = "object", "waves"


def split(arrays: Mapping[str, NDArray[Any]], tile: Tile) -> dict[str, NDArray[Any]]:
    """Give what this rank saves: its own pixels and views; what all have alike is saved by rank 0."""
    own: dict[str, NDArray[Any]] = {"box": np.array(tile.owned), "views": tile.views}
    for name, array in arrays.items():
        if ON_OBJECT in name:
            own[name] = tile.counted(array)
        elif OF_VIEWS in name or tile.comm.rank == 0:
            own[name] = array
    return own


def join(pieces: Iterable[Mapping[str, NDArray[Any]]], tile: Tile) -> dict[str, NDArray[Any]]:
    """Put together what this rank needs of all that was saved."""
    arrays: dict[str, NDArray[Any]] = {}
    for piece in pieces:
        box, views = Box(*piece["box"].tolist()), piece["views"]
        for name in piece:
            if ON_OBJECT in name:
                _put_pixels(arrays, name, piece[name], box, tile)
            elif OF_VIEWS in name:
                _put_views(arrays, name, piece[name], views, tile)
            elif name not in ("box", "views", CONTENT):
                arrays[name] = piece[name]
    return arrays


def _put_pixels(
    arrays: dict[str, NDArray[Any]], name: str, part: NDArray[Any], box: Box, tile: Tile
) -> None:  # fmt: skip
    if name not in arrays:
        arrays[name] = np.zeros((*part.shape[:-2], *tile.shape), part.dtype)
    both = box.both(tile.box)
    if not both.empty:
        arrays[name][(..., *both.within(tile.box).slices)] = part[(..., *both.within(box).slices)]


def _put_views(
    arrays: dict[str, NDArray[Any]], name: str, part: NDArray[Any], views: NDArray[Any], tile: Tile
) -> None:  # fmt: skip
    if name not in arrays:
        arrays[name] = np.zeros((len(tile.views), *part.shape[1:]), part.dtype)
    _, here, there = np.intersect1d(tile.views, views, assume_unique=True, return_indices=True)
    arrays[name][here] = part[there]
