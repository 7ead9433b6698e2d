"""A tomography run: from an open scan to a volume in a result in the making."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Backend, Float32
from hpcdaas.errors import InputError
from hpcdaas.io.nexus_result import Description, Layout, VolumeFile, describe_result
from hpcdaas.io.partial import Partial
from hpcdaas.parallel import Comm, Serial
from hpcdaas.pipeline.options import Watcher
from hpcdaas.pipeline.sink import Sink
from hpcdaas.recipe import Recipe, RecipeStep
from hpcdaas.scan import Scan, parse_slice
from hpcdaas.step import Axis
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.center import CenterEstimate
from hpcdaas.tomo.field_of_view import find_axis
from hpcdaas.tomo.flatfield import check_flats
from hpcdaas.tomo.plan import BATCH, Plan, make_plan
from hpcdaas.tomo.samples import Samples, middle_of
from hpcdaas.tomo.store import Store, limits
from hpcdaas.tomo.volume import Volume

#: A centre with less confidence is not used unasked.
SURE = 0.5
#: Trial slices for the report: steps of the centre in columns, and the edge of the piece that is kept.
TRIAL_STEPS = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
TRIAL_EDGE = 512
#: Bytes for the text of a result and for HDF5's own structures.
TEXT = 4 << 20


class Tomography:
    """One scan, one recipe, one backend.

    Parameters
    ----------
    scan : Scan
    recipe : Recipe
    backend : Backend
    memory : int
        Budget of this rank in bytes.
    comm : Comm, optional
        Ranks that share the run.

    Raises
    ------
    InputError
        If recipe and scan don't go together.
    """

    def __init__(
        self, scan: Scan, recipe: Recipe, backend: Backend, memory: int, comm: Comm | None = None
    ) -> None:  # fmt: skip
        self.scan, self.recipe, self.memory, self.comm = scan, recipe, memory, comm or Serial()
        wanted = parse_slice(recipe.scan.rows, scan.shape[1])
        self.rows = range(wanted.start, wanted.stop, wanted.step)
        self.volume = Volume(scan, recipe.steps, backend, self.rows, self.comm)
        self.samples = Samples(self.volume)
        stored = [part.parameters for part in recipe.only(Axis.RESULT)]
        self.store = next((p for p in stored if isinstance(p, Store)), Store())
        self.store.window(self.volume.size)  # a crop beyond the slice is refused before work starts
        if any(part.step.name == "flatfield" for part in recipe.steps):
            check_flats(scan)
        self.backend = backend

    def _beside(self) -> int:
        """Bytes of diagnostics, axes and text beside the volume, at most."""
        angles, _, columns = self.scan.shape
        trials = len(TRIAL_STEPS) * min(TRIAL_EDGE, self.volume.size) ** 2
        cut = len(self.rows) * self.volume.size
        return (
            4 * (angles * (columns + self.volume.size) + trials + cut)
            + 8 * (len(self.rows) + 2 * self.volume.size)
            + TEXT
        )

    @property
    def layout(self) -> Layout:
        """Shape and type of the stored volume; before the centre is known, the largest that it may have."""
        y, x = self.store.window(self.volume.size)
        return Layout((len(self.rows), y.stop - y.start, x.stop - x.start), self.store.dtype, self._beside())

    @property
    def room(self) -> int:
        """Bytes that the result needs on disk."""
        return self.layout.bytes + self.layout.beside

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the stored volume."""
        return self.layout.shape

    @property
    def seconds(self) -> dict[str, float]:
        """Time of each stage so far."""
        return self.volume.clock.seconds

    def plan(self) -> Plan:
        """Choose how the scan goes through the memory."""
        maker = self.volume.maker.parameters
        padding, eps = getattr(maker, "padding", 2.0), getattr(maker, "eps", 1e-3)
        work = self.backend.work_bytes(self.volume.size, len(self.rows), self.scan.shape[0], padding, eps)
        if self.store != Store():  # a batch is converted or cropped while the next one is computed
            work += 8 * min(BATCH, len(self.rows)) * self.volume.size**2
        plans = self.comm.gather(make_plan(self.volume.load(work), self.memory, self.comm.local))
        return min(plans, key=lambda plan: (plan.hold, plan.block))  # that of the node with the least memory

    def find_center(self, plan: Plan | None = None) -> CenterEstimate:
        """Take the known centre, or find it on a few rows.

        Parameters
        ----------
        plan : Plan, optional
            Of the run that follows, whose first block is read meanwhile.

        Raises
        ------
        InputError
            If it can't be found with confidence.
        """
        if self.scan.center is not None:  # the reader has seen to it that it is on the detector
            return CenterEstimate(self.scan.center, 1.0, {}, "given")
        finder = self.recipe.only(Axis.SCAN)
        if not finder:
            raise InputError("The recipe doesn't look for the centre.", "Give --center, or add the step 'center'.")
        block = self.samples.center_block()
        if plan is not None:
            self.volume.begin(plan)
        with self.volume.clock.stage("center"):
            return self.comm.from_first(None if block is None else self._look(block, finder[0]))

    def _look(self, block: Block, finder: RecipeStep) -> CenterEstimate:
        if self.volume.wide is not None:
            return find_axis(block)
        estimate: CenterEstimate = finder.step.apply(block, finder.parameters)
        return estimate

    def run(self, partial: Partial, plan: Plan, saved: dict[str, Any] | None, watcher: Watcher) -> Outcome:
        """Reconstruct into a result in the making.

        Parameters
        ----------
        partial : Partial
        plan : Plan
            How the scan goes through the memory, where nothing is saved.
        saved : dict or None
            Checkpoint of an attempt before this one.
        watcher : Watcher

        Returns
        -------
        Outcome

        Raises
        ------
        InputError
            If the data can't be used, or the centre can't be found.
        """
        if saved and saved.get("ranks", 1) == self.comm.size:
            plan = Plan(**saved["plan"])  # the same blocks are missing
        watcher.say(f"Plan: {plan.sentence()}.")
        if plan.hold:
            self.volume.hold()
        if saved:
            estimate = CenterEstimate(saved["center"], saved["confidence"], saved["methods"], saved["reason"])
            low, high = saved["low"], saved["high"]
            self.volume.center = estimate.center
        else:
            # the limits of integers come from a trial slice, which is read by itself
            estimate = self.find_center(plan if self.store.dtype == "float32" else None)
            if estimate.confidence < SURE:
                raise unsure(estimate)
            self.volume.center = estimate.center
            low, high = self._limits(estimate.center)

        def save() -> None:
            state = {"backend": self.backend.name, "state": self.backend.state(), "ranks": self.comm.size}
            partial.save_checkpoint({**state, "plan": asdict(plan), "low": low, "high": high, **asdict(estimate)})

        watcher.say(f"Centre: {estimate.center:.2f}, confidence {estimate.confidence:.2f}: {estimate.reason}")
        sink = Sink(self._file(partial, plan, new=saved is None), self.store, (low, high), save)
        try:
            self._fill(sink, plan, watcher)
            diagnostics = self._diagnostics(estimate.center) | {"cut_x": sink.cut(self.comm)}
            tally = sink.file.tally()
        finally:
            sink.file.close()
        return Outcome(estimate, low, high, tally, diagnostics)

    def _file(self, partial: Partial, plan: Plan, new: bool) -> VolumeFile:
        """Lay the volume's file out on rank 0, then open it everywhere; all ranks know what is done in it."""
        if self.comm.rank == 0:
            if not new:
                partial.keep(self._whole_blocks(partial.done(), plan))
            file = VolumeFile(partial, self.layout, new)
        done = self.comm.share(partial.done() if self.comm.rank == 0 else [])
        if self.comm.rank:
            file = VolumeFile(partial, self.layout, None)
        file.mark(done)
        return file

    def _whole_blocks(self, entries: list[dict[str, Any]], plan: Plan) -> list[dict[str, Any]]:
        """Give the journal's entries of blocks that are done on all ranks; others are done again."""
        kept: list[dict[str, Any]] = []
        at = 0
        for rows in self.volume.blocks(plan):
            here = range(at, at + len(rows))
            inside = [e for e in entries if e["first"] in here and e["first"] + e["count"] <= here.stop]
            if sum(e["count"] for e in inside) == len(here):
                kept += inside
            at = here.stop
        return kept

    def _fill(self, sink: Sink, plan: Plan, watcher: Watcher) -> None:
        total = len(self.rows)
        watcher.progress(sink.file.count, total)
        self.volume.run(plan, sink, lambda done: watcher.progress(done, total), watcher.stop)
        self.comm.agree()  # all slices of all ranks are safe

    def _limits(self, center: float) -> tuple[float, float]:
        if self.store.dtype == "float32":
            return 0.0, 1.0
        if self.store.low is not None and self.store.high is not None:
            return self.store.low, self.store.high
        return limits(self.samples.trials([center], self.volume.size)[0], self.store)

    def _diagnostics(self, center: float) -> dict[str, NDArray[Any]]:
        """Sinograms of the middle row, and slices with centres around the one that was used."""
        raw, sinogram = self.samples.middle()
        found: dict[str, NDArray[Any]] = {"sinogram_raw": raw, "sinogram": sinogram}
        if len(self.rows) > 3:  # a preview is to be quick
            values, slices = self.trials(center, TRIAL_EDGE)
            found |= {"center_trials": slices, "center_values": np.array(values)}
        return found

    def trials(self, center: float, edge: int | None = None) -> tuple[list[float], Float32]:
        """Reconstruct the middle row with centres around one.

        Parameters
        ----------
        center : float
            Columns.
        edge : int, optional
            Edge of the piece in the middle that is kept; default: all.

        Returns
        -------
        centers : list of float
            The centres that were used.
        slices : ndarray, (k, edge, edge), float32
        """
        centers = [center + step for step in TRIAL_STEPS if 0 <= center + step <= self.scan.shape[2] - 1]
        slices = self.samples.trials(centers, edge or self.volume.size)
        smallest = min(len(one) for one in slices)
        return centers, np.stack([middle_of(one, smallest) for one in slices])

    def describe(self, path: Path, outcome: Outcome, process: dict[str, Any], seconds: dict[str, float]) -> None:
        """Add to the result in the making what it says beside its volume."""
        if self.comm.rank == 0:
            describe_result(path, self.description(outcome, process, seconds))

    def description(self, outcome: Outcome, process: dict[str, Any], seconds: dict[str, float]) -> Description:
        """Say what the result file says beside its volume."""
        size, scan = self.volume.size, self.scan
        pixel = scan.pixel_size
        step = pixel if pixel else 1.0
        y, x = self.store.window(size)
        across = np.asarray((np.arange(size) - (size - 1) / 2) * step, np.float64)
        integers = self.store.dtype != "float32"
        return Description(
            process=process,
            axes={"z": np.array(self.rows, np.float64) * step, "y": across[y], "x": across[x]},
            axis_units="m" if pixel else "pixel",
            units="1/m" if pixel else "1/pixel",
            scale=(outcome.high - outcome.low) / self.store.largest if integers else 1.0,
            offset=outcome.low if integers else 0.0,
            metrics=outcome.metrics() | {f"seconds_{k}": {"value": v, "unit": "s"} for k, v in seconds.items()},
            title=str(scan.metadata.get("title", "")),
            sample=str(scan.metadata.get("sample", "")),
            diagnostics=outcome.diagnostics,
            row=self.rows[len(self.rows) // 2],
        )


@dataclass(frozen=True)
class Outcome:
    """What a run found on the way."""

    estimate: CenterEstimate
    low: float
    high: float
    tally: Counter[str]
    diagnostics: dict[str, NDArray[Any]]

    def metrics(self) -> dict[str, Any]:
        """Numbers for the result and the catalogue."""
        return {
            "center": {"value": self.estimate.center, "unit": "pixel"},
            "center_confidence": self.estimate.confidence,
            **{f"center_{name}": {"value": v, "unit": "pixel"} for name, v in self.estimate.methods.items()},
            **dict(self.tally),
        }


def unsure(estimate: CenterEstimate) -> InputError:
    """Say that the centre can't be found, and what to do."""
    return InputError(
        f"The rotation centre isn't sure: best guess {estimate.center:.2f}, confidence {estimate.confidence:.2f}. "
        f"{estimate.reason}",
        "Look at trial slices with 'hpcdaas inspect FILE --center' and give one with --center PIXEL.",
    )
