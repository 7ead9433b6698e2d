"""Cuts through a volume that share their axes, as in a three-view drawing."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpcdaas.view.grey import grey_levels, thin
from hpcdaas.view.picture import PANEL, WIDTH, label_bar, length, quiet, scale_bar, side_by_side
from hpcdaas.view.volume import Axis, ResultFile

#: A volume of fewer slices is shown as slices; cuts across it would be thin stripes.
THIN = 16

#: Depth to width below which the cuts across the slices are stretched.
STRETCHED = 0.2

#: Colour of marks on grey pictures.
MARK = "#3bc9db"


def cuts(file: ResultFile) -> Figure:
    """Draw three orthogonal cuts through the middle of a volume, or slices of one that is too thin for that."""
    return _slices(file) if file.shape[0] < THIN else _orthogonal(file)


def _slices(file: ResultFile) -> Figure:
    indices = sorted({0, file.shape[0] // 2, file.shape[0] - 1})
    images = [file.plane(0, i) for i in indices]
    labels = [f"slice {i + 1} of {file.shape[0]}" for i in indices]
    figure, panels = side_by_side(images, labels, grey_levels(images), file.pixel_size)
    label_bar(figure.colorbar(panels[0].images[0], ax=panels, fraction=0.03, pad=0.01), file.units)
    return figure


def _orthogonal(file: ResultFile) -> Figure:
    middle = [n // 2 for n in file.shape]
    images = [file.plane(0, middle[0]), file.plane(1, middle[1]), file.plane(2, middle[2]).T]
    levels = grey_levels(images[:1])
    z, y, x = (_Side(axis, n) for axis, n in zip(file.axes, file.shape, strict=True))
    factor, unit = length(x.extent) if x.axis.in_metres else (1.0, "pixel")
    figure, (top, below, right, bar) = _layout(x.extent, y.extent, z.extent)
    for axes, image, across, down in ((top, images[0], x, y), (below, images[1], x, z), (right, images[2], z, y)):
        left, end = across.edges(factor)
        upper, lower = down.edges(factor)
        picture = axes.imshow(
            thin(image, PANEL),
            cmap="gray",
            vmin=levels[0],
            vmax=levels[1],
            extent=(left, end, lower, upper),
            aspect="auto",
            interpolation="antialiased",
        )
        quiet(axes)
    z_cut, y_cut, x_cut = (side.at(i) * factor for side, i in zip((z, y, x), middle, strict=True))
    for axes, across_cut, down_cut in ((top, x_cut, y_cut), (below, x_cut, z_cut), (right, z_cut, y_cut)):
        _mark(axes, across_cut, down_cut)
    top.set_title(f"slice {middle[0] + 1} of {file.shape[0]}, z = {z_cut:.4g} {unit}", fontsize=9, loc="left")
    right.set_title(f"x = {x_cut:.3g} {unit}", fontsize=9, loc="left")
    below.annotate(
        f"y = {y_cut:.3g} {unit}", (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=9
    )
    top.tick_params(labelbottom=False)
    right.tick_params(labelleft=False)
    below.set_xlabel(f"x ({unit})", fontsize=9)
    right.set_xlabel(f"z ({unit})", fontsize=9)
    top.set_ylabel(f"y ({unit})", fontsize=9)
    below.set_ylabel(f"z ({unit})", fontsize=9)
    scale_bar(top, file.shape[2], file.pixel_size)
    label_bar(figure.colorbar(picture, cax=bar, orientation="horizontal"), file.units)
    return figure


def _layout(x: float, y: float, z: float) -> tuple[Figure, tuple[Axes, Axes, Axes, Axes]]:
    """Place three cuts so that they share their axes, and a colour bar in the free corner.

    Parameters
    ----------
    x, y, z : float
        Extents of the volume. A cut that would be thinner than a fifth of x is widened.

    Returns
    -------
    figure : Figure
    axes : tuple of Axes
        Across z, y and x, and the colour bar's.
    """
    left, bottom, gap, top, right = 0.65, 0.5, 0.32, 0.3, 0.1  # inches
    deep = max(z, STRETCHED * x)
    scale = (WIDTH - left - gap - right) / (x + deep)
    wide, high, deep = x * scale, y * scale, deep * scale
    total = bottom + deep + gap + high + top
    figure = Figure((WIDTH, total))

    def place(x0: float, y0: float, width: float, height: float) -> Axes:
        return figure.add_axes((x0 / WIDTH, y0 / total, width / WIDTH, height / total))

    upper, beside = bottom + deep + gap, left + wide + gap
    axes = (
        place(left, upper, wide, high),
        place(left, bottom, wide, deep),
        place(beside, upper, deep, high),
        place(beside + 0.05 * deep, bottom + max(deep / 2 - 0.2, 0), 0.9 * deep, 0.13),
    )
    return figure, axes


def _mark(axes: Axes, across: float, down: float) -> None:
    """Show at the edges of a cut where the two others go through."""
    ends = {"color": MARK, "linewidth": 1.2}
    for low, high in ((0.0, 0.035), (0.965, 1.0)):
        axes.axvline(across, low, high, **ends)
        axes.axhline(down, low, high, **ends)


class _Side:
    """One side of a cut: an axis of the volume with its length."""

    def __init__(self, axis: Axis, n: int) -> None:
        self.axis, self.n = axis, n
        self.extent = abs(axis.step) * n

    def edges(self, factor: float) -> tuple[float, float]:
        low = self.axis.first - self.axis.step / 2
        return low * factor, (low + self.axis.step * self.n) * factor

    def at(self, index: int) -> float:
        return self.axis.first + self.axis.step * index
