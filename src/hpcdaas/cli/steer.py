"""``hpcdaas retry|cancel|pause``: what people do about runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hpcdaas.cli.submit import SiteFile, StateOption
from hpcdaas.errors import HpcdaasError, InputError

if TYPE_CHECKING:
    from hpcdaas.cluster.entry import Entry
    from hpcdaas.cluster.ledger import Ledger

Which = Annotated[list[str] | None, typer.Argument(metavar="[RUN|FILE]...", help="Runs, scans or jobs.")]


def retry(
    which: Which = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    state: StateOption = None,
) -> None:
    """Try again what failed, stayed partial or was cancelled; the same run goes on from its checkpoint."""
    from hpcdaas.cluster.entry import State

    ledger = _ledger(state)
    stopped = (State.FAILED, State.PARTIAL, State.CANCELLED)
    with ledger.changing():
        found = ledger.entries(State.FAILED) if failed else _named(ledger, which)
        chosen = [entry for entry in found if entry.state in stopped]
        for entry in chosen:
            ledger.change(
                entry.id, "to be tried again", state=State.WAITING, reason=None, tries=0, place=None, intent=None,
                job=None, twin=None, not_before=None, ended=None,
            )  # fmt: skip
    print(f"{len(chosen)} will be tried again; a watcher or 'hpcdaas submit' takes them up.")


def cancel(which: Which = None, site: SiteFile = None, state: StateOption = None) -> None:
    """Cancel runs: those that are at work stop, their results are not registered."""
    from hpcdaas.cluster.entry import OPEN, State
    from hpcdaas.cluster.ledger import now

    ledger = _ledger(state)
    with ledger.changing():
        chosen = [entry for entry in _named(ledger, which) if entry.state in OPEN]
        for entry in chosen:
            ledger.change(entry.id, "cancelled by its user", state=State.CANCELLED, ended=now(), not_before=None)
    try:
        _cancel_jobs([entry for entry in chosen if entry.place == "job" and entry.job])
    except HpcdaasError as error:  # the ledger says it, too
        typer.echo(f"A watcher or 'hpcdaas submit' stops their jobs: {error.message}", err=True)
    print(f"{len(chosen)} cancelled.")


def pause(
    group: Annotated[str | None, typer.Argument(help="Owner group; default: all.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Go on.")] = False,
    state: StateOption = None,
) -> None:
    """Start nothing new, of a group or at all; what is at work goes on."""
    ledger = _ledger(state)
    with ledger.changing():
        paused = set(ledger.fact("paused") or ())
        paused = paused - {group or "*"} if off else paused | {group or "*"}
        ledger.say("paused", sorted(paused) or None)
    print(
        f"Paused: {', '.join('all' if one == '*' else one for one in sorted(paused))}"
        if paused
        else "Nothing is paused."
    )


def _ledger(state: object) -> Ledger:
    from pathlib import Path

    from hpcdaas.cluster.ledger import Ledger
    from hpcdaas.cluster.state import default_folder

    assert state is None or isinstance(state, Path)
    return Ledger(state or default_folder(), write=False)


def _named(ledger: Ledger, which: list[str] | None) -> list[Entry]:
    if not which:
        raise InputError("Which run, scan or job?", "'hpcdaas status' shows them.")
    found = []
    for name in which:
        entries = ledger.find(name)
        if not entries:
            raise InputError(f"No run, scan or job is called {name}.", "'hpcdaas status' shows all.")
        found += entries
    return found


def _cancel_jobs(entries: list[Entry]) -> None:
    if entries:
        from hpcdaas.cluster.slurm import Slurm

        Slurm().cancel([entry.job for entry in entries if entry.job])
