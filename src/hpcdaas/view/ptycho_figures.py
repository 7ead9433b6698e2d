"""The pictures of a ptychographic result: object, probe, where the views lie, and the mean frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hpcdaas.view.grey import Image, grey_levels, thin
from hpcdaas.view.picture import PANEL, WIDTH, frame, label_bar, length, quiet, scale_bar
from hpcdaas.view.ptycho_file import Wave
from hpcdaas.view.wave import Shown, thin_wave

#: Pixels along the longer side of an object: twice of what is printed, so that sharp edges stay so.
LARGE = 2000

#: Colour of what no light fell on, and of pixels of the detector that can't be used.
NOTHING, MASKED = "#c9ced3", "#2bb3c7"

#: Modes that are drawn, at most.
MODES = 8

#: Parts of the outermost amplitudes that may be clipped in a picture of a wave.
CLIPPED = 0.001

Pixel = tuple[float, float] | None


def phase(shown: Shown, pixel: Pixel) -> Figure:
    """Draw the phase of an object.

    Parameters
    ----------
    shown : Shown
        The object.
    pixel : tuple of float or None
        Size of its pixels (y, x), m.
    """
    return _object(shown, shown.phase, pixel, "phase (rad)")


def amplitude(shown: Shown, pixel: Pixel) -> Figure:
    """Draw the amplitude of an object; parameters as of `phase`."""
    return _object(shown, shown.amplitude, pixel, "amplitude")


def _object(shown: Shown, image: Image, pixel: Pixel, label: str) -> Figure:
    levels = grey_levels([shown.only_lit(image)], round_field=False)
    figure, axes = _map(shown.region.part, pixel)
    colours = colormaps["gray"].with_extremes(bad=NOTHING)
    picture = axes.imshow(
        image,
        cmap=colours,
        vmin=levels[0],
        vmax=levels[1],
        extent=_extent(shown.region.part, pixel),
        aspect="equal",
        interpolation="antialiased",
    )
    columns = shown.region.part[1]
    scale_bar(axes, columns.stop - columns.start, pixel and pixel[1])
    label_bar(figure.colorbar(picture, ax=axes, fraction=0.045, pad=0.02), label)
    return figure


def _map(part: tuple[slice, slice], pixel: Pixel) -> tuple[Figure, Axes]:
    """Make axes for a picture that lies on the object, with its coordinates."""
    left, right, bottom, top = _extent(part, pixel)
    shape = abs(top - bottom) / abs(right - left)
    figure = Figure((WIDTH, float(np.clip(0.82 * WIDTH * shape, 2.0, 11.0)) + 0.5), layout="constrained")
    axes = figure.subplots()
    quiet(axes)
    unit = _unit(part, pixel)[1]
    axes.set_xlabel(f"x ({unit})", fontsize=9)
    axes.set_ylabel(f"y ({unit})", fontsize=9)
    return figure, axes


def _unit(part: tuple[slice, slice], pixel: Pixel) -> tuple[float, str]:
    if pixel is None:
        return 1.0, "pixel"
    return length(max(p * (along.stop - along.start) for along, p in zip(part, pixel, strict=True)))


def _extent(part: tuple[slice, slice], pixel: Pixel) -> tuple[float, float, float, float]:
    """Give left, right, lower and upper edge of a part of the object; pixel 0 has its centre at 0."""
    factor, _ = _unit(part, pixel)
    y, x = (p * factor for p in (pixel or (1.0, 1.0)))
    rows, columns = part
    return (columns.start - 0.5) * x, (columns.stop - 0.5) * x, (rows.stop - 0.5) * y, (rows.start - 0.5) * y


def colours_of(wave: Wave) -> NDArray[np.float64]:
    """Turn a wave, (y, x), into colours (y, x, 3): hue is its phase, red at 0, and brightness its amplitude."""
    size = np.abs(wave)
    top = float(np.quantile(size, 1 - CLIPPED)) or float(size.max()) or 1.0
    hue = np.angle(wave) / (2 * np.pi) % 1
    return np.asarray(hsv_to_rgb(np.stack([hue, np.ones_like(hue), np.clip(size / top, 0, 1)], axis=-1)))


def waves(modes: Sequence[Wave], shares: Sequence[float] | None, pixel: Pixel, what: str = "mode") -> Figure:
    """Draw modes of a wave side by side, each with its share of the power, and the wheel of phases.

    Parameters
    ----------
    modes : sequence of ndarray, (y, x), complex64
        At most `MODES` of them are drawn.
    shares : sequence of float or None
        Of the power of all modes.
    pixel : tuple of float or None
        Size of a pixel (y, x), m.
    what : str
        What each is called.
    """
    count = min(len(modes), MODES)
    columns = {1: 1, 2: 2, 3: 3, 4: 4, 5: 3, 6: 3}.get(count, 4)
    rows = math.ceil(count / columns)
    y, x = pixel or (1.0, 1.0)
    shape = modes[0].shape[0] * y / (modes[0].shape[1] * x)
    wide = min((WIDTH - 0.8) / columns, 4.6)
    # the wheel at the right edge: few modes then don't grow with the page
    figure = Figure((WIDTH, rows * (wide * shape + 0.3)), layout="constrained")
    grid = figure.add_gridspec(rows, columns + 1, width_ratios=[wide] * columns + [WIDTH - columns * wide])
    for i in range(count):
        axes = figure.add_subplot(grid[i // columns, i % columns])
        axes.imshow(colours_of(thin_wave(modes[i], PANEL)), aspect=shape * modes[0].shape[1] / modes[0].shape[0])
        frame(axes)
        share = f", {100 * shares[i]:.1f} %" if shares is not None and i < len(shares) else ""
        axes.set_title(f"{what} {i + 1}{share}", fontsize=9, loc="left")
        if i == 0:
            scale_bar(axes, modes[0].shape[1], pixel and pixel[1])
    _wheel(figure.add_axes((1 - 0.8 / WIDTH, 0, 0.8 / WIDTH, 1)))
    return figure


def _wheel(axes: Axes) -> None:
    """Draw which hue is which phase."""
    y, x = np.mgrid[-1:1:81j, -1:1:81j]
    radius = np.hypot(y, x)
    # rows grow downwards, phases turn the other way
    disc = np.where(radius <= 1, x - 1j * y, 0).astype(np.complex64)
    picture = np.dstack([colours_of(disc), radius <= 1])
    axes.imshow(picture, extent=(-1, 1, -1, 1), interpolation="antialiased")
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), anchor="NE")
    axes.set_axis_off()
    style: dict[str, Any] = {"fontsize": 7, "ha": "center", "va": "center", "color": "#495057"}
    for text, place in (("0", (1.25, 0.0)), ("π/2", (0.0, 1.3)), ("π", (-1.25, 0.0)), ("−π/2", (0.0, -1.3))):
        axes.text(place[0], place[1], text, **style)


def positions(places: NDArray[np.float64], light: Image | None, shape: tuple[int, int], pixel: Pixel) -> Figure:
    """Draw the views' centres over the light that fell on the object.

    Parameters
    ----------
    places : ndarray, (view, 2), float64
        m, from the centre of the object's pixel (0, 0).
    light : ndarray, (y, x), or None
        Counts.
    shape : tuple of int
        (y, x) of the object.
    pixel : tuple of float or None
        Size of its pixels (y, x), m.
    """
    whole = (slice(0, shape[0]), slice(0, shape[1]))
    figure, axes = _map(whole, pixel)
    if light is not None:
        picture = axes.imshow(
            thin(light, PANEL),
            cmap="gray",
            vmin=0,
            vmax=grey_levels([light], round_field=False)[1],
            extent=_extent(whole, pixel),
            interpolation="antialiased",
        )
        label_bar(figure.colorbar(picture, ax=axes, fraction=0.045, pad=0.02), "light of all views (counts)")
    down, across = (places * (_unit(whole, pixel)[0] if pixel else 1.0)).T
    axes.scatter(across, down, s=float(np.clip(6000 / len(places), 1.5, 24)), color="#f59f00", linewidths=0)
    axes.plot(across[:1], down[:1], "o", markersize=8, markerfacecolor="none", markeredgecolor=MASKED)
    axes.annotate(
        "first view", (across[0], down[0]), (7, 5), textcoords="offset points", fontsize=8, color=MASKED, weight="bold"
    )
    left, right, lower, upper = _extent(whole, pixel)
    axes.set(xlim=(left, right), ylim=(lower, upper), aspect="equal")
    return figure


def mean_frame(image: Image, good: Image | None) -> Figure:
    """Draw the mean of all frames in a logarithmic scale, and the pixels that weren't used.

    Parameters
    ----------
    image : ndarray, (row, column)
        Counts.
    good : ndarray, (row, column), or None
        0 where a pixel isn't used.
    """
    used = np.isfinite(image) & (image > 0)
    used &= True if good is None else good > 0
    top = float(image[used].max()) if used.any() else 1.0
    low = max(float(np.percentile(image[used], 1)) if used.any() else 0.1, 1e-6 * top)
    figure = Figure(
        (WIDTH, float(np.clip(0.8 * WIDTH * image.shape[0] / image.shape[1], 2.0, 7.2))), layout="constrained"
    )
    axes = figure.subplots()
    rows, columns = image.shape
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    shown = np.clip(thin(image, PANEL), low, None)
    picture = axes.imshow(
        shown, cmap="inferno", norm=LogNorm(low, max(top, 1.01 * low)), extent=extent, interpolation="antialiased"
    )
    if good is not None:
        masked = thin((good <= 0).astype(np.float32), PANEL)
        axes.imshow(
            np.ma.masked_less_equal(masked, 0),
            cmap=ListedColormap([MASKED]),
            vmin=0,
            vmax=1,
            extent=extent,
            interpolation="none",
        )
    quiet(axes)
    axes.set_xlabel("column", fontsize=9)
    axes.set_ylabel("row", fontsize=9)
    bar = figure.colorbar(picture, ax=axes, fraction=0.045, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=3, width=0.6)
    bar.set_label("mean of a frame (counts)", fontsize=8)
    for middle, mark in ((columns // 2, axes.axvline), (rows // 2, axes.axhline)):
        for ends in ((0.0, 0.03), (0.97, 1.0)):
            mark(middle, *ends, color="white", linewidth=1.2)
    return figure
