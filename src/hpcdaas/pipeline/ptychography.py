"""A ptychography run: from an open scan to object and probe in a result in the making."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpcdaas.backend import Backend
from hpcdaas.backend.views import Views, ViewSetup
from hpcdaas.errors import InputError
from hpcdaas.io.partial import Partial
from hpcdaas.io.ptycho_result import lay_out_ptycho_result, write_part
from hpcdaas.parallel import Comm, Serial
from hpcdaas.parallel.on_device import reach_devices
from hpcdaas.pipeline.chain import Chain, Stage
from hpcdaas.pipeline.options import Watcher
from hpcdaas.pipeline.ptycho_outcome import Outcome
from hpcdaas.ptycho import steps
from hpcdaas.ptycho.focus import Focus, find_focus
from hpcdaas.ptycho.frames import Cut
from hpcdaas.ptycho.geometry import Geometry, make_geometry, transfer
from hpcdaas.ptycho.model import Model, waves_needed
from hpcdaas.ptycho.modes import orthogonal
from hpcdaas.ptycho.orientation import Oriented, find_orientation
from hpcdaas.ptycho.plan import Load, Plan, make_plan
from hpcdaas.ptycho.source import Source
from hpcdaas.ptycho.tile import Tile
from hpcdaas.recipe import Recipe
from hpcdaas.scan import PtychoScan, oriented
from hpcdaas.step import Axis

#: An orientation with less confidence is not used unasked.
SURE = 0.5
#: Pairs of object and probe in a checkpoint at most: of all views, of two halves, a gradient and a direction.
SAVED = 5
#: Bytes for the text of a result, curves, and HDF5's own structures.
TEXT = 4 << 20


class Ptychography:
    """One scan, one recipe, one backend.

    Parameters
    ----------
    scan : PtychoScan
    recipe : Recipe
    backend : Backend
    memory : int
        Budget in bytes.

    Raises
    ------
    InputError
        If recipe and scan don't go together.
    """

    def __init__(
        self, scan: PtychoScan, recipe: Recipe, backend: Backend, memory: int, comm: Comm | None = None
    ) -> None:  # fmt: skip
        self.comm = comm or Serial()
        self.scan, self.recipe, self.backend, self.memory = scan, recipe, backend, memory
        self.seconds: dict[str, float] = {}
        #: Sample downstream of the focus, m, where it had to be found.
        self.found_defocus: float | None = None
        self._frames_read: Source | None = None
        self._views: Views | None = None
        self._tile_made: Tile | None = None
        self.algorithms = recipe.only(Axis.VIEW)
        start = time.perf_counter()
        self._frames, self._start = (self._parameters(axis, name) for axis, name in _BEFORE)
        cut: Cut | None = steps()["frames"].apply(scan, self._frames) if self.comm.rank == 0 else None
        self.cut: Cut = self.comm.from_first(cut)
        self.geometry = self._geometry(scan)
        self.modes = self._modes()
        self._count("read", start)

    def _parameters(self, axis: Axis, name: str) -> Any:
        """Give the parameters of the recipe's step along an axis, or the defaults of that name."""
        found = self.recipe.only(axis)
        return found[0].parameters if found else steps()[name].parameters()

    def _geometry(self, scan: PtychoScan) -> Geometry:
        geometry = make_geometry(scan, self.cut.n, self.cut.bin)
        rows, columns = geometry.shape
        needed = 8 * rows * columns
        if needed > self.memory:
            raise InputError(
                f"The positions span an object of {rows} × {columns} pixels, {needed / 1e9:.3g} GB, and the budget is "
                f"{self.memory / 1e9:.3g} GB.",
                "Are they in m? A unit is given with -s scan.positions=..., more memory with --memory.",
            )
        if np.ptp(geometry.places, axis=0).max() < 1:
            raise InputError(
                "All positions lie within one pixel of the object.",
                "Check their unit, the distance, and scan.focus_distance in the near field.",
            )
        return geometry

    def _modes(self) -> tuple[int, int]:
        """Give the numbers of probe and object modes."""
        probes, objects = self._start.modes, self._start.object_modes
        if probes * objects > len(self.geometry.places):
            raise InputError(
                f"{probes} × {objects} modes are more than the {len(self.geometry.places)} views can tell apart.",
                "Give fewer: -s start.modes=...",
            )
        return probes, objects

    @property
    def room(self) -> int:
        """Bytes that the result and the checkpoints need on disk: an old one stays until the next is whole."""
        pixels = self.geometry.shape[0] * self.geometry.shape[1]
        fields = 8 * (self.modes[1] * pixels + self.modes[0] * self.cut.n**2)
        load = self._load()
        checkpoint = SAVED * fields + load.waves * len(self.geometry.places) // max(1, load.views)
        return fields + 8 * pixels + 2 * checkpoint + TEXT

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the object (mode, y, x)."""
        return (self.modes[1], *self.geometry.shape)

    def _load(self) -> Load:
        frames, tile = self.scan.frames, self._tile(self.geometry)
        groups = [getattr(s.parameters, "group", getattr(s.parameters, "batch", 1)) for s in self.algorithms]
        return Load(
            views=len(tile.views),
            n=self.cut.n,
            itemsize=self.cut.dtype(frames.dtype).itemsize,
            stored_frame=int(np.prod(frames.shape[1:])) * frames.dtype.itemsize,
            probes=self.modes[0],
            objects=self.modes[1],
            object_pixels=tile.shape[0] * tile.shape[1],
            group=min(max(groups), len(self.geometry.places)),
            stores_waves=any(waves_needed(s.parameters) for s in self.algorithms),
            threads=self.backend.threads,
        )

    def plan(self) -> Plan:
        """Choose how the frames go through the memory."""
        return make_plan(self._load(), self.memory, self.comm.local)

    def run(self, partial: Partial, plan: Plan, saved: dict[str, Any] | None, watcher: Watcher) -> Outcome:
        """Reconstruct; see `hpcdaas.pipeline.tomography.Tomography.run`."""
        reach_devices(self.comm, self.backend.gpu)
        if self.comm.links is not None:
            watcher.say(f"Ranks exchange from GPU to GPU, by {self.comm.links.name}.")
        if saved and saved["ranks"] == self.comm.size == 1:
            plan = Plan(**saved["plan"])  # the same pieces give the same bits
        if saved and saved["ranks"] != self.comm.size:
            watcher.say(f"Going on with {self.comm.size} ranks instead of {saved['ranks']}: last bits may differ.")
        if saved and saved["threads"] != self.backend.threads:
            now = self.backend.threads
            watcher.say(f"Going on with {now} threads instead of {saved['threads']}: last bits may differ.")
        watcher.say(f"Plan: {plan.sentence()}.")
        self._warn_of_small_groups(watcher)
        scan, found = self._oriented(plan, saved, watcher)
        self._focused(scan, plan, saved, watcher)
        start = time.perf_counter()
        model = self._model(scan, plan)
        start = self._count("read", start)
        rows, columns = model.geometry.shape
        pixel = " × ".join(f"{1e9 * p:.3g}" for p in dict.fromkeys(model.geometry.pixel))
        n = self.cut.n
        watcher.say(f"{len(model.order)} views of {n} × {n}, object of {rows} × {columns} pixels of {pixel} nm.")
        content = {
            "backend": self.backend.name,
            "threads": self.backend.threads,
            "state": self.backend.state(),
            "plan": asdict(plan),
            "oriented": asdict(found) if found else None,
            "defocus": self._start.defocus,
        }
        chain = Chain(model, self._stages(), partial, content, saved)
        chain.run(watcher)
        start = self._count("compute", start)
        outcome = self._outcome(scan, chain, found)
        if self.recipe.only(Axis.QUALITY) and outcome.frc is None:
            watcher.say("The halves of the views can't be compared: there is no resolution.")
        self._count("quality", start)
        return outcome

    def _warn_of_small_groups(self, watcher: Watcher) -> None:
        for part in self.algorithms:
            name = next((n for n in ("group", "batch") if hasattr(part.parameters, n)), None)
            if name and getattr(part.parameters, name) < self.comm.size:
                size = getattr(part.parameters, name)
                watcher.say(
                    f"{size} views at once can't keep {self.comm.size} ranks busy: more with "
                    f"-s {part.name}.{name}=..., or fewer ranks with more threads."
                )

    def _stages(self) -> list[Stage]:
        """Give all that is to be done: the recipe's algorithms, and for the quality the same on both halves."""
        stages = [Stage("", s) for s in self.algorithms]
        for _ in self.recipe.only(Axis.QUALITY):
            stages += [Stage(half, s) for half in ("a", "b") for s in self.algorithms]
        return stages

    def _oriented(
        self, plan: Plan, saved: dict[str, Any] | None, watcher: Watcher
    ) -> tuple[PtychoScan, Oriented | None]:
        """Find out how the positions lie on the object, where that is asked for."""
        if self.scan.orientation != "auto":
            return self.scan, None
        if saved and saved["oriented"]:
            found = Oriented(**saved["oriented"])
        else:

            def make(scan: PtychoScan) -> Model:
                start = self._start
                if self._unfocused:
                    start = start.model_copy(update={"defocus": self._find_focus(scan, plan, watcher).defocus})
                return self._model(scan, plan, start)

            found = find_orientation(self.scan, make, watcher.stop)
        tried = ", ".join(f"{name} {error:.3g}" for name, error in found.errors.items())
        if found.confidence < SURE:
            raise InputError(
                f"The orientation of the positions isn't sure: confidence {found.confidence:.2f}, errors {tried}.",
                f"Give it: -s scan.position_orientation={found.orientation} fits best.",
            )
        watcher.say(f"Positions are {found.orientation}, confidence {found.confidence:.2f} (errors {tried}).")
        positions = oriented(self.scan.positions, found.orientation)
        self.geometry = self._geometry(replace(self.scan, positions=positions))
        return replace(self.scan, positions=positions, orientation=found.orientation, oriented="data"), found

    @property
    def _unfocused(self) -> bool:
        """Whether the start is the mean frame's focus, and nobody says how far the sample is from it."""
        p = self._start
        kind = "mean" if p.probe == "auto" and self.scan.probe is None else p.probe
        return kind == "mean" and p.defocus is None and self.scan.focus_distance is None

    def _focused(self, scan: PtychoScan, plan: Plan, saved: dict[str, Any] | None, watcher: Watcher) -> None:
        """Find out how far the sample is from the focus, where that matters and isn't known."""
        if not self._unfocused:
            return
        defocus = saved["defocus"] if saved else self._find_focus(scan, plan, watcher).defocus
        watcher.say(f"No first probe: the sample is taken as {1e6 * defocus:.4g} µm downstream of the focus.")
        self._start = self._start.model_copy(update={"defocus": defocus})
        self.found_defocus = defocus

    def _find_focus(self, scan: PtychoScan, plan: Plan, watcher: Watcher) -> Focus:
        geometry = self._geometry(scan)

        def make(distance: float) -> Model:
            return self._model(scan, plan, self._start.model_copy(update={"defocus": distance}))

        return find_focus(scan, self.cut, geometry, make, watcher.stop)

    def _tile(self, geometry: Geometry) -> Tile:
        """Give this rank's part of the scan."""
        if self._tile_made is None or not np.array_equal(self._tile_made.all_corners, geometry.corners):
            self._tile_made = Tile(geometry, self.comm)
        return self._tile_made

    def _source(self, scan: PtychoScan, tile: Tile, plan: Plan) -> Source:
        """Give the frames, which are read once however many models are made of them."""
        if self._frames_read is None or not np.array_equal(self._frames_read.views, tile.views):
            self._frames_read = None  # the others are in other memory then
            self._frames_read = Source(scan, self.cut, tile.corners, plan.piece, tile.views)
        return self._frames_read.at(tile.corners)

    def _model(self, scan: PtychoScan, plan: Plan, start: Any = None) -> Model:
        geometry = self._geometry(scan)
        tile = self._tile(geometry)
        object_, probe = steps()["start"].apply(scan, self.cut, geometry, start or self._start, tile)
        near = transfer(scan, geometry.n, geometry.pixel)
        setup = ViewSetup(geometry.n, len(probe), len(object_), self.cut.good, self.cut.limit, near)
        source = self._source(scan, tile, plan)
        if self._views is None:
            self._views = self.backend.views(setup)
        return Model.start(object_, probe, geometry, source, self._views, tile)

    def _outcome(self, scan: PtychoScan, chain: Chain, found: Oriented | None) -> Outcome:
        model = chain.model("")
        model.probe = model.views.put(orthogonal(model.views.get(model.probe)))
        misfit = model.evaluate()
        quality = self.recipe.only(Axis.QUALITY) if not chain.failed else []
        halves = (chain.model("a"), chain.model("b"), quality[0].parameters) if quality else None
        frc = quality[0].step.apply(model, *halves) if halves else None
        decided = {"": "nothing: as stored", "data": "the data"}.get(scan.oriented, f"the {scan.oriented}")
        numbers = {
            "error": misfit.error / misfit.counts,
            "resolution": {"value": frc.resolution, "unit": "m"} if frc else None,
            "views": len(model.order),
            "orientation": scan.orientation,
            "orientation_decided_by": decided,
            "object_pixel": {"value": model.geometry.pixel[0], "unit": "m"},
        }
        if found:
            numbers["orientation_confidence"] = found.confidence
        if self.found_defocus is not None:
            numbers["defocus"] = {"value": self.found_defocus, "unit": "m"}
        return Outcome(model, frc, {k: v for k, v in numbers.items() if v is not None}, chain.curves(), chain.parts())

    def describe(self, path: Path, outcome: Outcome, process: Mapping[str, Any], seconds: Mapping[str, float]) -> None:
        """Write the result file in the making."""
        description = outcome.description(self.scan, self.cut, process, seconds)
        offsets = self.comm.share(lay_out_ptycho_result(path, description) if self.comm.rank == 0 else {})
        write_part(path, offsets, description.shape, outcome.part())

    def _count(self, stage: str, start: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - start
        return now


_BEFORE = ((Axis.FRAME, "frames"), (Axis.START, "start"))
