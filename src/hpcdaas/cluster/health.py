"""Whether all is well, for operators and their monitoring."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hpcdaas.cluster.entry import State
from hpcdaas.cluster.ledger import Ledger
from hpcdaas.cluster.site import HealthTable
from hpcdaas.safely import write_safely


def age(time: str | None) -> float:
    """Give the age of a stored time, seconds; 0 where there is none."""
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds() if time else 0.0


def oldest(ledger: Ledger) -> dict[str, float]:
    """Give the age of the oldest scan that nothing is done about, and of the oldest result that isn't registered.

    One that is still written is no trouble, however long that takes: what is known of it changes.
    """
    waiting = [ledger.first(State.WAITING, "changed"), ledger.first(State.QUEUED, "queued")]
    return {"waiting": max(map(age, waiting)), "outbox": age(ledger.first(State.DONE, "ended"))}


def trouble(ledger: Ledger, limits: HealthTable, watched: bool) -> str:
    """Say in one line what isn't well; empty if all is.

    Parameters
    ----------
    ledger : Ledger
    limits : HealthTable
    watched : bool
        Whether a watcher holds the lease.
    """
    ages = oldest(ledger)
    beat = age(ledger.fact("heartbeat"))
    if not watched:
        return "No watcher is at work."
    if beat > limits.heartbeat:
        return f"The watcher's last sign of life is {beat:.0f} s old."
    if ages["waiting"] > limits.waiting:
        return f"A scan has waited for {ages['waiting']:.0f} s."
    if ages["outbox"] > limits.outbox:
        return f"A result has waited for the catalogue for {ages['outbox']:.0f} s."
    return ""


def write_figures(ledger: Ledger, path: Path) -> None:
    """Write figures in Prometheus' text format, for its node exporter to pick up; whole or not at all."""
    ages = oldest(ledger)
    lines = ["# HELP hpcdaas_runs Scans in each state.", "# TYPE hpcdaas_runs gauge"]
    lines += [f'hpcdaas_runs{{state="{state}"}} {count}' for state, count in ledger.counts().items()]
    for name, seconds in (*ages.items(), ("heartbeat", age(ledger.fact("heartbeat")))):
        lines += [f"# TYPE hpcdaas_{name}_age_seconds gauge", f"hpcdaas_{name}_age_seconds {seconds:.3f}"]
    write_safely(path, ("\n".join(lines) + "\n").encode())
