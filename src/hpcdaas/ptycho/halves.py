"""How sharp the object is: two halves of the views, reconstructed apart, held against each other."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpcdaas.errors import InputError
from hpcdaas.params import Parameters
from hpcdaas.ptycho.frc import RingCorrelation, ring_correlation
from hpcdaas.ptycho.model import Model
from hpcdaas.step import Axis, Step


class Halves(Parameters):
    """Parameters of `halves`."""

    light: float = Field(0.3, gt=0, lt=1, description="share of the median light that compared pixels have")


def halves(model: Model, first: Model, second: Model, parameters: Halves) -> RingCorrelation | None:
    """Fourier ring correlation of two halves of the views: each half goes through the recipe's algorithms by itself.

    Every other view, in the order of their places, belongs to one half; both begin with an empty object and the probe
    that was found from all. The resolution is where the correlation falls below the half-bit threshold:
    M. van Heel, M. Schatz, J. Struct. Biol. 151, 250 (2005). It doubles the time.

    Parameters
    ----------
    model : Model
        Of all views.
    first, second : Model
        Of the halves.
    parameters : Halves

    Returns
    -------
    RingCorrelation or None
        None where the scan is too small for rings, or a half has nothing in it.
    """
    tile, get = model.tile, model.views.get
    light, one, other = (tile.whole(a) for a in (model.illumination(), get(first.object[0]), get(second.object[0])))
    found = None
    if tile.comm.rank == 0:
        window = lit_window(model, light, parameters.light)
        with suppress(InputError):
            found = ring_correlation(one[window], other[window], model.geometry.pixel)
    return tile.comm.share(found)


def lit_window(model: Model, light: NDArray[np.float32], share: float) -> tuple[slice, slice]:
    """Give the rows and columns around the scan's middle that got light everywhere, as far as they can be had."""
    places = model.geometry.places[model.order]
    bright = light > share * np.median(light[tuple(np.rint(places).astype(int).T)])
    low, high = np.percentile(places, 2, axis=0), np.percentile(places, 98, axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    for part in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        first, last = (np.maximum(np.rint(middle + sign * part * half), 0).astype(int) for sign in (-1, 1))
        window = (slice(int(first[0]), int(last[0]) + 1), slice(int(first[1]), int(last[1]) + 1))
        if bright[window].all():
            break
    return window


STEP = Step(name="halves", apply=halves, parameters=Halves, axis=Axis.QUALITY, place=80)
