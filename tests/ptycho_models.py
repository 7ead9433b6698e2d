"""Models of simulated scans, and what was found held against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcdaas import ptycho
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import ViewSetup
from hpcdaas.parallel import Comm
from hpcdaas.ptycho.ambiguity import align, relative_error
from hpcdaas.ptycho.geometry import make_geometry, transfer
from hpcdaas.ptycho.model import Model
from hpcdaas.ptycho.simulate import Simulation
from hpcdaas.ptycho.source import Source
from hpcdaas.ptycho.tile import Tile
from hpcdaas.scan import PtychoScan


def make_model(
    scan: PtychoScan, threads: int = 2, piece: int | None = None, frames: Any = None, comm: Comm | None = None,
    backend: Any = None, **start: Any,
) -> Model:  # fmt: skip
    """Make the model of a scan as the pipeline does."""
    steps = ptycho.steps()
    cut = steps["frames"].apply(scan, steps["frames"].parameters(**(frames or {})))
    geometry = make_geometry(scan, cut.n, cut.bin)
    tile = Tile(geometry, comm)
    object_, probe = steps["start"].apply(scan, cut, geometry, steps["start"].parameters(**start), tile)
    near = transfer(scan, cut.n, geometry.pixel)
    setup = ViewSetup(cut.n, len(probe), len(object_), cut.good, cut.limit, near)
    views = (backend or CpuBackend(threads)).views(setup)
    return Model.start(object_, probe, geometry, Source(scan, cut, tile.corners, piece, tile.views), views, tile)


def make_algorithm(model: Model, name: str, saved: Any = None, **parameters: Any) -> Any:
    """Make an algorithm of the recipe's name."""
    step = ptycho.steps()[name]
    return step.apply(model, step.parameters(**parameters), saved or {})


def iterate(model: Model, name: str, iterations: int, **parameters: Any) -> list[dict[str, float]]:
    """Run an algorithm; give its numbers."""
    algorithm = make_algorithm(model, name, iterations=iterations, **parameters)
    return [dict(algorithm.iterate(i)) for i in range(iterations)]


def error(model: Model) -> float:
    """Give Σ(√I − |Ψ|)² / ΣI."""
    found = model.evaluate()
    return found.error / found.counts


@dataclass(frozen=True)
class Comparison:
    """An object against the truth, where there is light: relative error, lowest ring correlation up to 0.9 Nyquist."""

    error: float
    correlation: float


def compare(model: Model, simulation: Simulation, mode: int = 0) -> Comparison:
    """Hold a model's object against the simulation's, ambiguities removed."""
    window = simulation.truth_window()
    moved = np.rint(simulation.positions_pixels[0] - model.geometry.places[0]).astype(int)
    here = tuple(slice(s.start - d, s.stop - d) for s, d in zip(window, moved, strict=True))
    truth = simulation.object[window]
    found = align(model.object[mode][here], truth)
    return Comparison(relative_error(found, truth), ring_correlation(found, truth)[0].min())


def ring_correlation(a: Any, b: Any) -> tuple[Any, Any]:
    """Correlate the spectra of two images over rings up to 0.9 of Nyquist, written down anew: values, frequencies."""
    n = min(a.shape)
    window = np.hanning(n)[:, None] * np.hanning(n)
    first, second = (np.fft.fft2((image[:n, :n] - image[:n, :n].mean()) * window).ravel() for image in (a, b))
    f = np.fft.fftfreq(n)
    ring = np.rint(np.hypot(f[:, None], f) * n).astype(int).ravel()
    both = np.bincount(ring, (first * second.conj()).real)
    powers = [np.bincount(ring, np.abs(spectrum) ** 2) for spectrum in (first, second)]
    last = int(0.9 * n / 2)
    return (both / np.sqrt(powers[0] * powers[1]))[1:last], np.arange(1, last) / n
