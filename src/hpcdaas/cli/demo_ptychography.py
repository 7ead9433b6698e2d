"""The half of ``hpcdaas demo`` that is ptychography."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcdaas.cli.demo import Row
    from hpcdaas.ptycho.simulate import Simulation
    from hpcdaas.result import Result

#: Written beside the scan, to be tried with other steps and parameters.
RECIPE = """\
# The recipe of the demo's ptychography. Change it and run
#     hpcdaas reconstruct ptycho.cxi -r ptycho.toml -o mine.h5
# "hpcdaas demo" itself uses it as it is here, and never writes over it.
name = "ptycho"

[scan]
position_orientation = "+y+x"   # as stored; the file doesn't say, and the frames alone can't tell it from "-y-x"

[[step]]
use = "frames"          # which part of a frame is used; the gap is in the file's mask

[[step]]
use = "start"           # the first probe: the mean frame's amplitude, at the focus,
defocus = "300 um"      # and from there to the sample

[[step]]
use = "lsqml"
iterations = 40

[[step]]
use = "ml"              # goes on from there
iterations = 20

[[step]]
use = "halves"          # two halves of the views apart: how sharp the object is
"""


def simulate(scan: Path, threads: int) -> tuple[str, Simulation]:
    """Write a scan as CXI; say what it is, and give what knows its truth."""
    from hpcdaas.io.cxi_writer import write_cxi
    from hpcdaas.ptycho.simulate import Simulation

    s = Simulation()
    told = {"title": "simulated ptychography", "sample": "simulated sample"}
    write_cxi(
        scan, s.frames(threads=threads), s.positions, s.energy, s.distance, s.pixel_size, good=s.good, metadata=told
    )
    return f"{' × '.join(map(str, s.shape))} views, rows, columns", s


def table(result: Result, simulation: Simulation) -> list[Row]:
    """Say how near the result is to the truth: what, found, true."""
    from hpcdaas.bench.truth import object_error

    sharp, pixel, misfit = (_number(result, name) for name in ("resolution", "object_pixel", "error"))
    error = object_error(result.path, simulation)
    return [
        ("resolution, half a period (nm)", "unknown" if sharp is None else f"{1e9 * sharp:.1f}", ""),
        ("pixel of the object (nm)", f"{1e9 * (pixel or 0.0):.1f}", f"{1e9 * simulation.object_pixel:.1f}"),
        ("error of the frames, Σ(√I − |Ψ|)²/ΣI", f"{100 * (misfit or 0.0):.2f} %", ""),
        ("error of the object (relative L2)", "unknown" if error is None else f"{100 * error:.1f} %", "0"),
    ]


def _number(result: Result, name: str) -> float | None:
    """Give a metric without its unit; None if the run didn't find it."""
    found = result.metrics.get(name)
    value = found["value"] if isinstance(found, dict) else found
    return None if value is None else float(value)
