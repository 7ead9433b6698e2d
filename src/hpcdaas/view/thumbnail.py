"""The small picture of a result in the catalogue; without matplotlib, which every run would have to import for it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from hpcdaas.view.entry import Image, is_ptychography
from hpcdaas.view.grey import grey, grey_levels, thin
from hpcdaas.view.volume import ResultFile

#: 256 x 256 grey values stay under 100 kB even where they can't be compressed.
LONGEST = 256


def thumbnail(result: Path) -> bytes:
    """Make a PNG of under 100 kB from the middle slice of a volume, or from the phase of an object.

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
    image, levels = _phase(result) if is_ptychography(result) else _slice(result)
    stream = io.BytesIO()
    PillowImage.fromarray(grey(image, levels)).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _slice(result: Path) -> tuple[Image, tuple[float, float]]:
    with ResultFile(result) as file:
        small = thin(file.plane(0, file.shape[0] // 2), LONGEST)
    return small, grey_levels([small])


def _phase(result: Path) -> tuple[Image, tuple[float, float]]:
    from hpcdaas.view.ptycho_file import PtychoFile  # SciPy's transforms: only where there is a phase
    from hpcdaas.view.wave import shown

    with PtychoFile(result) as file:
        found = shown(file).thinned(LONGEST)
    # where no light fell the mean grey, 0 rad
    return np.nan_to_num(found.phase), grey_levels([found.only_lit(found.phase)], round_field=False)
