"""``hpcdaas demo``: scans whose truth is known go the whole way, from the detector to the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

    from hpcdaas.catalog.store import Store
    from hpcdaas.pipeline.options import Watcher
    from hpcdaas.result import Result

#: What, found, true.
Row: TypeAlias = tuple[str, str, str]


def demo(
    folder: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for all that is made.")] = Path(
        "demo"
    ),
) -> None:
    """Simulate scans, reconstruct and register them, write reports, and compare with the truth."""
    from hpcdaas.cli import demo_ptychography, demo_tomography
    from hpcdaas.cli.reconstruct import watching

    halves = (("demo", "nxs", demo_tomography), ("ptycho", "cxi", demo_ptychography))
    with watching(quiet=False) as watcher:
        _recipes(folder, {f"{name}.toml": half.RECIPE for name, _, half in halves})
        with _catalogue(folder / "catalog.db", watcher) as catalog:
            for name, ending, half in halves:
                _one(folder / name, ending, half, watcher, catalog)
    print(f"\nCatalogue       hpcdaas catalog list --catalog {folder / 'catalog.db'}")
    print(f"in a browser    hpcdaas catalog serve --catalog {folder / 'catalog.db'}")


@contextmanager
def _catalogue(path: Path, watcher: Watcher) -> Iterator[Store]:
    """Serve a catalogue for as long as the demo takes, and give what talks to it as to a facility's."""
    from hpcdaas.catalog.embedded import EmbeddedCatalog
    from hpcdaas.catalog.scicat import Scicat
    from hpcdaas.catalog.serve.accounts import Account, Accounts, hashed
    from hpcdaas.catalog.serve.app import Settings, make_app
    from hpcdaas.catalog.serve.listen import serving
    from hpcdaas.catalog.settings import CatalogSettings

    password = token_hex(16)
    account = Account(role="admin", groups=("demo",), password=hashed(password))
    told = {"username": "demo", "password": password, "owner": "the demo", "owner_group": "demo",
            "contact_email": "demo@example.org", "register_raw": True}  # fmt: skip
    app = make_app(EmbeddedCatalog(path), Settings(accounts=Accounts(accounts={"demo": account})))
    # what was sent needs remembering no longer than the server lives: everything can be read back from it
    with TemporaryDirectory() as state, serving(app) as url:
        watcher.say(f"The catalogue {path} is at {url} until the demo ends.")
        yield Scicat(url, CatalogSettings.model_validate(told), state=Path(state))


def _recipes(folder: Path, recipes: dict[str, str]) -> None:
    """Write the recipes that aren't there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in recipes.items():
            if not (folder / name).exists():
                (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The demo can't write into {folder}: {error.strerror}.", "Choose another -o.") from error


def _one(place: Path, ending: str, half: ModuleType, watcher: Watcher, catalog: Store) -> None:
    """Take one scan the whole way; `place`: its path without the ending."""
    from hpcdaas import load_recipe, pipeline
    from hpcdaas.backend.cpu import available_threads
    from hpcdaas.catalog.outbox import deliver_one
    from hpcdaas.catalog.outcome import Delivered
    from hpcdaas.catalog.record import record_path
    from hpcdaas.view.report import make_report

    scan, recipe, out = (place.with_suffix(f".{end}") for end in (ending, "toml", "h5"))
    watcher.say(f"Simulating {scan}.")
    shape, simulation = half.simulate(scan, available_threads())
    watcher.say(f"{scan} holds {shape}.")
    result = pipeline.reconstruct(scan, load_recipe(recipe), out, watcher=watcher, overwrite=True, deliver=False)
    outcome = deliver_one(record_path(out), catalog)
    watcher.say(
        f"Registered as {outcome.pid}." if isinstance(outcome, Delivered) else f"Not registered: {outcome.reason}"
    )
    watcher.say("Writing the report, comparing with the truth.")
    report = make_report(out)
    _tell(
        result, half.table(result, simulation), {"Look at": report, "Result": out, "Scan, recipe": f"{scan}, {recipe}"}
    )


def _tell(result: Result, rows: list[Row], places: dict[str, Any]) -> None:
    """Say how near the result is to the truth, and where to look."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (result.raw.technique, "found", "true"):
        table.add_column(name, justify="right" if name in ("found", "true") else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, soft_wrap=True)
    console.print()
    console.print(table)
    took = "was there already" if result.existed else f"{result.seconds['total']:.1f} s"
    what = "voxels" if result.raw.technique == "tomography" else "modes and pixels of the object"
    console.print(
        f"\nReconstruction: {' × '.join(map(str, result.shape))} {what}, {took}", markup=False, soft_wrap=True
    )
    for name, place in places.items():
        console.print(f"{name:<16}{place}", markup=False, soft_wrap=True)
