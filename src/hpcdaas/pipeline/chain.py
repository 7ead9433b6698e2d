"""The algorithms of a recipe one after the other: iterations, curves, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import HpcdaasError, Interrupted
from hpcdaas.io.partial import Partial
from hpcdaas.pipeline.options import Watcher
from hpcdaas.pipeline.saving import join, split
from hpcdaas.ptycho.model import Algorithm, Iterations, Model
from hpcdaas.recipe import RecipeStep

#: Seconds between checkpoints, and the largest share of the time that goes into saving them.
INTERVAL, SHARE = 60.0, 0.05
#: Iterations over which stagnation is judged.
LOOK_BACK = 10


@dataclass(frozen=True)
class Stage:
    """An algorithm on a part of the views: all (an empty name), or half ``a`` or ``b``."""

    part: str
    step: RecipeStep

    @property
    def iterations(self) -> int:
        """How often it goes over the views, at most."""
        return self.common.iterations

    @property
    def common(self) -> Iterations:
        """The parameters that all algorithms have."""
        assert isinstance(self.step.parameters, Iterations)
        return self.step.parameters


class Chain:
    """Runs stages, and goes on from a checkpoint with the same bits.

    Parameters
    ----------
    model : Model
        Of all views, at its start.
    stages : list of Stage
        Those of all views first, then those of each half.
    partial : Partial
        Takes checkpoints.
    content : mapping
        What else a checkpoint holds, JSON-able.
    saved : mapping or None
        Checkpoint of an attempt before this one.
    """

    def __init__(
        self, model: Model, stages: list[Stage], partial: Partial, content: Mapping[str, Any],
        saved: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        self.stages, self._partial, self._content = stages, partial, dict(content)
        self._first_object = model.views.get(model.object.copy())
        self._models = {"": model}
        self._tile, self._comm = model.tile, model.tile.comm
        self._rows: list[dict[str, float]] = []
        self._stage = self._iteration = 0
        self._state: dict[str, NDArray[Any]] = {}
        self._saved_at, self._saving = time.monotonic(), 0.0
        #: Whether a half of the views came to nothing.
        self.failed = False
        if saved:
            self._go_on(saved)

    def model(self, part: str) -> Model:
        """Give the model of a part; halves take every other view, begin with an empty object and the found probe."""
        if part not in self._models:
            whole = self._models[""]
            half = whole.part(whole.order["ab".index(part) :: 2])
            half.object = whole.views.put(self._first_object.copy())
            self._models[part] = half
        return self._models[part]

    def run(self, watcher: Watcher) -> None:
        """Do what is left.

        Raises
        ------
        Interrupted
            If the watcher ended the run, after a checkpoint.
        HpcdaasError
            If an algorithm diverged.
        """
        total = sum(stage.iterations for stage in self.stages)
        before = sum(stage.iterations for stage in self.stages[: self._stage])
        while self._stage < len(self.stages) and not self.failed:
            stage = self.stages[self._stage]
            for done in self._iterate(stage, watcher):
                watcher.progress(before + done, total)
            before += stage.iterations
            self._stage, self._iteration, self._state = self._stage + 1, 0, {}
        watcher.progress(total, total)

    def _iterate(self, stage: Stage, watcher: Watcher) -> Iterator[int]:
        algorithm: Algorithm = stage.step.step.apply(self.model(stage.part), stage.step.parameters, self._state)
        self._state = {}  # it has what it needs
        start = time.monotonic()
        while self._iteration < stage.iterations:
            try:
                watcher.stop()
            except Interrupted:
                self._save(algorithm)
                raise
            found = algorithm.iterate(self._iteration)
            self._iteration += 1
            if not all(math.isfinite(value) for value in found.values()):
                if stage.part:  # the object itself is there: only how sharp it is stays unknown
                    watcher.say(f"Half {stage.part} of the views diverged: there will be no resolution.")
                    self.failed = True
                    return
                raise HpcdaasError(
                    f"The step '{stage.step.name}' diverged in iteration {self._iteration}.",
                    "Are positions, distance and (near field) scan.focus_distance right? Else try another start.",
                )
            self._rows.append({"stage": self._stage, **found})
            yield self._iteration
            ends = self._ends(stage.common, time.monotonic() - start)
            due = time.monotonic() - self._saved_at > max(INTERVAL, self._saving / SHARE)
            ends, due = self._comm.share((ends, due))  # clocks differ
            if ends:
                return
            if due:
                self._save(algorithm)

    def _ends(self, common: Iterations, seconds: float) -> bool:
        """Say whether a stage ends before its last iteration: by time, or because nothing moves any more."""
        if common.seconds is not None and seconds > common.seconds:
            return True
        if not common.stagnation:
            return False
        rows = [row for row in self._rows if row["stage"] == self._stage]
        if len(rows) <= LOOK_BACK:
            return False
        now, then = (row.get("error", row.get("distance", math.nan)) for row in (rows[-1], rows[-1 - LOOK_BACK]))
        return now > then * (1 - common.stagnation)

    def _save(self, algorithm: Algorithm) -> None:
        """Save all that the bits of the rest depend on."""
        start = time.monotonic()
        arrays = {f"state_{name}": array for name, array in algorithm.state().items()}
        for part, model in self._models.items():
            arrays |= {f"object_{part}": model.object, f"probe_{part}": model.probe}
        get = self._models[""].views.get
        pieces = {name: get(array) for name, array in split(arrays, self._tile).items()}
        generation = f"{self._stage}-{self._iteration}-{self._partial.token[:8]}"
        content = {
            **self._content,
            "stage": self._stage,
            "iteration": self._iteration,
            "rows": self._rows,
            "ranks": self._comm.size,
            "generation": generation,
        }
        for turn in (self._comm.rank > 0, self._comm.rank == 0):  # with the file of rank 0 it is whole
            if turn:
                self._partial.save_arrays(content, pieces, generation)
            self._comm.agree()
        self._saved_at = time.monotonic()
        self._saving = self._saved_at - start

    def _go_on(self, saved: Mapping[str, Any]) -> None:
        arrays = join(saved["pieces"], self._tile)
        for part in ("", "a", "b"):
            if f"object_{part}" in arrays:
                model = self.model(part)
                fields = (arrays[f"{name}_{part}"].copy() for name in ("object", "probe"))
                model.object, model.probe = (model.views.put(field) for field in fields)
        self._stage, self._iteration, self._rows = saved["stage"], saved["iteration"], list(saved["rows"])
        self._state = {n.removeprefix("state_"): a for n, a in arrays.items() if n.startswith("state_")}

    def parts(self) -> list[str]:
        """Give the names of the steps that the curve ``part`` counts."""
        return [stage.step.name for stage in self.stages if not stage.part]

    def curves(self) -> dict[str, NDArray[Any]]:
        """Give numbers per iteration over all views; NaN where one isn't given."""
        rows = [row for row in self._rows if not self.stages[int(row["stage"])].part]
        names = dict.fromkeys(name for row in rows for name in row if name != "stage")
        curves: dict[str, NDArray[Any]] = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
        return curves | {"part": np.array([int(row["stage"]) for row in rows], np.int32)}
