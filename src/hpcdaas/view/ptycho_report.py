"""What the report of a ptychographic result shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpcdaas.view import ptycho_curves, ptycho_figures
from hpcdaas.view.page import Contents, Picture, fact, number
from hpcdaas.view.picture import PANEL, length
from hpcdaas.view.ptycho_file import PtychoFile
from hpcdaas.view.wave import Region, Shown, region_of, shown, tilt

#: Objects are drawn with up to this many modes or layers beside the first.
OTHERS = 4


def contents(file: PtychoFile) -> Contents:
    """Draw the pictures of a result; of the object one mode at a time is read."""
    quality = file.quality()
    region = region_of(file)
    first = shown(file, 0, region)
    small = first.thinned(ptycho_figures.LARGE)
    pictures = [_phase(file, small), _probe(file, first), _rings(file), _curves(file), _amplitude(file, small)]
    if file.shape[0] > 1:
        pictures.append(_others(file, region))
    pictures += [_positions(file), _mean_frame(file)]
    return Contents(_facts(file, region, quality), pictures, quality)


def _phase(file: PtychoFile, first: Shown) -> Picture:
    what = "first layer" if file.layers else "strongest mode" if file.shape[0] > 1 else ""
    caption = f"The {what} of the object. " if what and file.shape[0] > 1 else ""
    caption += "Matter has negative phase. A linear ramp and the mean are taken away, which no data can tell;"
    caption += " the phase is not unwrapped. Black and white leave out three in a thousand pixels at each end."
    if not first.region.drawn.all():
        caption += " Grey-blue: hardly any light fell there."
    return Picture("phase", "Phase of the object", caption, ptycho_figures.phase(first, file.pixel_size))


def _amplitude(file: PtychoFile, first: Shown) -> Picture:
    caption = "How much of the wave passes. A common factor can't be told from the probe's power."
    figure = ptycho_figures.amplitude(first, file.pixel_size)
    return Picture("amplitude", "Amplitude of the object", caption, figure)


def _probe(file: PtychoFile, first: Shown) -> Picture:
    heading = "Probe"
    probe = file.probe()
    if probe is None:
        return Picture("probe", heading, "The result holds no probe.", None)
    # what is taken from the object belongs to the probe, with the other sign
    tilt(probe, first.ramp, +1)
    shares = _shares(probe)
    figure = ptycho_figures.waves(list(probe), shares, file.pixel_size)
    caption = (
        "Hue is the phase, brightness the amplitude, each mode to its own maximum; the share is that of the power."
    )
    if len(probe) > ptycho_figures.MODES:
        caption += f" {ptycho_figures.MODES} of {len(probe)} modes are drawn."
    return Picture("probe", heading, caption, figure)


def _shares(modes: Any) -> list[float]:
    """Give each mode's share of the power of all."""
    powers = [float(np.sum(np.abs(mode) ** 2, dtype=np.float64)) for mode in modes]
    return [power / (sum(powers) or 1.0) for power in powers]


def _others(file: PtychoFile, region: Region) -> Picture:
    what = "layer" if file.layers else "mode"
    count = min(file.shape[0], OTHERS + 1)
    found = [shown(file, i, region).thinned(PANEL) for i in range(count)]
    # noise where no light fell would be the brightest
    drawn = [np.where(one.region.lit, one.wave, 0) for one in found]
    figure = ptycho_figures.waves(drawn, None, file.pixel_size, what)
    caption = f"Hue is the phase, brightness the amplitude of each {what}."
    if count < file.shape[0]:
        caption += f" {count} of {file.shape[0]} are drawn."
    return Picture("object_modes", f"All {what}s of the object", caption, figure)


def _rings(file: PtychoFile) -> Picture:
    heading = "Fourier ring correlation"
    rings = file.rings()
    if rings is None:
        caption = "No halves of the scan were reconstructed: the resolution isn't known."
        return Picture("frc", heading, caption, None)
    caption = "Two halves of the scan, reconstructed apart. The resolution is where their correlation falls below the"
    caption += " half-bit curve."
    if rings.crossing is None:
        caption += " It stays above up to the edge: the pixel limits the resolution."
    return Picture("frc", heading, caption, ptycho_curves.rings(rings))


