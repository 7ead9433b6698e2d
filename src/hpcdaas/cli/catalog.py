"""``hpcdaas catalog``: look into the catalogue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcdaas.catalog.store import open_catalog

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="Look into the catalogue of datasets.", no_args_is_help=True)

Uri = Annotated[
    str | None,
    typer.Option(
        "--catalog", metavar="URI", help="A path or sqlite:///PATH. Default: your own catalogue.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON value with SciCat's field names.")]


@app.command("list")
def list_(
    catalog: Uri = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only raw or derived.", show_default=False)] = None,
    proposal: Annotated[str | None, typer.Option("--proposal", help="Only this proposal.", show_default=False)] = None,
    json_: Json = False,
) -> None:
    """List the datasets, newest first."""
    found = open_catalog(catalog).datasets(type=type_, proposal=proposal)
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
    console.print(table if found else "The catalogue is empty.")


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
