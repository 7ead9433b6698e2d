"""A catalogue that is really served: `hpcdaas catalog serve` in a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from hpcdaas.catalog.serve.accounts import Account, Accounts, hashed, write_accounts

#: The password of every account.
PASSWORD = "correct horse"

#: Names, roles and groups of the accounts. `reader` sees what gives access to `ingestor`'s group.
ACCOUNTS = {
    "admin": ("admin", ()),
    "ingestor": ("ingestor", ("ingestor",)),
    "alice": ("user", ("p1", "p2")),
    "bob": ("user", ("p3",)),
}

_START = """
from hpcdaas.cli import catalog, catalog_serve, main
if not any(c.callback is catalog_serve.serve for c in catalog.app.registered_commands):
    catalog_serve.add_to(catalog.app)
main.main()
"""


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes
    ----------
    url : str
        Such as ``http://127.0.0.1:41234``.
    catalog : Path
        The embedded catalogue that is served.
    process : subprocess.Popen
    generation : str
    """

    url: str
    catalog: Path
    process: subprocess.Popen[str]
    generation: str = "v5"

    def token(self, name: str, password: str = PASSWORD) -> str:
        """Log in."""
        answer = httpx.post(f"{self.url}/api/v3/auth/login", json={"username": name, "password": password})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["access_token"])

    def client(self, name: str | None = None) -> httpx.Client:
        """Give a client, logged in where a name is given; close it."""
        headers = {"Authorization": f"Bearer {self.token(name)}"} if name else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)


def accounts(token_life: int = 3600) -> Accounts:
    """Give the accounts of `ACCOUNTS`; all have `PASSWORD`."""
    password = hashed(PASSWORD)  # one hash for all: it takes 50 ms
    known = {
        name: Account(role=role, groups=groups, email=f"{name}@example.org", password=password)  # type: ignore[arg-type]
        for name, (role, groups) in ACCOUNTS.items()
    }
    return Accounts(token_life=token_life, accounts=known)  # type: ignore[call-arg]


@contextmanager
def served(
    folder: Path,
    *options: str,
    generation: str = "v5",
    logins: bool = True,
    token_life: int = 3600,
    catalog: Path | None = None,
) -> Iterator[Served]:
    """Serve a catalogue as long as the context lasts.

    Parameters
    ----------
    folder : Path
        Where its files go.
    *options : str
        More options of `hpcdaas catalog serve`.
    generation : str
        ``v4`` or ``v5``.
    logins : bool
        Whether there are accounts; if not, everybody may do everything.
    token_life : int
        Seconds.
    catalog : Path, optional
        An embedded catalogue; default: a new one in `folder`.
    """
    catalog = catalog or folder / "served.db"
    arguments = ["catalog", "serve", "--catalog", str(catalog), "--port", "0", "--generation", generation, *options]
    if logins:
        write_accounts(accounts(token_life), folder / "accounts.json")
        arguments += ["--accounts", str(folder / "accounts.json")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", _START, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    killer = threading.Timer(60, process.kill)  # a server that never says its address
    killer.start()
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        found = re.search(r" at (https?://\S+)", line)
        if found is None:
            process.kill()
            raise AssertionError(f"the server didn't start: {line}{process.stderr.read()}")
        killer.cancel()
        yield Served(found[1], catalog, process, generation)
    finally:
        killer.cancel()
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