def _curves(file: PtychoFile) -> Picture:
    heading = "Course of the iterations"
    curves = file.curves()
    if not curves:
        return Picture("iterations", heading, "The result doesn't tell how the iterations went.", None)
    caption = "The error is Σ(√I − |Ψ|)² / ΣI over the pixels that are used. Each colour is one step of the recipe."
    return Picture("iterations", heading, caption, ptycho_curves.iterations(curves, ("error",)))


def _positions(file: PtychoFile) -> Picture:
    heading = "Scan positions on the object"
    places = file.positions()
    if places is None:
        return Picture("positions", heading, "The result holds no positions.", None)
    caption = "The centre of each view, as it was used last"
    light = file.light()
    caption += ", over the light that fell on the object." if light is not None else "."
    figure = ptycho_figures.positions(places, light, file.shape[1:], file.pixel_size)
    return Picture("positions", heading, caption, figure)


def _mean_frame(file: PtychoFile) -> Picture:
    heading = "Mean frame"
    image, good = file.image("mean_frame"), file.image("good")
    if image is None or image.ndim != 2 or not image.size:
        return Picture("mean_frame", heading, "The result holds no mean frame.", None)
    good = good if good is not None and good.shape == image.shape else None
    caption = "Logarithmic. White marks at the edges: where the direct beam was taken to be."
    if good is not None and (good <= 0).any():
        caption += f" Turquoise: not used, {int((good <= 0).sum()):,} pixels of {good.size:,}."
    return Picture("mean_frame", heading, caption, ptycho_figures.mean_frame(image, good))


def _facts(file: PtychoFile, region: Region, quality: Mapping[str, tuple[Any, str]]) -> list[dict[str, str]]:
    facts = []
    rings = file.rings()
    resolution = number(quality, "resolution") or (rings.resolution if rings else None)
    if resolution is not None:
        factor, unit = length(resolution)
        pixels = f", {resolution / file.pixel_size[1]:.2g} pixels" if file.pixel_size else ""
        facts.append(fact("Resolution", f"{resolution * factor:.3g} {unit}", f"half-bit{pixels}"))
    else:
        facts.append(fact("Resolution", "not measured", "no two halves"))
    error = number(quality, "error")
    if error is not None:
        facts.append(fact("Error", f"{error:.3g}", "of the amplitudes, squared"))
    facts.append(_size(file, region))
    places, views = file.positions(), number(quality, "views")
    count = int(views) if views is not None else None if places is None else len(places)
    if count is not None:
        facts.append(fact("Views", f"{count:,}"))
    probe = file.probe()
    if probe is not None:
        modes = "1 mode" if len(probe) == 1 else f"{len(probe)} modes"
        size = f"{probe.shape[2]} × {probe.shape[1]} pixels"
        share = f"first: {100 * _shares(probe)[0]:.1f} % of the power, " if len(probe) > 1 else ""
        facts.append(fact("Probe", modes, share + size))
    orientation, decided = (quality.get(name, ("", ""))[0] for name in ("orientation", "orientation_decided_by"))
    if orientation:
        said = f"decided by {decided}" if decided else ""
        said = "as stored, nothing decided it" if str(decided).startswith("nothing") else said
        facts.append(fact("Orientation of positions", str(orientation), said))
    return facts


def _size(file: PtychoFile, region: Region) -> dict[str, str]:
    rows, columns = (part.stop - part.start for part in region.part)
    if file.pixel_size is None:
        return fact("Pixel", "size unknown", f"lit: {columns} × {rows} pixels")
    y, x = file.pixel_size
    factor, unit = length(x)
    size = f"{x * factor:.4g}" if abs(y - x) < 1e-3 * x else f"{x * factor:.4g} × {y * factor:.4g}"
    wide, wide_unit = length(max(x * columns, y * rows))
    lit = f"lit: {x * columns * wide:.3g} × {y * rows * wide:.3g} {wide_unit}"
    return fact("Pixel", f"{size} {unit}", lit)
