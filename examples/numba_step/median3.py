"""A filter of one's own as a step: Numba makes a loop over the processor's cores of it, and a kernel for a GPU.

With the package installed a recipe may say

    [[step]]
    use = "median3"
    threshold = 0.2

and ``hpcdaas reconstruct scan.h5 -o result.h5 -s median3.threshold=0.2`` puts the step at its place.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import cuda
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block

Float32 = NDArray[np.float32]
THREADS = 128


class Median3(Parameters):
    """Parameters of `median3`."""

    threshold: float = Field(0.1, ge=0, description="how far from its neighbours' median a value may be")


def formula(left: float, here: float, right: float, threshold: float) -> float:
    """Give a value, or the median of it and its two neighbours where it is farther from that than the threshold."""
    median = max(min(left, right), min(max(left, right), here))
    return median if abs(here - median) > threshold else here


on_processor = numba.njit(formula)
on_gpu = cuda.jit(device=True)(formula)


@numba.njit(parallel=True)
def filter_rows(rows: Float32, threshold: float) -> None:
    """Filter rows (row, column) in place, on the cores of the processor."""
    for i in numba.prange(rows.shape[0]):
        row = rows[i]
        left = row[0]
        for j in range(1, row.size - 1):
            here = row[j]
            row[j] = on_processor(left, here, row[j + 1], threshold)
            left = here


@cuda.jit
def filter_kernel(rows: Float32, out: Float32, threshold: float) -> None:
    """Filter rows (row, column) into others: a thread for each value."""
    j, i = cuda.grid(2)
    if i >= rows.shape[0] or j >= rows.shape[1]:
        return
    if 0 < j < rows.shape[1] - 1:
        out[i, j] = on_gpu(rows[i, j - 1], rows[i, j], rows[i, j + 1], threshold)
    else:
        out[i, j] = rows[i, j]


def filter_rows_on_gpu(rows: Float32, threshold: float) -> None:
    """Filter rows (row, column) in place, on the GPU."""
    there, out = cuda.to_device(rows), cuda.device_array(rows.shape, np.float32)
    blocks = (-(-rows.shape[1] // THREADS), rows.shape[0])
    filter_kernel[blocks, (THREADS, 1)](there, out, np.float32(threshold))
    out.copy_to_host(rows)


def median3(block: Block, parameters: Median3) -> None:
    """Replace values that stick out of their row by the median of three.

    Parameters
    ----------
    block : Block
        Line integrals; changed in place.
    parameters : Median3
    """
    data = block.values()
    apply: Any = filter_rows_on_gpu if block.backend.name == "cuda" else filter_rows
    for frame in data:  # (row, column)
        apply(frame, parameters.threshold)


STEP = Step(name="median3", apply=median3, parameters=Median3, axis=Axis.SINOGRAM, place=45)
