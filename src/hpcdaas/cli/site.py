"""``hpcdaas site``: write the site file of this cluster, and check one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpcdaas.cli.submit import Json, SiteFile, StateOption
from hpcdaas.errors import InputError

app = typer.Typer(
    help="The site file, which says what the cluster has and allows: write one, check one.", no_args_is_help=True
)


@app.command()
def init(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Default: standard output.", show_default=False)
    ] = None,
) -> None:
    """Write a site file for review from what SLURM says; nothing is submitted."""
    from hpcdaas.cluster.site.init import compose, look
    from hpcdaas.cluster.slurm import Slurm

    if out and out.exists():
        raise InputError(f"{out} is there already.", "Choose another -o, or move it away.")
    text = compose(look(Slurm()))
    if out is None:
        print(text, end="")
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}.", "Choose another -o.") from error
    typer.echo(f"{out}: look over what is marked DECIDE, then: hpcdaas site check --site {out}", err=True)


@app.command()
def check(site: SiteFile = None, state: StateOption = None, as_json: Json = False) -> None:
    """Check a site file against this cluster; nothing is submitted. Exit code 1 if something is wrong."""
    from hpcdaas.cli.findings import tell
    from hpcdaas.cluster.site import site_path
    from hpcdaas.cluster.site.check import findings
    from hpcdaas.cluster.state import default_folder

    tell(findings(site_path(site), state or default_folder()), as_json)
