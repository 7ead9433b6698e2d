"""``hpcdaas doctor``: what this installation has, what it lacks, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from hpcdaas.errors import for_people

if TYPE_CHECKING:
    from hpcdaas.cli.doctor_finding import Finding

Check = tuple[str, Callable[[], "Finding"]]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")] = False,
) -> None:
    """Say what this installation has, lacks, and what is wrong with it (exit code 1)."""
    from hpcdaas.cli.doctor_checks import CHECKS
    from hpcdaas.cli.doctor_machine import CHECKS as MACHINE

    findings = examine((*CHECKS, *MACHINE))
    if as_json:
        print(json.dumps({"ok": is_well(findings), "checks": [finding.as_json() for finding in findings]}))
    else:
        tell(findings)
    if not is_well(findings):
        raise typer.Exit(1)


def examine(checks: Iterable[Check]) -> list[Finding]:
    """Do all checks; one that fails is a finding, too, and ends none of the others."""
    return [_examined(name, check) for name, check in checks]


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong; what is missing is no fault."""
    return all(finding.state != "wrong" for finding in findings)


def _examined(name: str, check: Callable[[], Finding]) -> Finding:
    from hpcdaas.cli.doctor_finding import wrong

    try:
        finding = check()
    except Exception as error:  # an import that fails is what is looked for
        said = for_people(error)
        finding = wrong(said.message, said.hint)
    return finding.named(name)


def tell(findings: Iterable[Finding]) -> None:
    """Print findings as a table for people, and what to do next below each that isn't fine."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colors = {"ok": "green", "missing": "yellow", "wrong": "bold red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(finding.name, Text(finding.state, colors[finding.state]), Text(finding.found))
        if finding.next:
            table.add_row("", "", Text(f"→ {finding.next}"))
    Console().print(table)
