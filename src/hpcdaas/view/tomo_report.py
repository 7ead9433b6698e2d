"""What the report of a tomography result shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcdaas.view import figures
from hpcdaas.view.cuts import STRETCHED, THIN
from hpcdaas.view.grey import grey_levels
from hpcdaas.view.page import Contents, Picture, fact, number
from hpcdaas.view.picture import length
from hpcdaas.view.volume import ResultFile


def contents(file: ResultFile) -> Contents:
    """Draw the pictures of a result; reads a few planes, so that the volume may be larger than memory."""
    metrics = file.metrics()
    pictures = [_cuts(file), _centers(file), _sinograms(file), _histogram(file)]
    return Contents(_facts(file, metrics), pictures, metrics)


def _cuts(file: ResultFile) -> Picture:
    z, _, x = (abs(axis.step) * n for axis, n in zip(file.axes, file.shape, strict=True))
    heading, caption = "Slices", "First, middle and last slice."
    if file.shape[0] == 1:
        heading, caption = "Slice", "The only slice of this result."
    elif file.shape[0] >= THIN:
        heading, caption = (
            "Three cuts through the middle",
            "Marks at the edges show where the two other cuts go through.",
        )
        if z < STRETCHED * x:
            caption += " The volume is thin: z is drawn stretched."
    caption += " Black and white leave out three in a thousand voxels at each end."
    return Picture("cuts", heading, caption, figures.cuts(file))


def _centers(file: ResultFile) -> Picture:
    heading = "Rotation centre"
    trials, values = file.image("center_trials"), file.image("center_values")
    if trials is None or values is None or trials.ndim != 3 or values.shape != trials.shape[:1] or not trials.size:
        return Picture("center", heading, "No trial centres were kept: the centre was given, or not searched.", None)
    chosen = number(file.metrics(), "center")
    caption = "The same slice with other centres, each labelled with the one that was truly used."
    return Picture("center", heading, caption, figures.strip(trials, [float(v) for v in values], chosen))


def _sinograms(file: ResultFile) -> Picture:
    heading = "Sinogram before and after correction"
    raw, corrected = (
        image if image is not None and image.ndim == 2 and image.size else None
        for image in (file.image("sinogram_raw"), file.image("sinogram"))
    )
    if raw is None and corrected is None:
        return Picture("sinogram", heading, "The result holds no sinogram.", None)
    row = file.diagnostic("row")
    caption = "Straight vertical lines that are left make rings in the slices."
    if raw is None or corrected is None:
        caption = f"Only the sinogram {'after' if raw is None else 'before'} correction is in the file. " + caption
    return Picture("sinogram", heading, caption, figures.sinograms(raw, corrected, None if row is None else int(row)))


def _histogram(file: ResultFile) -> Picture:
    values = figures.sample(file)
    used = len(file.planes(9))
    slices = "all slices" if used == file.shape[0] > 1 else f"{used} of {file.shape[0]} slices"
    slices = "the slice" if file.shape[0] == 1 else slices
    levels = grey_levels([file.plane(0, file.shape[0] // 2)])
    caption = f"Voxels in the inscribed disc of {slices}; the dashed lines are the pictures' black and white."
    return Picture("histogram", "Histogram", caption, figures.histogram(values, file.units, levels))


def _facts(file: ResultFile, metrics: Mapping[str, tuple[Any, str]]) -> list[dict[str, str]]:
    z, y, x = file.shape
    facts = [fact("Volume", f"{x} × {y} × {z}", f"x, y, z; {file.dtype.name}")]
    if file.pixel_size:
        factor, unit = length(file.pixel_size)
        wide, wide_unit = length(x * file.pixel_size)
        field = f"{x * file.pixel_size * wide:.4g} {wide_unit} wide"
        facts.append(fact("Voxel", f"{file.pixel_size * factor:.5g} {unit}", field))
    else:
        facts.append(fact("Voxel", "size unknown", "values are per pixel"))
    center, confidence = number(metrics, "center"), number(metrics, "center_confidence")
    if center is not None:
        sure = "" if confidence is None else f"confidence {confidence:.2f}"
        facts.append(fact("Rotation centre", f"column {center:.2f}", sure))
    return facts
