"""Puts together those who move runs on: pools, jobs, intake, poster."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcdaas.cluster.ledger import Ledger
from hpcdaas.cluster.pools import Pools
from hpcdaas.cluster.poster import Poster, catalog_of
from hpcdaas.cluster.runs.dispatch import Dispatcher
from hpcdaas.cluster.runs.in_jobs import InJobs
from hpcdaas.cluster.runs.in_pools import InPools
from hpcdaas.cluster.scans.folder import Folders
from hpcdaas.cluster.scans.intake import Intake
from hpcdaas.cluster.site import Site
from hpcdaas.cluster.slurm import Slurm
from hpcdaas.cluster.state import StateFolder
from hpcdaas.cluster.tell import Tell
from hpcdaas.cluster.watch import Orders, Watch


@contextmanager
def looking_after(
    site: Site, folder: Path, tell: Tell, *, watched: Sequence[Path] = (), orders: Orders | None = None,
    pools: bool = True, at_once: bool = False,
) -> Iterator[Watch]:  # fmt: skip
    """Look after a state folder.

    Parameters
    ----------
    site : Site
    folder : Path
        The state folder.
    tell : Tell
    watched : sequence of Path, optional
        Folders in which scans come.
    orders : Orders, optional
        What is made of them.
    pools : bool, optional
        Whether small runs go to pools, which end with this process; without, all are jobs.
    at_once : bool, optional
        Whether scans count as complete when they are asked for.

    Raises
    ------
    InputError
        If another process looks after it, or SLURM's commands are missing.
    """
    state = StateFolder(folder)
    wake = threading.Event()
    with ExitStack() as stack:
        stack.callback(state.take().release)
        ledger = Ledger(state.path)
        stack.callback(ledger.close)
        state.drained()
        ledger.say("stays", os.getpid() if pools and not at_once else None)
        catalog = catalog_of(site, state.path)  # a wrong name is found before the work
        slurm = None if site.is_local else Slurm()
        in_jobs = InJobs(site, slurm, state) if slurm else None
        in_pools = None
        if pools or site.is_local:
            made = stack.enter_context(Pools(site, state.path, lambda text: tell("pool", text=text), slurm))
            in_pools = InPools(made, site, state, wake.set)
        dispatcher = Dispatcher(site, ledger, tell, in_pools, in_jobs)
        intake = Intake(site, ledger, state, dispatcher, tell, at_once=at_once)
        stack.callback(intake.close)
        poster = Poster(ledger, catalog, dispatcher, tell, wake.set)
        stack.callback(poster.close)
        looked = ledger.fact("watched")
        since = datetime.fromisoformat(looked).timestamp() if looked else math.inf
        listed = Folders(watched, site.detector, site.roots, since=since) if watched else None
        folders = stack.enter_context(listed) if listed else None
        dispatcher.recover()
        yield Watch(site, state, ledger, folders, orders or Orders(), intake, dispatcher, poster, tell, wake)


def stays(ledger: Ledger, holder: Mapping[str, Any]) -> bool:
    """Say whether the process that looks after a ledger is a watcher; others leave when their own runs have ended."""
    return bool(ledger.fact("stays") == holder.get("pid"))
