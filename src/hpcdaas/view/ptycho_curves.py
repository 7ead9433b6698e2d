"""The curves of a ptychographic result: numbers per iteration, and Fourier ring correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from hpcdaas.view.picture import ACCENT, WIDTH, literal, quiet
from hpcdaas.view.ptycho_file import Curve, Rings

#: One for each step of a recipe, then again from the first.
COLOURS = (ACCENT, "#e8590c", "#5f3dc4", "#2b8a3e", "#c2255c", "#5c5f66")

#: Ratio of largest to smallest number from which a logarithmic scale shows more.
WIDE = 3.0

Curves = Mapping[str, tuple[Sequence[Curve], str]]


def iterations(curves: Curves, first: Sequence[str]) -> Figure:
    """Draw numbers per iteration, each step of the recipe in a colour of its own.

    Parameters
    ----------
    curves : mapping
        ``{name: (one curve per step, units)}``, at least one.
    first : sequence of str
        Names that are drawn large, above the others; those that are missing are left out.
    """
    large = [name for name in first if name in curves] or sorted(curves)[:1]
    small = [name for name in curves if name not in large]
    rows = math.ceil(len(small) / 2)
    heights = [2.6] * len(large) + [1.7] * rows
    figure = Figure((WIDTH, sum(heights) + 0.2), layout="constrained")
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    end = max(int(curve.iterations[-1]) for found, _ in curves.values() for curve in found)
    panels = [(name, figure.add_subplot(grid[i, :])) for i, name in enumerate(large)]
    panels += [(name, figure.add_subplot(grid[len(large) + i // 2, i % 2])) for i, name in enumerate(small)]
    for name, axes in panels:
        _panel(axes, name, *curves[name])
        axes.set_xlim(0.5, end + 0.5)
    handles = {text: line for _, axes in panels for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    panels[0][1].legend(handles.values(), handles.keys(), fontsize=8, frameon=False)
    for axes in [panels[len(large) - 1][1], *(axes for _, axes in panels[-2:])]:
        axes.set_xlabel("iteration", fontsize=9)
    return figure


def _panel(axes: Axes, name: str, curves: Sequence[Curve], units: str) -> None:
    for curve in curves:
        axes.plot(
            curve.iterations,
            curve.values,
            color=COLOURS[curve.step % len(COLOURS)],
            linewidth=1.5,
            marker="." if len(curve.values) < 30 else None,
            markersize=4,
            label=literal(f"{curve.step + 1} {curve.label}"),
        )
    values = np.concatenate([curve.values for curve in curves])
    if values.min() > 0 and values.max() > WIDE * values.min():
        axes.set_yscale("log")
    else:
        # a common power of ten would push the title away
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    unit = f" ({units})" if units and units != "1" else ""
    axes.set_title(literal(name.replace("_", " ") + unit), fontsize=9, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#e9ecef", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    quiet(axes)


def rings(found: Rings) -> Figure:
    """Draw the Fourier ring correlation with its two thresholds, and where it falls below the half-bit curve."""
    figure = Figure((WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    frequency = found.frequency * 1e-6
    axes.plot(frequency, found.frc, color=ACCENT, linewidth=1.8, label="correlation of two halves")
    axes.plot(frequency, found.half_bit, color="#e8590c", linewidth=1.2, linestyle="--", label="half-bit")
    axes.plot(frequency, found.one_bit, color="#868e96", linewidth=1.2, linestyle=":", label="one-bit")
    if found.crossing is not None and found.resolution is not None:
        at = found.crossing * 1e-6
        axes.axvline(at, color="#e8590c", linewidth=0.9)
        # beyond the crossing the curves lie low and leave room
        left = at > 0.85 * frequency[-1]
        axes.annotate(
            f"{found.resolution * 1e9:.3g} nm",
            (at, 0.62),
            (-6 if left else 6, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            color="#e8590c",
            fontsize=10,
            fontweight="bold",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
    low = min(-0.05, float(np.nanmin(found.frc)) - 0.02) if np.isfinite(found.frc).any() else -0.05
    axes.set(xlim=(0, float(frequency[-1])), ylim=(max(low, -1.05), 1.05))
    axes.set_xlabel("spatial frequency (1/µm)", fontsize=9)
    axes.set_ylabel("Fourier ring correlation", fontsize=9)
    axes.grid(color="#e9ecef", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    quiet(axes)
    return figure
