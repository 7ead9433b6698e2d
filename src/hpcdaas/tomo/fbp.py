"""Filtered back-projection by Fourier gridding: the fast one."""

from __future__ import annotations

from pydantic import Field

from hpcdaas.backend import FbpPlan, Float32
from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.angles import angular_weights
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.filters import Filter, response


class FilterParameters(Parameters):
    """What filters the projections."""

    filter: Filter = Field("ramp", description="window on the ramp: ramp (none), shepp, hann, cosine, parzen")
    padding: float = Field(2.0, ge=2, le=8, description="length to which rows are padded with zeros, in widths")


class Fbp(FilterParameters):
    """Parameters of `fbp`."""

    eps: float = Field(1e-3, ge=1e-5, le=1e-2, description="relative error against the exact sum")


def plan(block: Block, parameters: FilterParameters, eps: float = 1e-3) -> FbpPlan:
    """Give what both back-projections need beside the data: weights of the angles, filter, centre, scale."""
    if block.center is None:
        raise ValueError("the centre is found before slices are reconstructed")
    return FbpPlan(
        angles=block.angles,
        weights=angular_weights(block.angles),
        response=response(parameters.filter, block.data.shape[2], parameters.padding),
        center=block.center,
        scale=1.0 / block.pixel_size if block.pixel_size else 1.0,
        eps=eps,
    )


def fbp(block: Block, parameters: Fbp, out: Float32) -> None:
    """Filtered back-projection by gridding in Fourier space, to a stated error.

    f(x, y) = Σ w q(θ, centre + x cos θ + y sin θ) / pixel size, q the filtered projection as a
    trigonometric polynomial (docs/results.md). By the projection-slice theorem the sum is a non-uniform
    Fourier transform of samples on radial lines: J. D. O'Sullivan, IEEE Trans. Med. Imaging 4, 200
    (1985); kernel after P. J. Beatty, D. G. Nishimura, J. M. Pauly, ibid. 24, 799 (2005).

    Parameters
    ----------
    block : Block
        Line integrals or, where a correction is pending, raw counts (angle, row, column).
    parameters : Fbp
    out : ndarray, (row, n, n), float32
        The slices, in 1/m where the pixel size is known, else per pixel.

    Raises
    ------
    InputError
        If the data hold values that are not finite.
    """
    eps_plan = plan(block, parameters, parameters.eps)
    block.tally["nonpositive"] += block.backend.fbp(block.data, block.pending, eps_plan, out)


STEP = Step(name="fbp", apply=fbp, parameters=Fbp, axis=Axis.SLICE, place=70)
