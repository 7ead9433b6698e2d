"""``hpcdaas catalog serve``: the embedded catalogue behind SciCat's routes, and its accounts."""

from __future__ import annotations

import re
import ssl
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from hpcdaas.catalog.store import open_catalog
from hpcdaas.errors import InputError

if TYPE_CHECKING:
    from hpcdaas.catalog.embedded import EmbeddedCatalog
    from hpcdaas.catalog.serve.accounts import Accounts
    from hpcdaas.catalog.serve.app import Settings

File = Annotated[Path, typer.Option("--accounts", metavar="FILE", help="The file of accounts, mode 0600.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this file to ``hpcdaas catalog``."""
    app.command()(serve)
    app.command()(account)


def serve(
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog",
            metavar="URI",
            help="A path or sqlite:///PATH. Default: your own catalogue.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 8642,
    accounts: Annotated[
        Path | None,
        typer.Option(
            "--accounts", metavar="FILE", help="Logins, made by 'hpcdaas catalog account'.", show_default=False
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="PEM", help="TLS certificate.", show_default=False)
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="PEM", help="Its key.", show_default=False)] = None,
    generation: Annotated[str, typer.Option("--generation", help="Answer as SciCat's v4 or v5 does.")] = "v5",
    pid_pattern: Annotated[
        str | None,
        typer.Option("--pid-pattern", metavar="REGEX", help="What chosen pids must match.", show_default=False),
    ] = None,
) -> None:
    """Serve a catalogue: SciCat's REST routes and web pages, until stopped.

    Without --accounts it listens on this machine only, and everybody on it may read and write.
    """
    from hpcdaas.catalog.serve.accounts import read_accounts
    from hpcdaas.catalog.serve.app import make_app
    from hpcdaas.catalog.serve.listen import listen, open_socket
    from hpcdaas.catalog.serve.units import warm_up

    store = _embedded(catalog)
    settings = _settings(read_accounts(accounts) if accounts else None, generation, pid_pattern)
    tls = _tls(certificate, key)
    _check_host(host, accounts is not None, tls is not None)
    app = make_app(store, settings)
    listening = open_socket(host, port)
    # the name that was given: a certificate is for that
    name, number = f"[{host}]" if ":" in host else host, listening.getsockname()[1]
    address = f"{'https' if tls else 'http'}://{name}:{number}"
    threading.Thread(target=warm_up, daemon=True).start()
    listen(app, listening, lambda: typer.echo(f"Serving {store.path} at {address}"), tls)


def account(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The account.")],
    accounts: File,
    role: Annotated[str, typer.Option("--role", help="user, ingestor or admin.")] = "user",
    group: Annotated[list[str] | None, typer.Option("--group", help="A group; may be repeated.")] = None,
    email: Annotated[str, typer.Option("--email", help="An address.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take the account out.")] = False,
) -> None:
    """Add or replace an account of a served catalogue; its password is asked for, or read from standard input."""
    from hpcdaas.catalog.serve.accounts import Account, Accounts, Role, hashed, read_accounts, write_accounts

    known = read_accounts(accounts) if accounts.exists() else Accounts()
    others = {other: kept for other, kept in known.accounts.items() if other != name}
    if remove:
        if name not in known.accounts:
            raise InputError(f"There is no account {name} in {accounts}.")
        write_accounts(known.model_copy(update={"accounts": others}), accounts)
        typer.echo(f"Removed {name} from {accounts}. A running server must be started again.")
        return
    if role not in get_args(Role):
        raise InputError(f"There is no role '{role}'.", f"Known: {', '.join(get_args(Role))}.")
    new = Account(role=cast(Role, role), groups=tuple(group or ()), email=email, password=hashed(_password(name)))
    write_accounts(known.model_copy(update={"accounts": {**others, name: new}}), accounts)
    typer.echo(f"Wrote {name} to {accounts}. A running server must be started again.")


def _embedded(uri: str | None) -> EmbeddedCatalog:
    from hpcdaas.catalog.embedded import EmbeddedCatalog  # with all that describes datasets

    store = open_catalog(uri)
    if not isinstance(store, EmbeddedCatalog):
        raise InputError(f"{uri} is served already.", "Give a path for the embedded catalogue.")
    return store


def _settings(accounts: Accounts | None, generation: str, pid_pattern: str | None) -> Settings:
    from hpcdaas.catalog.serve.app import Settings
    from hpcdaas.catalog.serve.auth import Generation

    if generation not in get_args(Generation):
        raise InputError(f"There is no generation '{generation}'.", "Known: v4, v5.")
    try:
        re.compile(pid_pattern or "")
    except re.error as error:
        raise InputError(f"--pid-pattern is no regular expression: {error}.") from error
    return Settings(cast(Generation, generation), accounts, pid_pattern)


def _tls(certificate: Path | None, key: Path | None) -> tuple[str, str] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InputError("--certificate and --key come together.")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:  # SSLError is one
        raise InputError(f"{certificate} and {key} are no certificate and key: {error.strerror or error}.") from error
    return str(certificate), str(key)


def _check_host(host: str, has_accounts: bool, has_tls: bool) -> None:
    from hpcdaas.catalog.serve.app import is_loopback

    if not has_accounts and not is_loopback(host):
        raise InputError(
            f"Without accounts a catalogue is served on this machine only, not on {host}.",
            "Make some with 'hpcdaas catalog account NAME --accounts FILE', and give --accounts FILE.",
        )
    if not has_tls and not is_loopback(host):
        typer.echo("Without --certificate and --key passwords go over the network in plain text.", err=True)


def _password(name: str) -> str:
    """Ask for a password; from a pipe, take a line."""
    if sys.stdin.isatty():
        password = str(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise InputError("An empty password lets everybody in.", "Give one, at the prompt or on standard input.")
    return password
