"""The ramp filter with its windows, as the frequency response that back-projections multiply with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import next_smooth
from hpcdaas.errors import InputError, nearest

Filter = Literal["ramp", "shepp", "hann", "cosine", "parzen"]


def padded_length(columns: int, padding: float) -> int:
    """Give the length to which rows are padded before they are filtered.

    Parameters
    ----------
    columns : int
        Columns of the detector.
    padding : float
        Factor asked for, at least 1.

    Returns
    -------
    int
        The smallest even 2^a·3^b·5^c·7^d that is at least `padding` times `columns`.
    """
    return next_smooth(math.ceil(padding * columns))


def response(name: str, columns: int, padding: float) -> NDArray[np.float64]:
    """Give the frequency response of a filter for pixels of size 1.

    The ramp is the DFT of its samples in real space and not |f|, which would put the mean of the
    slice wrong (Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, section
    3.3, equation 61): h[0] = 1/4, h[n] = −1/(πn)² for odd n, else 0. The window multiplies it.

    Parameters
    ----------
    name : str
        ``ramp``, ``shepp``, ``hann``, ``cosine`` or ``parzen``.
    columns, padding
        See `padded_length`.

    Returns
    -------
    ndarray, (P/2 + 1,), float64
        H at k/P cycles per pixel, k = 0 … P/2.

    Raises
    ------
    InputError
        If there is no such filter.
    """
    if name not in WINDOWS:
        raise InputError(f"There is no filter '{name}'.", nearest(name, get_args(Filter)))
    padded = padded_length(columns, padding)
    index = np.arange(padded)
    distance = np.minimum(index, padded - index)  # the last half is the negative n
    h = np.zeros(padded)
    odd = distance % 2 == 1
    h[odd] = -1.0 / (np.pi * distance[odd]) ** 2
    h[0] = 0.25
    # the samples are even, so the spectrum is real
    return np.asarray(np.fft.rfft(h).real * WINDOWS[name](np.arange(padded // 2 + 1) / padded))


def _parzen(f: NDArray[np.float64]) -> NDArray[np.float64]:
    """Parzen's window, two cubic pieces that meet at half the highest frequency."""
    g = 2 * np.abs(f)
    return np.where(g <= 0.5, 1 - 6 * g**2 * (1 - g), 2 * (1 - g) ** 3)


#: W(f), f in cycles per pixel, 0 to 1/2.
WINDOWS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "ramp": np.ones_like,
    "shepp": np.sinc,
    "hann": lambda f: (1 + np.cos(2 * np.pi * f)) / 2,
    "cosine": lambda f: np.cos(np.pi * f),
    "parzen": _parzen,
}
