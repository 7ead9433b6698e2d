"""``hpcdaas reconstruct``: a raw file becomes a registered result."""

from __future__ import annotations

import importlib
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.errors import InputError, Interrupted

if TYPE_CHECKING:
    from hpcdaas.pipeline import Watcher
    from hpcdaas.recipe import Recipe
    from hpcdaas.result import Result


def reconstruct(
    file: Annotated[Path, typer.Argument(help="The raw scan.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The result file.")],
    recipe: Annotated[
        Path | None, typer.Option("-r", "--recipe", help="Recipe (TOML); default: that of the technique.")
    ] = None,
    setting: Annotated[list[str] | None, typer.Option("-s", help="NAME.parameter=value or scan.key=value.")] = None,
    center: Annotated[float | None, typer.Option(help="Rotation centre, column of the detector.")] = None,
    rows: Annotated[str | None, typer.Option(help="Detector rows A:B or A:B:STEP.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Three slices or a few iterations, and a picture, in seconds.")
    ] = False,
    backend: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    catalog: Annotated[str | None, typer.Option(help="Catalogue: a path, sqlite:///... or https://...")] = None,
    memory: Annotated[str | None, typer.Option(help="Budget, for example 8GB or 4GiB.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; default: the cores of this process.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result of another run.")] = False,
    attempt: Annotated[int, typer.Option(min=1, hidden=True)] = 1,  # for job scripts
    expected: Annotated[str | None, typer.Option("--run", hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")] = False,
) -> None:
    """Reconstruct a scan into a result file and register it; interrupted, the same command goes on."""
    from hpcdaas.parallel import together, world  # with NumPy, which `status` can do without

    options: dict[str, Any] = {
        "backend": backend,
        "memory": memory,
        "threads": threads,
        "overwrite": overwrite,
        "expected": expected,
    }
    comm = world()
    with together(comm), watching(quiet=as_json or comm.rank > 0) as watcher:
        from hpcdaas import pipeline
        from hpcdaas.cluster.site import find_site

        options |= find_site().run_options() | ({"catalog": catalog} if catalog else {})
        chosen = resolve(recipe, setting, center, rows, file)
        if preview:
            from hpcdaas.pipeline.preview import preview_of

            chosen = preview_of(file, chosen)
        if comm.size == 1:
            # What draws the picture, and what registers, takes long to import, half a second for a preview: meanwhile
            # the data are worked on. Of many ranks, whose memory counts, rank 0 does it when the data are gone.
            threading.Thread(target=_import, args=(_ahead(preview, options["catalog"]),), daemon=True).start()
        result = pipeline.reconstruct(
            file, chosen, out, attempt=attempt, watcher=watcher, register_result=not preview, **options
        )
        picture = _picture(result) if preview and comm.rank == 0 else None
    if comm.rank:
        return
    if as_json:
        print(json.dumps(summary(result) | ({"picture": str(picture)} if picture else {})))
    else:
        _tell(result, picture)


def _ahead(preview: bool, catalog: str | None) -> list[str]:
    """Give the modules that are needed when the data are gone."""
    if preview:
        return ["hpcdaas.view.preview"]
    client = ["hpcdaas.catalog.scicat_place"] if catalog and catalog.startswith("http") else []
    return ["hpcdaas.view.thumbnail", *client, "rocrate.rocrate"]


def _import(names: list[str]) -> None:
    """Import modules ahead of their use, which says what is wrong with them, if anything is."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def resolve(
    path: Path | None, settings: list[str] | None, center: float | None, rows: str | None, file: Path
) -> Recipe:
    """Put a recipe together from its file, or the default for the scan, and what the command line says.

    Raises
    ------
    InputError
        If something in it is wrong, or asked for of a technique that doesn't have it.
    """
    from hpcdaas.pipeline.asked import recipe_for

    recipe = recipe_for(file, path, settings or ())
    if recipe.technique == "ptychography" and (center is not None or rows is not None):
        raise InputError("A scan of ptychography has neither rotation centre nor rows.", "Leave out --center, --rows.")
    extra = [f"scan.center={center!r}"] if center is not None else []
    extra += [f'scan.rows="{rows}"'] if rows is not None else []
    return recipe.override(extra)


def _picture(result: Result) -> Path:
    from hpcdaas.view.preview import preview

    return preview(result.path)


@contextmanager
def watching(quiet: bool) -> Iterator[Watcher]:
    """Show progress on standard error and turn signals into a checkpoint at the next boundary."""
    caught: list[int] = []

    def catch(number: int, frame: Any) -> None:
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(number)

    def stop() -> None:
        if caught:
            raise Interrupted(f"Stopped by {signal.Signals(caught[0]).name} with a checkpoint.")

    # before the imports, which take a second
    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        from hpcdaas.pipeline import Watcher

        console = Console(stderr=True, quiet=quiet)
        bar = Progress(
            TextColumn("done"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=quiet or not sys.stderr.isatty(),
        )  # fmt: skip
        task = bar.add_task("done", total=None)
        with bar:
            yield Watcher(
                say=lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                stop=stop,
            )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


#: Numbers that ``--json`` says apart from the other metrics.
OF_TECHNIQUE = {"tomography": ("center", "center_confidence"), "ptychography": ("error", "resolution")}


def summary(result: Result) -> dict[str, Any]:
    """What ``--json`` says of a result."""
    numbers = {k: v["value"] if isinstance(v, dict) else v for k, v in result.metrics.items()}
    return {
        "result": str(result.path),
        "run": result.run,
        "pid": result.pid,
        "technique": result.raw.technique,
        "shape": list(result.shape),
        "existed": result.existed,
        "seconds": dict(result.seconds),
        "peak_memory_bytes": result.peak_memory_bytes,
        "metrics": numbers,
        **{name: numbers.get(name) for name in OF_TECHNIQUE[result.raw.technique]},
    }


def _tell(result: Result, picture: Path | None) -> None:
    """Say what there is now, and what to do next."""
    there = "is there already" if result.existed else f"in {result.seconds['total']:.1f} s"
    size = " × ".join(str(n) for n in result.shape)
    print(f"{result.path}: {size}, {there}, run {result.run[:8]}")
    if picture:
        print(f"Look at it: {picture}")
    else:
        print(f"{f'Registered as {result.pid}. ' if result.pid else ''}Look at it: hpcdaas report {result.path}")
