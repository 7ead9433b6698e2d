"""The picture of a preview: its slices side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpcdaas.view.figures import preview_png
from hpcdaas.view.volume import ResultFile


def preview(result: Path) -> Path:
    """Draw all slices of a small result side by side, into ``RESULT.png``.

    Parameters
    ----------
    result : Path
        The result file.

    Returns
    -------
    Path
        The picture.
    """
    path = result.with_suffix(".png")
    with ResultFile(result) as file:
        slices = np.stack([file.plane(0, i) for i in range(file.shape[0])])
        preview_png(slices, path, pixel_size=file.pixel_size)
    return path
