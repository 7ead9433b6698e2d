"""``hpcdaas status``: where every scan is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.cli.submit import Json, SiteFile, StateOption
from hpcdaas.errors import HpcdaasError, InputError

if TYPE_CHECKING:
    from hpcdaas.cluster.entry import Entry
    from hpcdaas.cluster.ledger import Ledger
    from hpcdaas.cluster.state import StateFolder

#: Rows that are shown to people where no scan is named.
SHOWN = 20


def status(
    which: Annotated[str | None, typer.Argument(metavar="[RUN|FILE]", help="One run, scan or job.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what failed, stayed partial or was cancelled.")
    ] = False,
    usage: Annotated[bool, typer.Option("--usage", help="Core and GPU hours by group and month.")] = False,
    by: Annotated[str, typer.Option("--by", help="With --usage: group.")] = "group",
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="With --usage: one month.")] = None,
    health: Annotated[bool, typer.Option("--health", help="Exit with 1 and one line if something isn't well.")] = False,
    prometheus: Annotated[Path | None, typer.Option(help="Write figures for Prometheus into this file.")] = None,
    site: SiteFile = None,
    state: StateOption = None,
    as_json: Json = False,
) -> None:
    """Show where every scan is, or one of them with its history."""
    from hpcdaas.cluster.ledger import Ledger
    from hpcdaas.cluster.state import StateFolder, default_folder

    if by != "group":
        raise InputError(f"Usage by '{by}' isn't known.", "Known: group.")
    path = state or default_folder()
    ledger = Ledger(path, write=False)
    folder = StateFolder(path)
    if health:
        _health(ledger, folder, site)
    elif prometheus:
        from hpcdaas.cluster.health import write_figures

        write_figures(ledger, prometheus.absolute())
    elif usage:
        _usage(ledger, month, as_json)
    else:
        _settle(ledger, folder, site)
        _show(ledger, folder, which, failed, as_json)


def _health(ledger: Ledger, folder: StateFolder, site: Path | None) -> None:
    from hpcdaas.cluster.health import trouble
    from hpcdaas.cluster.site import find_site

    said = trouble(ledger, find_site(site).health, folder.holder() is not None)
    if said:
        raise HpcdaasError(said)
    print("All is well.")


def _settle(ledger: Ledger, folder: StateFolder, site: Path | None) -> None:
    """Take in what has ended where no watcher does: jobs go on after `submit` has left."""
    from hpcdaas.cluster.entry import State

    if folder.holder() is not None or not (ledger.placed() or ledger.first(State.DONE, "ended")):
        return
    from hpcdaas.cluster.assemble import looking_after
    from hpcdaas.cluster.site import find_site
    from hpcdaas.cluster.tell import Words

    chosen = find_site(site)
    try:
        with looking_after(chosen, folder.path, Words(quiet=True), pools=False) as watch:
            watch.settle()
    except HpcdaasError as error:
        typer.echo(f"What has ended meanwhile isn't known: {error.message}", err=True)


def _show(ledger: Ledger, folder: StateFolder, which: str | None, failed: bool, as_json: bool) -> None:
    from hpcdaas.cluster.report import FIELDS, WRONG, row

    if which:
        entries = ledger.find(which)
        if not entries:
            raise InputError(f"No run, scan or job is called {which}.", "'hpcdaas status' shows all.")
    elif as_json:
        print(f'{{"counts": {json.dumps(ledger.counts())}, "runs": {ledger.as_json(FIELDS, WRONG if failed else ())}}}')
        return
    else:
        entries = ledger.entries(*(WRONG if failed else ()), order="changed DESC", limit=SHOWN)[::-1]
    if as_json:
        print(json.dumps({"counts": ledger.counts(), "runs": [row(entry) for entry in entries]}))
        return
    _print(ledger, folder, entries, which)


def _print(ledger: Ledger, folder: StateFolder, entries: list[Entry], which: str | None) -> None:
    from hpcdaas.cluster.tell import plain

    counts = {state: count for state, count in ledger.counts().items() if count}
    holder = folder.holder()
    print(", ".join(f"{count} {state}" for state, count in counts.items()) or "Nothing was submitted or watched yet.")
    print(f"Watched by process {holder['pid']} on {holder['host']}." if holder else "No watcher is at work.")
    for paused, why in (("paused", "as asked"), ("full", "their disk is full")):
        groups = ledger.fact(paused)
        if groups:
            print(f"Paused, {why}: {', '.join(group or 'all' for group in groups)}")
    width = max((len(Path(entry.scan).name) for entry in entries), default=0)
    for entry in entries:
        where = entry.reason or (entry.pid if entry.state == "registered" else None) or entry.result or ""
        name = plain(Path(entry.scan).name).ljust(width)
        print(f"{(entry.run or '')[:8]:8}  {name}  {entry.recipe}  {entry.state:10}  {plain(where)}")
    if which:
        for entry in entries:
            _tell(ledger, entry)


def _tell(ledger: Ledger, entry: Entry) -> None:
    """Show what happened to an entry, and where to look."""
    from hpcdaas.cluster.tell import plain

    facts: dict[str, Any] = {
        "scan": entry.scan, "result": entry.result, "pid": entry.pid, "job": entry.job, "log": entry.log,
        "core hours": f"{entry.core_seconds / 3600:.3f}" if entry.core_seconds else None,
    }  # fmt: skip
    print()
    for name, value in facts.items():
        if value:
            print(f"{name:10}  {plain(str(value))}")
    for time, text in ledger.events(entry.id):
        print(f"{time}  {plain(text)}")


def _usage(ledger: Ledger, month: str | None, as_json: bool) -> None:
    rows = ledger.usage(month)
    if as_json:
        print(json.dumps(rows))
        return
    print("month    group             runs   core hours    GPU hours")
    for row in rows:
        hours = f"{row['core_hours']:11.2f}  {row['gpu_hours']:11.2f}"
        print(f"{row['month']}  {row['group'] or '-':16}  {row['runs']:4}  {hours}")
