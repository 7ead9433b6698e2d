"""The small picture of a result in the catalogue; without matplotlib, which every run would have to import for it."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image as PillowImage

from hpcdaas.view.grey import grey, grey_levels, thin
from hpcdaas.view.volume import ResultFile


def thumbnail(result: Path) -> bytes:
    """Make a PNG of under 100 kB from the middle slice of a result.

    Parameters
    ----------
    result : Path
        The result file.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If the file is no readable result.
    """
    with ResultFile(result) as file:
        image = file.plane(0, file.shape[0] // 2)
    # 256 x 256 grey values stay under 100 kB even where they can't be compressed
    small = thin(image, 256)
    stream = io.BytesIO()
    PillowImage.fromarray(grey(small, grey_levels([small]))).save(stream, "PNG", optimize=True)
    return stream.getvalue()
