"""The scan drawn on the object: where each view lies, in which order, and how large it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hpcdaas.scan import PtychoScan
from hpcdaas.view.picture import ACCENT, WIDTH, label_bar, length, quiet

#: Views that bear their number, at most.
NUMBERED = 12


def scan_map(scan: PtychoScan) -> Figure:
    """Draw the positions on the object, rows downwards, as the reconstruction will have it.

    Parameters
    ----------
    scan : PtychoScan
        An opened scan; its frames aren't read.

    Returns
    -------
    Figure
        The path through all views, coloured by their number, and the frame of the first view.
    """
    views, rows, columns = scan.shape
    pixel = np.array(scan.object_pixel)
    size = pixel * (rows, columns)
    places = scan.positions - scan.positions.min(axis=0) + size / 2
    extent = places.max(axis=0) + size / 2
    factor, unit = length(float(extent.max()))
    places, extent, size = places * factor, extent * factor, size * factor
    height = float(np.clip(WIDTH * 0.8 * extent[0] / extent[1], 2.5, 14))
    figure = Figure((WIDTH, height + 0.6), layout="constrained")
    axes = figure.subplots()
    across, down = places[:, 1], places[:, 0]
    steps = np.stack([np.column_stack([across, down])[:-1], np.column_stack([across, down])[1:]], axis=1)
    path = LineCollection(list(steps), array=np.arange(views - 1), cmap="viridis", linewidths=0.6, alpha=0.7)
    axes.add_collection(path)
    dots = axes.scatter(
        across, down, c=np.arange(views), s=float(np.clip(4000 / views, 2, 30)), cmap="viridis", zorder=2
    )
    corner = (across[0] - size[1] / 2, down[0] - size[0] / 2)
    axes.add_patch(Rectangle(corner, size[1], size[0], fill=False, edgecolor=ACCENT, linewidth=1.2))
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7}
    axes.annotate(f"view 0, {rows} × {columns} pixels", corner, xytext=(3, -9), color=ACCENT, **style)
    step = max(1, -(-views // NUMBERED))
    for view in range(0, views, step):
        axes.annotate(str(view), (across[view], down[view]), xytext=(2, 2), **style)
    axes.set(xlim=(0, extent[1]), ylim=(extent[0], 0), aspect="equal")
    quiet(axes)
    axes.set_xlabel(f"x, {unit}", fontsize=9)
    axes.set_ylabel(f"y, {unit}", fontsize=9)
    axes.set_title(_title(scan), fontsize=9, loc="left")
    label_bar(figure.colorbar(dots, ax=axes, fraction=0.05, pad=0.02), "view")
    return figure


def _title(scan: PtychoScan) -> str:
    how = {"user": "as asked", "file": "by the file", "": "as stored"}[scan.oriented]
    how = "to be found" if scan.orientation == "auto" else f"{scan.orientation}, {how}"
    y, x = (int(np.ceil(n)) for n in np.ptp(scan.positions, axis=0) / scan.object_pixel + scan.shape[1:])
    return f"{scan.name}: {scan.shape[0]} views on {y} × {x} pixels; orientation {how}"
