"""``hpcdaas catalog``: look into the catalogue, and tell it what it doesn't know yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.catalog.store import open_catalog
from hpcdaas.cli import catalog_serve
from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from hpcdaas.catalog.outcome import Outcome

app = typer.Typer(
    help="Look into the catalogue of datasets, and register what it lacks. The login for SciCat and whose the datasets "
    "are come from ~/.config/hpcdaas/catalog.toml or variables HPCDAAS_CATALOG_*.",
    no_args_is_help=True,
)
catalog_serve.add_to(app)

Uri = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="URI",
        help="A path, sqlite:///PATH or https://... Default: your own.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON value with SciCat's field names.")]


@app.command("list")
def list_(
    catalog: Uri = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only raw or derived.", show_default=False)] = None,
    proposal: Annotated[str | None, typer.Option("--proposal", help="Only this proposal.", show_default=False)] = None,
    search: Annotated[str, typer.Option("--search", help="Only those with all these words.", show_default=False)] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The newest so many.", show_default=False)] = None,
    json_: Json = False,
) -> None:
    """List the datasets, newest first."""
    found = open_catalog(catalog).datasets(type=type_, proposal=proposal, text=search, limit=limit)
    if json_:
        typer.echo(json.dumps(found, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("pid", "type", "name", "created", "files", "size"):
        table.add_column(name, no_wrap=name != "name", justify="right" if name in ("files", "size") else "left")
    for dataset in found:
        table.add_row(
            # the first 8 digits name a dataset well enough for people and for `show`
            printable(_short(dataset["pid"])),
            dataset["type"],
            printable(dataset["datasetName"]),
            dataset["creationTime"][:16].replace("T", " "),
            str(dataset["numberOfFiles"]),
            bytes_for_people(dataset["size"]),
        )
    console = Console()
    asked = type_ or proposal or search
    console.print(table if found else "No dataset is like that." if asked else "The catalogue is empty.")


@app.command()
def show(
    pid: Annotated[str, typer.Argument(metavar="PID", help="The dataset's pid, or the beginning of it.")],
    catalog: Uri = None,
    json_: Json = False,
) -> None:
    """Show one dataset: where it comes from, what was made from it, its files and parameters."""
    found = open_catalog(catalog).dataset(pid)
    if json_:
        typer.echo(json.dumps(found, indent=1))
        return
    from rich.console import Console

    console = Console()
    console.print(printable(found["datasetName"]), style="bold", highlight=False)
    if "description" in found:
        console.print(printable(found["description"]), highlight=False)
    console.print()
    console.print(_facts(found))


@app.command()
def register(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A raw scan, a result, or the record beside a result.")],
    catalog: Uri = None,
    json_: Json = False,
) -> None:
    """Register a raw scan where the beamline does not, or a result; twice is the same as once."""
    from hpcdaas.catalog.outbox import deliver_one
    from hpcdaas.catalog.record import is_record, record_path

    store = open_catalog(catalog)
    record = file if is_record(file) else record_path(file)
    if not record.exists():
        pid = store.register_raw(*_raw(file))
        typer.echo(json.dumps({"file": str(file), "pid": pid}) if json_ else f"{file}: registered as {pid}")
        return
    _tell([(record, deliver_one(record, store))], json_)


def _raw(file: Path) -> Any:
    """Make the dataset of a raw scan."""
    from hpcdaas.catalog.make import make_raw
    from hpcdaas.io import open_scan
    from hpcdaas.io.nexus_result import existing_run
    from hpcdaas.pipeline.run import raw_of

    if file.exists() and existing_run(file):
        raise InputError(f"{file} is a result without its record.", "'hpcdaas reconstruct' with its -o makes it again.")
    return make_raw(raw_of(open_scan(file)))


@app.command()
def flush(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER|RECORD]...", help="Default: this folder and those in it.", show_default=False),
    ] = None,
    catalog: Uri = None,
    json_: Json = False,
) -> None:
    """Deliver the records that wait: of results of batch jobs, or made while the catalogue was away."""
    from hpcdaas.catalog.outbox import deliver, records

    store = open_catalog(catalog)
    _tell(deliver(records(places or [Path()]), store), json_)


def _tell(outcomes: Any, as_json: bool) -> None:
    """Say what became of each record; raise if one of them isn't delivered."""
    from hpcdaas.catalog.outcome import Delivered, Held

    told, waiting, held = [], 0, 0
    for path, outcome in _said(outcomes, as_json):
        waiting += not isinstance(outcome, Delivered | Held)
        held += isinstance(outcome, Held)
        told.append({"record": str(path), "state": type(outcome).__name__.lower(), **vars(outcome)})
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        typer.echo(f"{len(told) - waiting - held} delivered, {waiting} waiting, {held} held")
    if waiting or held:
        raise typer.Exit(1)


