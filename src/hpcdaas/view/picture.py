"""Sizes, scale bars and frames: what all figures share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from hpcdaas.view.grey import Image, thin

ACCENT = "#0b7285"

#: Pixels along the longer side of a panel: more than are printed, so that the eye loses nothing.
PANEL = 1000

#: Width of a figure on the page, inches.
WIDTH = 8.6


def length(metres: float) -> tuple[float, str]:
    """Give the factor and the unit in which a length reads best.

    Returns
    -------
    factor : float
        What metres are multiplied with.
    unit : str
    """
    # a pixel of 0.65 µm is spoken of so, a scale bar of 500 nm as well
    for bound, factor, unit in ((6e-7, 1e9, "nm"), (1e-3, 1e6, "µm"), (1.0, 1e3, "mm")):
        if metres < bound:
            return factor, unit
    return 1.0, "m"


def bar_length(width: float) -> float:
    """Give a round length (1, 2 or 5 times a power of ten) of about a fifth of a width."""
    target = width / 4
    power = 10.0 ** math.floor(math.log10(target))
    return max(step * power for step in (1, 2, 5) if step * power <= target * (1 + 1e-9))


def scale_bar(axes: Axes, width: float, spacing: float | None) -> None:
    """Draw a scale bar into the lower left corner of axes.

    Parameters
    ----------
    axes : matplotlib Axes
        Filled by one picture.
    width : float
        Of the picture, pixels.
    spacing : float or None
        Size of a pixel, m; without it the bar counts pixels.
    """
    whole = width * (spacing or 1.0)
    bar = bar_length(whole)
    factor, unit = length(bar) if spacing else (1.0, "px")
    ends = [0.04, 0.04 + bar / whole]
    line: dict[str, Any] = {"transform": axes.transAxes, "solid_capstyle": "butt", "scalex": False, "scaley": False}
    axes.plot(ends, [0.045, 0.045], color="black", linewidth=5, alpha=0.6, **line)
    axes.plot(ends, [0.045, 0.045], color="white", linewidth=3, **line)
    axes.text(
        sum(ends) / 2,
        0.06,
        f"{bar * factor:g} {unit}",
        transform=axes.transAxes,
        color="white",
        ha="center",
        va="bottom",
        fontsize=8,
        path_effects=[withStroke(linewidth=2.4, foreground="black", alpha=0.9)],
    )


def side_by_side(
    images: Sequence[Image],
    labels: Sequence[str],
    levels: tuple[float, float],
    pixel_size: float | None,
    wide: float | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw images side by side with a scale bar in the first."""
    each = wide or min(WIDTH / len(images), 6.0)
    shape = images[0].shape
    figure = Figure((each * len(images), each * shape[0] / shape[1] + (0.3 if labels else 0)), layout="constrained")
    panels = list(figure.subplots(1, len(images), squeeze=False)[0])
    for i, (axes, image) in enumerate(zip(panels, images, strict=True)):
        axes.imshow(thin(image, PANEL), cmap="gray", vmin=levels[0], vmax=levels[1], interpolation="antialiased")
        frame(axes)
        if labels:
            axes.set_title(labels[i], fontsize=9, loc="left")
    scale_bar(panels[0], shape[1], pixel_size)
    return figure, panels


def quiet(axes: Axes) -> None:
    """Draw thin grey spines and small ticks."""
    axes.tick_params(labelsize=8, length=3, width=0.6, color="#868e96")
    axes.tick_params(which="minor", labelsize=7, length=2, width=0.5, color="#868e96")
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
        spine.set_color("#868e96")


def frame(axes: Axes, color: str | None = None) -> None:
    """Take the ticks away, and draw a frame where a colour is given."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(color is not None)
        spine.set_color(color)
        spine.set_linewidth(2.5)


def label_bar(bar: Any, units: str) -> None:
    """Finish a colour bar like the axes, with its units."""
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=3, width=0.6)
    bar.ax.locator_params(nbins=5)
    bar.set_label(literal(units), fontsize=8)


def literal(text: str) -> str:
    """Give a text from a file so that matplotlib takes no part of it for a formula."""
    return text.replace("$", r"\$")
