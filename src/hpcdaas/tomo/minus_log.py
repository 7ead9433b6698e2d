"""Minus logarithm: transmission becomes line integrals."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from hpcdaas.backend import FLOOR, Correction
from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block


class MinusLog(Parameters):
    """Parameters of `minus_log`."""

    floor: float = Field(FLOOR, gt=0, le=1, description="transmission that stands in for values at or below zero")


def minus_log(block: Block, parameters: MinusLog) -> None:
    """Take −ln of the transmission (Beer and Lambert's law); values at or below zero become `floor` first.

    Nothing is computed here: the next kernel takes the logarithm while it loads the data, and
    counts the values at or below zero (tally ``nonpositive``).

    Raises
    ------
    InputError
        If the logarithm is pending already.
    """
    correction = block.pending or Correction.none(block.data.shape)
    if correction.log:
        raise InputError("Step 'minus_log' is there twice.", "Keep one of them.")
    block.pending = replace(correction, log=True, floor=parameters.floor)


STEP = Step(name="minus_log", apply=minus_log, parameters=MinusLog, axis=Axis.POINT, place=40)
