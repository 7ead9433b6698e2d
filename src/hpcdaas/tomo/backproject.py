"""Filtered back-projection by the ray sum over pixels: the plain one."""

from __future__ import annotations

from hpcdaas.backend import Float32
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.fbp import FilterParameters, plan


class Backproject(FilterParameters):
    """Parameters of `backproject`."""


def backproject(block: Block, parameters: Backproject, out: Float32) -> None:
    """Filtered back-projection as a sum over rays, linear interpolation between detector pixels.

    A. C. Kak and M. Slaney, Principles of Computerized Tomographic Imaging (1988), section 3.3.
    Slower than `fbp` and smoother, because the interpolation is a filter of its own.

    Parameters
    ----------
    block : Block
        Line integrals or, where a correction is pending, raw counts (angle, row, column).
    parameters : Backproject
    out : ndarray, (row, n, n), float32
        The slices, in 1/m where the pixel size is known, else per pixel.

    Raises
    ------
    InputError
        If the data hold values that are not finite.
    """
    lines = plan(block, parameters)
    block.tally["nonpositive"] += block.backend.filtered_backprojection(block.data, block.pending, lines, out)


STEP = Step(name="backproject", apply=backproject, parameters=Backproject, axis=Axis.SLICE, place=70)
