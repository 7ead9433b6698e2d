"""The pictures of a result: cuts, sinograms, trial centres, histogram, preview."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hpcdaas.errors import InputError
from hpcdaas.view.cuts import cuts
from hpcdaas.view.grey import Image, disc, grey_levels, thin
from hpcdaas.view.picture import ACCENT, PANEL, WIDTH, frame, label_bar, literal, quiet, side_by_side
from hpcdaas.view.volume import ResultFile

__all__ = ["cuts", "histogram", "preview_png", "sample", "save", "sinograms", "strip"]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    Raises
    ------
    InputError
        If the place can't be written.
    """
    try:
        figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.06)
    except OSError as error:
        raise InputError(f"The picture {path} can't be written: {error.strerror or error}.") from error


def sinograms(raw: Image | None, corrected: Image | None, row: int | None) -> Figure:
    """Draw a sinogram before and after correction.

    Parameters
    ----------
    raw, corrected : ndarray, (angle, column), or None
        At least one is given.
    row : int or None
        The detector row, for the title.
    """
    given = [(raw, "as measured"), (corrected, "as reconstructed")]
    images = [(image, label) for image, label in given if image is not None]
    figure = Figure((WIDTH, 3.9 if len(images) == 2 else 5.5), layout="constrained")
    where = "" if row is None else f"row {row}, "
    for axes, (image, label) in zip(figure.subplots(1, len(images), squeeze=False)[0], images, strict=True):
        low, high = grey_levels([image], round_field=False)
        picture = axes.imshow(
            thin(image, PANEL),
            cmap="gray",
            vmin=low,
            vmax=high,
            aspect="auto",
            extent=(-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5),
            interpolation="antialiased",
        )
        quiet(axes)
        axes.set_title(where + label, fontsize=9, loc="left")
        axes.set_xlabel("detector column", fontsize=9)
        axes.set_ylabel("projection", fontsize=9)
        label_bar(figure.colorbar(picture, ax=axes, fraction=0.05, pad=0.02), "")
    return figure


def strip(trials: Image, centers: Sequence[float], chosen: float | None) -> Figure:
    """Draw trial slices, each labelled with the centre that it was reconstructed with.

    Parameters
    ----------
    trials : ndarray, (k, y, x)
        The slices.
    centers : sequence of float, (k,)
        The centre that was truly used for each, detector columns.
    chosen : float or None
        The centre that was found; the trial nearest to it is marked.
    """
    marked = None if chosen is None else int(np.argmin(np.abs(np.asarray(centers) - chosen)))
    columns = min(len(trials), 3 if len(trials) in (3, 5, 6, 9) else 4)
    rows = math.ceil(len(trials) / columns)
    wide = WIDTH / columns
    figure = Figure((WIDTH, rows * (wide * trials.shape[1] / trials.shape[2] + 0.3)), layout="constrained")
    levels = grey_levels(list(trials))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(trials) :]:
        axes.set_axis_off()
    for i, axes in enumerate(panels[: len(trials)]):
        axes.imshow(thin(trials[i], PANEL), cmap="gray", vmin=levels[0], vmax=levels[1], interpolation="antialiased")
        frame(axes, ACCENT if i == marked else None)
        label = f"centre {centers[i]:.2f}"
        if i == marked:  # says both: the trial needn't lie on what was found
            label += f", found {chosen:.2f}"
        axes.set_title(
            label,
            fontsize=9,
            loc="left",
            color=ACCENT if i == marked else "black",
            fontweight="bold" if i == marked else "normal",
        )
    return figure


def histogram(values: Image, units: str, levels: tuple[float, float]) -> Figure:
    """Draw the histogram of voxel values, and where the pictures' black and white lie.

    Parameters
    ----------
    values : ndarray, (n,)
        Voxels.
    units : str
        Of the values.
    levels : tuple of float
        Black and white of the pictures.
    """
    figure = Figure((WIDTH, 3.0), layout="constrained")
    axes = figure.add_subplot()
    finite = values[np.isfinite(values)]
    black, white = levels
    margin = 0.35 * (white - black)
    counts, edges = np.histogram(finite, bins=256, range=(black - margin, white + margin))
    axes.stairs(100 * counts / max(finite.size, 1), edges, fill=True, color=ACCENT, alpha=0.85)
    if counts.any():
        axes.set_yscale("log")
    for level, name in ((black, "black"), (white, "white")):
        axes.axvline(level, color="#868e96", linewidth=0.8, linestyle="--")
        axes.annotate(
            name,
            (level, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8,
            color="#66707a",
            ha="center",
        )
    axes.set_xlabel(f"value ({literal(units)})" if units else "value", fontsize=9)
    axes.set_ylabel("voxels (%)", fontsize=9)
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)
    quiet(axes)
    return figure


def sample(file: ResultFile, count: int = 9) -> Image:
    """Give the voxels in the inscribed disc of some slices spread over the volume."""
    round_field = disc(file.shape[1:])
    return np.concatenate([file.plane(0, i)[round_field] for i in file.planes(count)])


def preview_png(slices: Image, path: Path, labels: Sequence[str] = (), pixel_size: float | None = None) -> None:
    """Write slices side by side as PNG.

    Parameters
    ----------
    slices : ndarray, (k, y, x)
        A few slices.
    path : Path
        The PNG.
    labels : sequence of str
        One for each, for example its detector row.
    pixel_size : float, optional
        m, for the scale bar.

    Raises
    ------
    InputError
        If the place can't be written.
    """
    small = [thin(image, PANEL) for image in slices]
    factor = slices.shape[2] / small[0].shape[1]
    figure, _ = side_by_side(small, labels, grey_levels(small), pixel_size and pixel_size * factor, wide=4.2)
    save(figure, path)
