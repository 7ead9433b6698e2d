"""Small scans of ptychography in memory, for tests that need no file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.io.cxi_writer import write_cxi
from hpcdaas.ptycho.frames import Cut, FramesParameters, frames
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from hpcdaas.scan import PtychoScan

#: A far field of 64² pixels whose object pixel is 41.7 nm, the probe a few dozen pixels wide, step 6 pixels.
FAR: dict[str, Any] = {
    "views": 128,
    "size": 64,
    "step": "0.25 um",
    "outer_zone": "95 nm",
    "defocus": "100 um",
    "seed": 1,
}
#: A near field of 64² pixels whose object pixel is 243 nm.
NEAR: dict[str, Any] = {"views": 60, "size": 64, "step": "1.5 um", "focus_distance": "3.65 mm", "distance": 1.12}


class Held:
    """Frames in memory, as a reader gives them; counts how many were read."""

    whole_frames = True

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.read_views = values, []
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, views: slice, rows: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        self.read_views += range(*views.indices(self.shape[0]))
        part = self.values[views, rows].copy()
        if out is None:
            return part
        out[...] = part
        return out


def scan_of(values: NDArray[Any], **over: Any) -> PtychoScan:
    """A scan of given frames; its object pixel is 10 nm where they are used whole, 100 pixels square."""
    fields: dict[str, Any] = {
        "name": "held",
        "format": "test",
        "files": (),
        "frames": Held(values),
        "positions": np.random.default_rng(1).random((len(values), 2)) * 1e-6,
        "energy": 1239.84198433,
        "distance": 0.1,
        "pixel_size": (1e-4, 1e-4),
    }
    return PtychoScan(**(fields | over))


def cut_of(scan: PtychoScan, **parameters: Any) -> Cut:
    """What `frames` chooses."""
    return frames(scan, FramesParameters(**parameters))


def simulated(parameters: dict[str, Any], **over: Any) -> PtychoScan:
    """A simulated scan whose frames are held."""
    scan = Simulation(SimulationParameters(**(parameters | over))).scan()
    return replace(scan, frames=Held(scan.frames.read(slice(None), slice(None))))


def write_simulated(path: Path, parameters: dict[str, Any], **over: Any) -> Path:
    """Write a simulated scan as CXI, with its mask and, as first probe, the true one."""
    s = Simulation(SimulationParameters(**(parameters | over)))
    write_cxi(path, s.frames(), s.positions, s.energy, s.distance, s.pixel_size, good=s.good, probe=s.probe)
    return path


#: A step that takes no time.
LSQML = "use = 'lsqml'\niterations = 2"


def recipe(tmp_path: Path, *steps: str) -> Path:
    """Write a recipe of these steps."""
    path = tmp_path / "recipe.toml"
    path.write_text("".join(f"[[step]]\n{step}\n" for step in steps))
    return path
