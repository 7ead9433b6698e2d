"""``hpcdaas submit``: scans become registered results on the cluster."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcdaas.errors import Busy, HpcdaasError, InputError

if TYPE_CHECKING:
    from hpcdaas.cluster.entry import Entry
    from hpcdaas.cluster.ledger import Ledger
    from hpcdaas.cluster.site import Site
    from hpcdaas.cluster.state import StateFolder
    from hpcdaas.cluster.tell import Words

SiteFile = Annotated[
    Path | None, typer.Option("--site", help="Site file; default: $HPCDAAS_SITE, ./site.toml, or no cluster at all.")
]
StateOption = Annotated[
    Path | None, typer.Option("--state", help="State folder with the ledger; default: your own.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")]


def submit(
    files: Annotated[list[Path], typer.Argument(help="The raw scans.")],
    recipe: Annotated[
        list[Path] | None, typer.Option("-r", "--recipe", help="Recipe (TOML), or several; earlier ones go first.")
    ] = None,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="TEMPLATE", help="{proposal} {folder} {scan} {recipe} {run8}.")
    ] = "./",
    site: SiteFile = None,
    state: StateOption = None,
    again: Annotated[bool, typer.Option("--again", help="Do it once more, as another attempt.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until all is registered.")] = False,
    as_json: Json = False,
) -> None:
    """Reconstruct scans on the cluster; `status` shows where they are."""
    from hpcdaas.cluster import template as templates
    from hpcdaas.cluster.ledger import Ledger
    from hpcdaas.cluster.scans.recipes import asked
    from hpcdaas.cluster.site import find_site
    from hpcdaas.cluster.state import StateFolder, default_folder
    from hpcdaas.cluster.tell import Words

    chosen, recipes, template = find_site(site), asked(recipe or []), templates.complete(out)
    templates.check_many(template, scans=len(files), recipes=len(recipes))
    for file in files:
        if not file.exists():
            raise InputError(f"There is no file {file}.")
    folder = StateFolder(state or default_folder())
    ledger = Ledger(folder.path)
    entries = [_add(ledger, file, one, template, again) for file in files for one in recipes]
    numbers = [entry.id for entry in entries]
    _move(chosen, folder, ledger, numbers, wait, Words(quiet=as_json))
    _report(ledger, numbers, as_json, wait)


def _add(ledger: Ledger, file: Path, recipe: object, template: str, again: bool) -> Entry:
    """Put a scan into the ledger; one that is there stays as it is, unless it is to be done again."""
    from hpcdaas.cluster.scans.recipes import Asked

    assert isinstance(recipe, Asked)
    scan = file.parent.resolve() / file.name
    known = [entry for entry in ledger.of_scan(scan) if entry.recipe == recipe.name]
    if known and not again:
        return known[-1]
    attempt = known[-1].attempt + 1 if known else 1
    entry = ledger.add(
        scan, recipe.name, attempt=attempt, template=template, recipe_file=recipe.file, priority=recipe.priority
    )
    return entry or ledger.of_scan(scan)[-1]


def _move(site: Site, folder: StateFolder, ledger: Ledger, numbers: list[int], wait: bool, tell: Words) -> None:
    """Look after the runs until they are on their way, or at their end; a watcher that is at work does it by itself."""
    from hpcdaas.cluster.assemble import looking_after, stays

    to_the_end = wait or site.is_local  # where there is no SLURM, nobody else would go on with them

    def settled() -> bool:
        return all(_settled(ledger, number, not to_the_end) for number in numbers)

    while not settled():
        holder = folder.holder()
        if holder and stays(ledger, holder) and not wait:
            return
        try:
            if not holder:
                with looking_after(site, folder.path, tell, pools=to_the_end, at_once=True) as watch:
                    watch.run(until=settled)
                return
        except Busy:  # another one was quicker: it may leave before it has come to these
            pass
        time.sleep(0.2)


def _settled(ledger: Ledger, number: int, submitted: bool = False) -> bool:
    """Say whether a run is at its end, or, if that is enough, has a job."""
    entry = ledger.entry(number)
    if not entry.ended_for_good and entry.twin is not None:
        return _settled(ledger, entry.twin, submitted)
    held = entry.state == "done" and bool(entry.reason)  # its record waits in the outbox
    return entry.ended_for_good or held or (submitted and entry.job is not None)


def _report(ledger: Ledger, numbers: list[int], as_json: bool, wait: bool) -> None:
    from hpcdaas.cluster.report import WRONG, row
    from hpcdaas.cluster.tell import plain

    entries = [ledger.entry(number) for number in numbers]
    if as_json:
        print(json.dumps({"runs": [row(entry) for entry in entries]}))
    else:
        for entry in entries:
            wrong = entry.reason if entry.state in WRONG else None
            where = f"job {entry.job}" if entry.job and not entry.ended_for_good else wrong or entry.result or ""
            print(plain(f"{Path(entry.scan).name}: {entry.state} {where}".rstrip()))
        if not wait:
            print("Where they are: hpcdaas status")
    failed = [entry for entry in entries if entry.state in WRONG]
    if failed and not as_json:
        raise HpcdaasError(f"{len(failed)} of {len(entries)} failed.", "hpcdaas status --failed shows why.")
    if failed:
        raise typer.Exit(1)
