"""Groups of views that are spread over the object, the same for any number of ranks."""

from __future__ import annotations

import numpy as np

from hpcdaas.backend.views import Int32
from hpcdaas.parallel.tiles import assign
from hpcdaas.ptycho.model import Model


class SparseGroups:
    """Each group takes one view from each of as many regions of the object, by chance.

    So its views overlap little, and ranks, whose tiles are cut as the regions are, get alike shares of it.

    Parameters
    ----------
    model : Model
    group : int
        Views in a group.
    seed : int
    """

    def __init__(self, model: Model, group: int, seed: int) -> None:
        self._order, self._seed = model.order, seed
        geometry = model.geometry
        regions = max(1, min(group, len(self._order)))
        self._region, _ = assign(geometry.corners[self._order], geometry.n, geometry.shape, regions)

    def order(self, iteration: int) -> Int32:
        """Give the views, group after group: they follow from places, seed and iteration alone."""
        rng = np.random.default_rng((self._seed, iteration))
        shuffled = rng.permutation(len(self._order))
        by_region = shuffled[np.argsort(self._region[shuffled], kind="stable")]
        regions = self._region[by_region]
        starts = np.searchsorted(regions, regions)  # where the region of each begins
        turn = np.arange(len(regions)) - starts
        return self._order[by_region[np.lexsort((regions, turn))]]