def _said(outcomes: Any, quiet: bool) -> Iterator[tuple[Path, Outcome]]:
    from hpcdaas.catalog.outcome import Delivered

    for path, outcome in outcomes:
        if not quiet:
            what = outcome.pid if isinstance(outcome, Delivered) else outcome.reason.replace("\n", "\n    ")
            typer.echo(f"{path}: {type(outcome).__name__.lower()}: {what}")
        yield path, outcome


@app.command()
def archive(
    pid: Annotated[str, typer.Argument(metavar="PID", help="The dataset.")], catalog: Uri = None, json_: Json = False
) -> None:
    """Ask the site to archive a dataset."""
    _job("archive", pid, catalog, json_)


@app.command()
def retrieve(
    pid: Annotated[str, typer.Argument(metavar="PID", help="The dataset.")], catalog: Uri = None, json_: Json = False
) -> None:
    """Ask the site to bring a dataset back from its archive."""
    _job("retrieve", pid, catalog, json_)


def _job(kind: str, pid: str, catalog: str | None, as_json: bool) -> None:
    from hpcdaas.catalog.scicat import Scicat

    store = open_catalog(catalog)
    if not isinstance(store, Scicat):
        raise InputError("The embedded catalogue has no archive.", "Give a SciCat: --catalog https://...")
    job = store.job(kind, pid)
    typer.echo(json.dumps({"job": job}) if as_json else f"The site was asked to {kind} it: job {job}.")


def _facts(dataset: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key in ("pid", "type", "creationTime", "owner", "ownerGroup", "proposalId", "sourceFolder"):
        table.add_row(key, printable(dataset.get(key, "unknown")))
    for technique in dataset.get("techniques", ()):
        table.add_row("technique", printable(f"{technique['name']} ({technique['pid'].rsplit('/', 1)[-1]})"))
    for key, label in (
        ("usedSoftware", "software"),
        ("inputDatasets", "made from"),
        ("derivedDatasets", "made from it"),
    ):
        for value in dataset.get(key, ()):
            table.add_row(label, printable(value))
    for block in dataset["origdatablocks"]:
        for file in block["dataFileList"]:
            checksum = f"  {block['chkAlg']} {file['chk']}" if "chk" in file else ""
            table.add_row("file", printable(f"{file['path']}  {bytes_for_people(file['size'])}{checksum}"))
    for key, value in _leaves(dataset.get("scientificMetadata", {})):
        table.add_row(printable(key), printable(value))
    return table


def _leaves(metadata: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Give nested ``{key: {value, unit}}`` as lines."""
    lines = []
    for key, entry in metadata.items():
        if "value" in entry and "unit" in entry:
            lines.append((f"{prefix}{key}", f"{entry['value']} {entry['unit']}".strip()))
        else:
            lines += _leaves(entry, f"{prefix}{key}.")
    return lines


def _short(pid: str) -> str:
    return pid.rsplit("/", 1)[-1][:8]


def bytes_for_people(size: float) -> str:
    """Write a size in decimal units, for example ``3.4 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000 or unit == "PB":
            break
        size /= 1000
    return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"


def printable(text: object) -> str:
    """Make a name from a file harmless in a terminal: no control codes, no markup."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)))
