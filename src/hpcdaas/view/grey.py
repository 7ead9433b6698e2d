"""Grey levels and thinning out: what all pictures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def disc(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mark the pixels of an image (y, x) in the ellipse that touches its edges; all of them in a narrow image."""
    if min(shape) < 8:
        return np.ones(shape, bool)
    y, x = (np.linspace(-1, 1, n) for n in shape)
    inside: NDArray[np.bool_] = y[:, None] ** 2 + x**2 <= 1
    return inside


def grey_levels(images: Sequence[Image], round_field: bool = True) -> tuple[float, float]:
    """Find values for black and white that few outliers can't move.

    Parameters
    ----------
    images : sequence of ndarray, (y, x)
        What is shown with these levels.
    round_field : bool
        Whether only the inscribed disc counts: slices, whose corners no projection saw whole.

    Returns
    -------
    black, white : float
        Percentiles 0.3 and 99.7 of the finite values; (0, 1) where there are none. Never equal.
    """
    parts = [image[disc(image.shape)] if round_field else image.ravel() for image in images]
    values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    black, white = (float(v) for v in np.percentile(values, (0.3, 99.7)))
    if white <= black:
        black, white = float(values.min()), float(values.max())
    return (black, white) if white > black else (black - 0.5, black + 0.5)


def thin(image: Image, longest: int) -> Image:
    """Average blocks of pixels so that no side is longer than `longest`; odd ends are dropped.

    Parameters
    ----------
    image : ndarray, (y, x)
    longest : int
        Pixels.

    Returns
    -------
    ndarray, float32
    """
    ky, kx = (max(1, -(-n // longest)) for n in image.shape)
    if ky == kx == 1:
        return image
    y, x = image.shape[0] // ky, image.shape[1] // kx
    blocks = image[: y * ky, : x * kx].reshape(y, ky, x, kx)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def grey(image: Image, levels: tuple[float, float]) -> NDArray[np.uint8]:
    """Turn an image into 8-bit grey; what is not finite is black."""
    black, white = levels
    held = np.clip(np.nan_to_num(image, nan=black), black, white).astype(np.float64)
    return np.asarray(np.rint((held - black) * (255.0 / (white - black))), np.uint8)
