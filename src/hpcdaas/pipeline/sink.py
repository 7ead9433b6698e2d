"""Takes finished slices of a tomography run into its result in the making."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Float32
from hpcdaas.io.nexus_result import VolumeFile
from hpcdaas.parallel import Comm
from hpcdaas.tomo.store import Store, store


class Sink:
    """Stores slices in the type that is asked for, and keeps a cut across them.

    The checkpoint is saved before the first slices are: by then the FFT planner knows all its plans.

    Parameters
    ----------
    file : VolumeFile
    parameters : Store
    limits : tuple of float
        Values of the smallest and the largest integer, where integers are stored.
    save : callable
        Saves the checkpoint.
    """

    def __init__(
        self, file: VolumeFile, parameters: Store, limits: tuple[float, float], save: Callable[[], None]
    ) -> None:
        self.file, self._parameters, self._save = file, parameters, save
        self._low, self._high = limits
        self._cuts: dict[int, NDArray[Any]] = {}

    def has(self, first: int, count: int) -> bool:
        """Say whether slices are safe already."""
        return self.file.has(first, count)

    def put(self, first: int, slices: Float32, tally: Counter[str]) -> None:
        """Store slices first …, and return when they are safe."""
        if not self._cuts:
            self._save()
        stored = store(slices, self._parameters, self._low, self._high)
        self.file.put(first, stored, tally)
        for i, one in enumerate(stored):
            self._cuts[first + i] = one[:, one.shape[1] // 2].copy()

    def cut(self, comm: Comm) -> Float32:
        """Give the plane x = n // 2 as values, (z, y), to rank 0, and nothing to the others."""
        depth, _, width = self.file.layout.shape
        cuts = {place: line for some in comm.gather(self._cuts) for place, line in some.items()}
        if comm.rank:
            return np.empty((0, 0), np.float32)
        cut = np.stack([cuts[i] if i in cuts else self.file.read(i)[:, width // 2] for i in range(depth)])
        if self._parameters.dtype == "float32":
            return cut
        scale = (self._high - self._low) / self._parameters.largest
        return (cut * scale + self._low).astype(np.float32)
