"""The picture of a preview: its slices side by side, or the phase of its object."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpcdaas.view.entry import is_ptychography
from hpcdaas.view.figures import preview_png, save
from hpcdaas.view.ptycho_figures import LARGE, phase
from hpcdaas.view.ptycho_file import PtychoFile
from hpcdaas.view.volume import ResultFile
from hpcdaas.view.wave import shown


def preview(result: Path) -> Path:
    """Draw all slices of a small volume side by side, or the phase of an object, into ``RESULT.png``.

    Parameters
    ----------
    result : Path
        The result file.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    InputError
        If the file is no readable result, or the picture can't be written.
    """
    path = result.with_suffix(".png")
    if is_ptychography(result):
        with PtychoFile(result) as file:
            save(phase(shown(file).thinned(LARGE), file.pixel_size), path)
        return path
    with ResultFile(result) as file:
        slices = np.stack([file.plane(0, i) for i in range(file.shape[0])])
        preview_png(slices, path, pixel_size=file.pixel_size)
    return path
