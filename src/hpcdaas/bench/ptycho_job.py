"""The ptychographic job of the figures: a scan with a first probe, its models, and objects held against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas import ptycho
from hpcdaas.backend import Backend
from hpcdaas.backend.cpu import CpuBackend, available_threads
from hpcdaas.backend.views import ViewSetup
from hpcdaas.io import open_scan
from hpcdaas.io.cxi_writer import write_cxi
from hpcdaas.io.frames import Memory
from hpcdaas.ptycho.frames import Cut
from hpcdaas.ptycho.frc import ring_correlation
from hpcdaas.ptycho.geometry import Geometry, make_geometry, transfer
from hpcdaas.ptycho.halves import lit_window
from hpcdaas.ptycho.model import Algorithm, Model
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from hpcdaas.ptycho.source import Source
from hpcdaas.scan import PtychoScan

#: Views of a group, and of the peer's batch.
GROUP = 32
#: Share of the median light that compared pixels have, where the truth isn't known.
LIGHT = 0.3


@dataclass(frozen=True)
class Found:
    """An object (y, x), and where on it the views' centres are, (view, 2), pixels: its first pixel is free."""

    object: NDArray[np.complexfloating[Any]]
    places: NDArray[np.float64]

    @classmethod
    def of(cls, model: Model) -> Found:
        """Give a model's first object mode."""
        return cls(model.views.get(model.object[0]).copy(), model.geometry.places)

    @classmethod
    def of_result(cls, path: Path) -> Found:
        """Read a result file."""
        with h5py.File(path) as file:
            entry = file["entry"]
            return cls(entry["object/data"][0], entry["positions"][:] / entry["object/pixel_size"][:])


@dataclass(frozen=True)
class Reference:
    """What objects are held against, in a window where there was light."""

    name: str
    found: Found
    window: tuple[slice, slice]

    def correlation(self, other: Found) -> NDArray[np.float64]:
        """Give the Fourier ring correlation up to the Nyquist frequency; scale, phase, ramp and shift are removed."""
        moved = np.rint(other.places[0] - self.found.places[0]).astype(int)
        there = tuple(slice(s.start + d, s.stop + d) for s, d in zip(self.window, moved, strict=True))
        return ring_correlation(self.found.object[self.window], other.object[there], (1.0, 1.0)).frc


@dataclass(frozen=True)
class Job:
    """A scan, what is used of its frames, and where they lie."""

    path: Path | None
    scan: PtychoScan
    cut: Cut
    geometry: Geometry
    simulation: Simulation | None

    def start(self, modes: int) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Give the first object and the first probe."""
        step = ptycho.steps()["start"]
        given = step.parameters.model_validate({"modes": modes})
        object_, probe = step.apply(self.scan, self.cut, self.geometry, given)
        return object_, probe

    def model(self, threads: int, modes: int = 1, backend: Backend | None = None) -> Model:
        """Make a model of all views, at its start; without a backend, for the C++ one."""
        object_, probe = self.start(modes)
        near = transfer(self.scan, self.cut.n, self.geometry.pixel)
        setup = ViewSetup(self.cut.n, modes, 1, self.cut.good, self.cut.limit, near)
        source = Source(self.scan, self.cut, self.geometry.corners)
        return Model.start(object_, probe, self.geometry, source, (backend or CpuBackend(threads)).views(setup))

    def write_for_peers(self, path: Path, most_modes: int) -> None:
        """Write what other programs start from: counts in their type, their mask, places, and probes ``probe1, …``.

        A pixel that is saturated in one frame is masked in all, since they know one mask.
        """
        frames = self.cut.apply(self.scan.frames.read(slice(None), slice(None)))
        good = self.cut.good & ((frames >= 0) & (frames < self.cut.limit)).all(axis=0)
        probes: dict[str, Any] = {f"probe{modes}": self.start(modes)[1] for modes in range(1, most_modes + 1)}
        what: dict[str, Any] = {"places": self.geometry.places, "pixel": self.geometry.pixel[0], "batch": GROUP}
        np.savez(path, frames=frames * good, good=good, **what, **probes)

    def reference(self, iterations: tuple[int, int]) -> Reference:
        """Give the truth of a simulation; of another scan the object after many iterations of LSQ-ML and of ML."""
        if self.simulation is not None:
            s = self.simulation
            return Reference("the truth", Found(s.object, s.positions_pixels), s.truth_window())
        model = self.model(available_threads())
        for name, count in zip(("lsqml", "ml"), iterations, strict=True):
            algorithm = make_algorithm(model, name)
            for i in range(count):
                algorithm.iterate(i)
        return Reference(
            f"{sum(iterations)} iterations", Found.of(model), lit_window(model, model.illumination(), LIGHT)
        )


def make_algorithm(model: Model, name: str, **parameters: Any) -> Algorithm:
    """Make an algorithm of the recipe's name."""
    step = ptycho.steps()[name]
    algorithm: Algorithm = step.apply(model, step.parameters.model_validate(parameters), {})
    return algorithm


def make_job(path: Path, simulation: Simulation | None) -> Job:
    """Open a scan file as the pipeline does."""
    scan = open_scan(path)
    assert isinstance(scan, PtychoScan)
    cut, geometry = _cut(scan)
    return Job(path, scan, cut, geometry, simulation)


def simulation_job(views: int, size: int) -> Job:
    """Give a simulated scan that lies in no file."""
    simulation = Simulation(SimulationParameters.model_validate({"views": views, "size": size}))
    scan = replace(simulation.scan(), frames=Memory(simulation.frames(threads=available_threads())))
    return Job(None, scan, *_cut(scan), simulation)


def simulated_job(folder: Path, views: int, size: int) -> Job:
    """Give a simulated scan, 10⁶ photons a view, as a CXI file that is made where there is none yet.

    Its first probe is the mean frame's amplitude, flat at the focus and sent on to the sample: a start that ours and
    other programs share.
    """
    simulation = Simulation(SimulationParameters.model_validate({"views": views, "size": size}))
    path = folder / f"ptycho-{views}x{size}.cxi"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        s, step = simulation, ptycho.steps()["start"]
        scan = s.scan()
        _, probe = step.apply(scan, *_cut(scan), step.parameters.model_validate({"defocus": s.parameters.defocus}))
        frames = s.frames(threads=available_threads())
        write_cxi(path, frames, s.positions, s.energy, s.distance, s.pixel_size, probe=probe, good=s.good)
    return make_job(path, simulation)


def _cut(scan: PtychoScan) -> tuple[Cut, Geometry]:
    step = ptycho.steps()["frames"]
    cut: Cut = step.apply(scan, step.parameters())
    return cut, make_geometry(scan, cut.n, cut.bin)
