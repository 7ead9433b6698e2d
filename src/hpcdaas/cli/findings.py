"""Shows what checks have found, line by line as it comes, and what is to be done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from hpcdaas.cluster.site.finding import Finding

COLORS = {"ok": "green", "note": "yellow", "wrong": "bold red"}
#: Columns for names, and for all of a line where nobody looks at it in a terminal.
NAMES, LINE = 15, 10_000


def tell(findings: Iterable[Finding], as_json: bool) -> None:
    """Show findings; what makes them may take its time over each.

    Raises
    ------
    typer.Exit
        With 1, if something is wrong.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LINE  # one line for each
    found: list[Finding] = []
    if as_json:
        found += findings
        print(json.dumps({"ok": not _wrong(found), "checks": [finding.as_json() for finding in found]}))
    else:
        with console.status("looking ..."):
            for finding in findings:
                again = any(finding.then == other.then for other in found)
                found.append(finding)
                console.print(_row(finding, hint="" if again else finding.then))
        bad = _wrong(found)
        said = f"To be seen to: {', '.join(dict.fromkeys(bad))}." if bad else "All is well."
        console.print(f"\n{said}", style="bold red" if bad else "green", markup=False)
    if _wrong(found):
        raise typer.Exit(1)


def _wrong(found: Iterable[Finding]) -> list[str]:
    return [finding.name for finding in found if finding.state == "wrong"]


def _row(finding: Finding, hint: str) -> Table:
    """Lay out a finding, and below it what to do, where that wasn't said before."""
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(min_width=NAMES)
    row.add_column(min_width=len("wrong"))
    row.add_column(overflow="fold")
    row.add_row(Text(finding.name, "bold"), Text(finding.state, COLORS[finding.state]), Text(finding.found))
    if hint:
        row.add_row("", "", Text(f"→ {hint}", "italic"))
    return row
