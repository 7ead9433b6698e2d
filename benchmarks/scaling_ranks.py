"""Counts what ranks send: run by `bench_scaling.py` under mpiexec; rank 0 prints JSON. Frames are tiny and all alike.

Nothing here takes time worth measuring: with more ranks than cores only the counts mean something.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import ViewSetup
from hpcdaas.parallel import Comm, together, world
from hpcdaas.parallel.split import shares, split_rows
from hpcdaas.ptycho.dm import Dm, dm
from hpcdaas.ptycho.frames import FramesParameters, frames
from hpcdaas.ptycho.geometry import make_geometry
from hpcdaas.ptycho.lsqml import Lsqml, lsqml
from hpcdaas.ptycho.ml import Ml, ml
from hpcdaas.ptycho.model import Model
from hpcdaas.ptycho.rpie import Rpie, rpie
from hpcdaas.ptycho.source import Source as Views
from hpcdaas.ptycho.tile import Tile
from hpcdaas.scan import FlatGroup, PtychoScan, Scan
from hpcdaas.tomo.source import Source as Rows
from scaling_model import raster

#: Object pixel 10 nm at 32² frames.
ENERGY, DISTANCE, WAVELENGTH = 1239.84198433, 0.1, 1e-9


@dataclass(frozen=True)
class Same:
    """Frames that are all one image, as a reader gives them; none of them takes memory."""

    image: NDArray[np.uint16]
    count: int
    whole_frames = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(frames, rows, columns)."""
        return (self.count, *self.image.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored."""
        return self.image.dtype

    def read(self, frames: slice, rows: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """See `hpcdaas.scan.Frames.read`."""
        part = np.broadcast_to(self.image[rows], (frames.stop - frames.start, *self.image[rows].shape))
        if out is None:
            return part.copy()
        out[...] = part
        return out


def ptycho_model(comm: Comm, views: int, n: int, step: int) -> Model:
    """Make the model of a raster scan as the pipeline does, its probe a Gaussian spot."""
    at = np.arange(n) - n // 2
    spot = np.exp(-(at[:, None] ** 2 + at**2) / (2 * (n / 8) ** 2))
    frame = np.abs(np.fft.fftshift(np.fft.fft2(spot, norm="ortho"))) ** 2
    image = np.rint(frame * (1000 / frame.max())).astype(np.uint16)
    pixel = 1e-4
    corners = raster(views, step)
    scan = PtychoScan(
        name="raster", format="none", files=(), frames=Same(image, len(corners)),
        positions=corners * (WAVELENGTH * DISTANCE / (n * pixel)), energy=ENERGY, distance=DISTANCE,
        pixel_size=(pixel, pixel),
    )  # fmt: skip
    cut = frames(scan, FramesParameters())
    geometry = make_geometry(scan, cut.n)
    tile = Tile(geometry, comm)
    probe = (spot * np.sqrt(image.sum() / (spot**2).sum())).astype(np.complex64)[None]
    primitives = CpuBackend(1).views(ViewSetup(cut.n, 1, 1, cut.good, cut.limit))
    source = Views(scan, cut, tile.corners, None, tile.views)
    return Model.start(np.ones((1, *tile.shape), np.complex64), probe, geometry, source, primitives, tile)


def ptycho_counts(comm: Comm, job: dict[str, Any]) -> dict[str, Counter[str]]:
    """Count what this rank sends in one iteration of each algorithm, all of them moving the probe too."""
    found, group = {}, job["group"]
    steps: dict[str, Any] = {
        "dm": (dm, Dm(probe_from=0)),
        "ml": (ml, Ml()),
        "lsqml": (lsqml, Lsqml(group=group, probe_from=0)),
        "rpie": (rpie, Rpie(batch=group, probe_from=0)),
        "lsqml, group 32": (lsqml, Lsqml(group=32, probe_from=0)),
    }
    for name in job["algorithms"]:
        make, parameters = steps[name]
        model = ptycho_model(comm, job["views"], job["n"], job["step"])
        algorithm = make(model, parameters, {})
        before = comm.sent.copy()
        numbers = algorithm.iterate(0)
        if not all(np.isfinite(value) for value in numbers.values()):
            raise SystemExit(f"{name} gave {numbers}.")
        found[name] = comm.sent - before
    return found


def reslice_counts(comm: Comm, job: dict[str, Any]) -> Counter[str]:
    """Count what this rank sends while a scan goes by in two blocks, and the bytes of its frames as stored."""
    angles, rows, columns = job["angles"], job["rows"], job["columns"]
    image = np.ones((rows, columns), np.uint16)
    few = Same(image, 10)
    scan = Scan(
        name="even", format="none", files=(), projections=Same(image, angles), angles=np.linspace(0, 180, angles),
        flats=(FlatGroup(few, 0), FlatGroup(few, angles)), darks=few,
    )  # fmt: skip
    source, before = Rows(scan, CpuBackend(1), comm), comm.sent.copy()
    for block in (range(rows // 2), range(rows // 2, rows)):
        source.block(source.read(split_rows(block, comm.size), 0, reuse=True))
    found = comm.sent - before
    own = [len(shares(stack, comm.size)[comm.rank]) for stack in (angles, 10, 10, 10)]
    found["stored"] = sum(own) * image.nbytes
    return found


def main() -> None:
    job, comm = json.loads(sys.argv[1]), world()
    with together(comm):
        counts = ptycho_counts(comm, job)
        counts["re-slice"] = reslice_counts(comm, job)
    every = comm.gather(counts)
    if comm.rank == 0:
        ranks = {name: [dict(one[name]) for one in every] for name in counts}
        Path(job["out"]).write_text(json.dumps(ranks))


if __name__ == "__main__":
    main()
