"""The extrapolation of `bench_scaling.py`: seconds by the number of ranks, as figures and as a plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from common import Report
from scaling_model import (
    Machine,
    Ptychography,
    Sends,
    Tomography,
    busiest,
    geometry_of,
    inner_tile,
    raster,
    sends_of_tiles,
    sends_of_views,
    tiling_of,
)  # fmt: skip

#: Seconds of one core: a view of 256² (bench_views.py), a slice of 2048² from 1500 raw projections (bench_fbp.py).
DM_VIEW, LSQ_VIEW, SLICE = 0.41e-3, 0.55e-3, 0.036
#: Seconds that rank 0 looks for the centre: those of bench_file_to_file.py, scaled to one core and a larger sinogram.
CENTER = 2.0
#: Frames, step and views of the ptychographic scan that keeps its size, and views of a rank in the one that grows.
N, STEP, SIDE, EACH = 256, 26, 127, 16


@dataclass(frozen=True)
class Line:
    """Seconds by ranks."""

    panel: str
    label: str
    seconds: dict[int, float]


def lines(machine: Machine, listed: float, most: int) -> list[Line]:
    """Work all lines out, for powers of two up to `most` ranks."""
    ranks = [2**k for k in range(int(math.log2(most)) + 1)]
    tomo, job = Tomography(1500, 2048, 2048, SLICE, CENTER), Ptychography(N, DM_VIEW, LSQ_VIEW, listed)
    found = [
        Line("tomography", "fbp, 2048 slices of 2048²", {r: tomo.run(machine, r) for r in ranks}),
        Line("tomography", "the same without what rank 0 does alone",
             {r: tomo.run(machine, r) - CENTER for r in ranks}),
    ]  # fmt: skip
    total = SIDE**2
    geometry = geometry_of(raster(total, STEP), N)
    tilings = {r: tiling_of(geometry, r) for r in ranks}
    whole = {r: busiest(sends_of_tiles(tiling)) for r, tiling in tilings.items()}
    singly = {r: busiest(sends_of_views(tiling, geometry)) for r, tiling in tilings.items()}
    name = f"ptychography, {total} views"
    found += [
        Line(name, "difference map", {r: job.dm(machine, r, math.ceil(total / r), whole[r]) for r in ranks}),
        Line(name, "LSQ-ML, groups of 32", {r: job.lsqml(machine, r, total, 32, singly[r]) for r in ranks}),
        Line(name, "LSQ-ML, groups of 2 per rank, at least 32",
             {r: job.lsqml(machine, r, total, min(total, max(32, 2 * r)), singly[r]) for r in ranks}),
    ]  # fmt: skip
    at_once, by_view = inner_tile(N, STEP, EACH)
    inner, views, name = Sends(at_once, 8, 8), EACH**2, f"ptychography, {EACH**2} views per rank"
    alone = Sends(by_view, 8, 8)
    return [
        *found,
        Line(name, "difference map", {r: job.dm(machine, r, views, inner) for r in ranks}),
        Line(name, "LSQ-ML, groups of 32", {r: job.lsqml(machine, r, views * r, 32, alone) for r in ranks}),
        Line(name, "LSQ-ML, groups of 2 per rank, at least 32",
             {r: job.lsqml(machine, r, views * r, max(32, 2 * r), alone) for r in ranks}),
    ]  # fmt: skip


def extrapolate(report: Report, machine: Machine, listed: float, most: int, plot: Path | None) -> None:
    """Report the seconds with most ranks against those with one, and draw them where that is wanted."""
    found = lines(machine, listed, most)
    for line in found:
        report.add(
            f"extrapolated, {line.panel}: {line.label}, {most} ranks", line.seconds[most], "s", limit="one rank",
            limit_value=line.seconds[1], ratio=line.seconds[most] / line.seconds[1],
        )  # fmt: skip
    if plot is not None:
        draw(found, plot)


def draw(found: list[Line], path: Path) -> None:
    """Draw one panel beside the other, both axes logarithmic; a thin line is what perfect scaling would give."""
    import matplotlib as mpl

    mpl.use("Agg")
    # the same numbers give the same file, and a small one
    mpl.rcParams |= {"svg.hashsalt": "scaling", "svg.fonttype": "none"}
    from matplotlib import pyplot as plt

    panels = list(dict.fromkeys(line.panel for line in found))
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 4.2), layout="constrained")
    for axis, panel in zip(axes, panels, strict=True):
        for line in (line for line in found if line.panel == panel):
            axis.loglog(list(line.seconds), list(line.seconds.values()), ".-", label=line.label)
        first = next(line.seconds for line in found if line.panel == panel)
        ideal = [first[1] / (1 if "per rank" in panel else ranks) for ranks in first]
        axis.loglog(list(first), ideal, color="grey", linewidth=0.7, label="perfect, first line")
        axis.set(title=panel, xlabel="ranks", ylabel="s" if panel == "tomography" else "s per iteration")
        axis.legend(fontsize=7)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
