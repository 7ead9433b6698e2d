"""Zingers: single pixels far brighter than what is around them."""

from __future__ import annotations

from pydantic import Field, field_validator

from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block


class Outliers(Parameters):
    """Parameters of `outliers`."""

    threshold: float = Field(
        0.5, gt=0, description="how far above the median around it a pixel may be, as a share of that median"
    )
    size: int = Field(3, ge=3, le=15, description="width of the neighbourhood, odd")

    @field_validator("size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("it must be odd")
        return size


def outliers(block: Block, parameters: Outliers) -> None:
    """Replace zingers, pixels brighter than the median around them by more than a share, with that median.

    The conditional ("switching") median of T. Sun and Y. Neuvo, Pattern Recognition Letters 15,
    341 (1994): all other pixels keep their value, and the data their type. Flats get the same
    treatment, so that a bright pixel isn't taken out of only one side of the division; darks
    don't, because a share of next to nothing says nothing. At the frame's edges the outermost
    pixels are repeated. Values that are not finite stay, to be reported by the flat field.

    Parameters
    ----------
    block : Block
        Changed in place; tally ``zingers`` counts the replaced pixels outside the halo.
    parameters : Outliers
    """
    size, threshold = parameters.size, parameters.threshold
    inner = slice(block.halo, block.data.shape[1] - block.halo)
    block.tally["zingers"] += block.backend.outliers(block.data, size, threshold, inner)
    for _, frames in block.flats:
        block.backend.outliers(frames, size, threshold, inner)


STEP = Step(
    name="outliers",
    apply=outliers,
    parameters=Outliers,
    axis=Axis.PROJECTION,
    place=10,
    halo=lambda parameters, scan: parameters.size // 2,
)
