"""The report of a result: PNGs, and one HTML page that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

from hpcdaas.errors import InputError
from hpcdaas.view import ptycho_report, tomo_report
from hpcdaas.view.entry import is_ptychography
from hpcdaas.view.page import render
from hpcdaas.view.ptycho_file import PtychoFile
from hpcdaas.view.volume import ResultFile


def make_report(result: Path, folder: Path | None = None) -> Path:
    """Write pictures of a result as PNG, and one self-contained HTML page about it.

    What the file holds decides what is shown: a volume of tomography, or object and probe of ptychography.

    Parameters
    ----------
    result : Path
        The result file.
    folder : Path, optional
        Where to write; made if missing. Default: ``RESULT_report`` beside the result.

    Returns
    -------
    Path
        The HTML page. All names begin with that of the result, so that a folder may hold many reports.

    Raises
    ------
    InputError
        If the result can't be read or the folder can't be written.
    """
    kind = PtychoFile if is_ptychography(result) else ResultFile
    with kind(result) as file:
        # before the folder is made: a damaged result leaves none
        told = ptycho_report.contents(file) if isinstance(file, PtychoFile) else tomo_report.contents(file)
        folder = folder or result.with_name(f"{result.stem}_report")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {folder} can't be made: {error.strerror or error}.") from error
        page = render(file, told, folder)
    path = folder / f"{result.stem}.html"
    try:
        path.write_text(page, encoding="utf-8", errors="replace")  # names needn't be UTF-8
    except OSError as error:
        raise InputError(f"The report {path} can't be written: {error.strerror or error}.") from error
    return path
