"""``hpcdaas doctor``: what machine and installation have and lack; with ``--site``, what jobs do on the cluster."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hpcdaas.cli.submit import Json, StateOption
from hpcdaas.errors import InputError, for_people

if TYPE_CHECKING:
    from hpcdaas.cluster.site.finding import Finding

#: A name, and what looks.
Check: TypeAlias = "tuple[str, Callable[[str], Finding]]"


def doctor(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="SITE", help="Site file; default: $HPCDAAS_SITE, or ./site.toml.", show_default=False),
    ] = None,
    jobs: Annotated[
        bool, typer.Option("--site", help="Try the site file with small real jobs in each of its partitions.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="With --site: longest time to wait for jobs.")
    ] = 300.0,
    state: StateOption = None,
    as_json: Json = False,
) -> None:
    """Say what this machine and installation have, lack, and what is wrong with them (exit code 1)."""
    from hpcdaas.cli.findings import tell

    if jobs:
        with _ended_politely():
            tell(_tried(file, state, timeout), as_json)
        return
    from hpcdaas.cli import doctor_machine, doctor_program

    tell(examine((*doctor_program.CHECKS, *doctor_machine.checks(file))), as_json)


def examine(checks: Iterable[Check]) -> Iterator[Finding]:
    """Do all checks; one that fails is a finding, too, and ends none of the others."""
    from hpcdaas.cluster.site.finding import wrong

    for name, check in checks:
        try:
            yield check(name)
        except Exception as error:  # an import that fails is what is looked for
            said = for_people(error)
            yield wrong(name, said.message, said.hint)


def _tried(file: Path | None, state: Path | None, timeout: float) -> Iterator[Finding]:
    from hpcdaas.cluster.site import find_site
    from hpcdaas.cluster.site.trial import findings
    from hpcdaas.cluster.state import default_folder

    site = find_site(file)
    if site.is_local:
        raise InputError("There is no site file with a partition to try.", "'hpcdaas site init' writes one.")
    return findings(site, state or default_folder(), timeout)


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: jobs are cancelled before the end."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
