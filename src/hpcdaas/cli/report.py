"""``hpcdaas report``: pictures and one HTML page about a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT.h5", help="A result of reconstruct.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for the report. Default: RESULT_report.", show_default=False
        ),
    ] = None,
) -> None:
    """Write pictures of a result, and one self-contained HTML page with its parameters and provenance."""
    from hpcdaas.view.report import make_report

    typer.echo(make_report(result, folder))
