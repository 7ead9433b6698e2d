"""``hpcdaas watch``: each scan that comes becomes a registered result."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.cli.submit import SiteFile, StateOption
from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from hpcdaas.cluster.state import StateFolder
    from hpcdaas.cluster.watch import Watch


def watch(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Where scans come.")],
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="TEMPLATE", help="{proposal} {folder} {scan} {recipe} {run8}.")
    ],
    recipe: Annotated[
        list[Path] | None, typer.Option("-r", "--recipe", help="Recipe (TOML), or several; earlier ones go first.")
    ] = None,
    site: SiteFile = None,
    state: StateOption = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to do.")] = False,
    drain: Annotated[
        bool, typer.Option("--drain", help="Let the watcher that is at work end: it starts nothing new.")
    ] = False,
    announced: Annotated[
        bool, typer.Option("--announced", help="Paths on standard input, one a line: scans that are complete.")
    ] = False,
    prometheus: Annotated[
        Path | None, typer.Option(help="Keep figures for Prometheus in this file.", show_default=False)
    ] = None,
) -> None:
    """Watch folders, and reconstruct and register each scan that is complete; one JSON line per event."""
    from hpcdaas.cluster import template as templates
    from hpcdaas.cluster.assemble import looking_after
    from hpcdaas.cluster.scans.recipes import asked
    from hpcdaas.cluster.site import find_site
    from hpcdaas.cluster.state import StateFolder, default_folder
    from hpcdaas.cluster.tell import JsonLines
    from hpcdaas.cluster.watch import Orders

    place = state or default_folder()
    if drain:
        _drain(StateFolder(place))
        return
    chosen, recipes, template = find_site(site), asked(recipe or []), templates.complete(out)
    templates.check_many(template, recipes=len(recipes))
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}.")
    tell = JsonLines()
    lines = Lines().paths if announced else tuple
    orders = Orders(recipes, template, lines, prometheus)
    watched = [folder.resolve() for folder in folders]
    with looking_after(chosen, place, tell, watched=watched, orders=orders) as watcher, _signals(watcher):
        tell("started", folders=[str(folder) for folder in folders], site=chosen.name)
        watcher.run(until=watcher.idle if once else None)
        tell("stopped")


class Lines:
    """Paths that come on standard input."""

    def __init__(self) -> None:
        self._paths: queue.SimpleQueue[Path] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="announced", daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin.buffer:  # names needn't be UTF-8
            path = Path(os.fsdecode(line.rstrip(b"\r\n")))
            if path.name:
                with suppress(OSError, ValueError):  # a line that can be no path costs no other one
                    self._paths.put(path.parent.resolve() / path.name)

    def paths(self) -> list[Path]:
        """Give what has come since."""
        found = []
        while not self._paths.empty():
            found.append(self._paths.get())
        return found


@contextmanager
def _signals(watcher: Watch) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the watcher after its round."""

    def stop(number: int, frame: Any) -> None:
        watcher.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain(folder: StateFolder) -> None:
    """Tell the watcher of a state folder to end, and wait for it."""
    if folder.holder() is None:
        print("No watcher is at work.")
        return
    folder.ask_to_drain()
    while folder.holder() is not None:
        time.sleep(0.2)
    print("The watcher has ended; jobs go on.")
