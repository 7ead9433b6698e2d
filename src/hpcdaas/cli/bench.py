"""``hpcdaas bench``: what this machine can do, and how near hpcdaas comes to it; comparisons, and a page of plots."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.cli.submit import Json
from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from hpcdaas.bench.run import Teller

app = typer.Typer(help="Measure the machine, and what hpcdaas makes of it.", invoke_without_command=True)

Files = Annotated[list[Path], typer.Argument(metavar="A.json...", help="What 'hpcdaas bench -o' has written.")]


@app.callback()
def bench(
    context: typer.Context,
    level: Annotated[
        int, typer.Option(min=0, max=2, help="0: the machine; 1: and primitives and algorithms; 2: and whole runs.")
    ] = 1,
    scratch: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder on the file system where results are to lie.")
    ] = Path(),
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="Write the JSON here, too; into a folder under the machine's kind."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes, only to see that it works.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the machine, and primitives, algorithms and whole runs beside what it allows; a wrong result fails.

    Under a launcher of several ranks, what these do between each other.
    """
    if context.invoked_subcommand:
        return
    # read when NumPy is first imported: a matrix product that stands for a core's peak must not use more than one
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from hpcdaas.parallel.launcher import announced

    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"There is no folder {out.absolute().parent}.", "Make it, or choose another -o.")
    launched = announced()
    if launched:
        from hpcdaas.bench.ranks import measure_launched

        found = measure_launched(launched.ranks, quick)
    else:
        from hpcdaas.bench.disk import scratch as folder_of
        from hpcdaas.bench.run import measure

        with folder_of(scratch) as folder, _telling(as_json) as teller:
            found = measure(folder, level, quick, teller)
    if launched is None or launched.rank == 0:
        _tell(found, out, as_json)
    if found["wrong"]:
        raise typer.Exit(1)


def _tell(found: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Write and print what was found."""
    if out is not None:
        out = out / f"bench-{found['machine']['label']}.json" if out.is_dir() else out
        out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(found))
    else:
        from hpcdaas.bench.shown import print_result

        print_result(found)
        if out is not None:
            print(f"\nPlots: hpcdaas bench page {out}")


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(metavar="A.json", help="What 'hpcdaas bench -o' has written.")],
    other: Annotated[Path, typer.Argument(metavar="B.json", help="The same of another day, program or machine.")],
    as_json: Json = False,
) -> None:
    """Give how B's figures stand to A's, and say what else differs between them."""
    from hpcdaas.bench import compare as comparing
    from hpcdaas.bench.files import load

    found = comparing.compare(load(one), load(other))
    if as_json:
        print(json.dumps(found))
    else:
        from hpcdaas.bench.shown import print_comparison

        print_comparison(found)


@app.command()
def page(
    files: Files,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for the page.")] = Path(),
) -> None:
    """Write one self-contained HTML page with rooflines, ratios and tables."""
    from hpcdaas.bench.files import load
    from hpcdaas.bench.page import write_page

    print(write_page([load(file) for file in files], out))


@contextmanager
def _telling(quiet: bool) -> Iterator[Teller]:
    """Show on standard error how far the benchmark is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    shown = not quiet and sys.stderr.isatty()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True, quiet=quiet),
        transient=True, disable=not shown,
    )  # fmt: skip
    with bar:
        yield _Bar(bar)


class _Bar:
    """See `hpcdaas.bench.run.Teller`."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._task = bar, bar.add_task("", total=None)
        self._what = ""

    def begin(self, what: str, total: int) -> None:
        """See `Teller.begin`; without a terminal a line for each."""
        again, self._what = what == self._what, what
        if self._bar.disable:
            if not (again or self._bar.console.quiet):
                print(f"measuring {what}", file=sys.stderr, flush=True)
            return
        self._bar.reset(self._task, description=what, total=total)

    def step(self, what: str) -> None:
        """See `Teller.step`."""
        self._bar.update(self._task, advance=1, description=f"{self._what}: {what}")
