"""Where a token or a password must never be: an address, a log, a process list, a file that the program writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog_runs import finished
from hpcdaas.catalog.crate import crate_path, write_crate
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import record_path, write_record
from hpcdaas.cluster.slurm.environment import for_jobs
from scicat_server import Backend, Problem, serving

PASSWORD = "s3cret-pass"
OWNER = {"OWNER_GROUP": "p17", "CONTACT_EMAIL": "a@x.org", "OWNER": "A. Person", "ACCESS_GROUPS": "ingestors"}


def login(kind: str, folder: Path, backend: Backend) -> tuple[dict[str, str], list[str], list[Path]]:
    """Give variables for a way to log in, what must be seen nowhere, and the files in which it may be."""
    secret = folder / "secret"
    secret.touch(0o600)
    token = backend.token("ingestor")
    if kind == "token":
        return {"TOKEN": token}, [token], []
    if kind == "token file":
        secret.write_text(token)
        return {"TOKEN_FILE": str(secret)}, [token], [secret]
    if kind == "password":
        return {"USERNAME": "ingestor", "PASSWORD": PASSWORD}, [PASSWORD], []
    told = {"username": "ingestor", "password": PASSWORD, **{key.lower(): value for key, value in OWNER.items()}}
    secret.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in told.items()))
    return {"FILE": str(secret)}, [PASSWORD], [secret]


def commands() -> Iterator[str]:
    """Give the command lines of all processes, as everybody on the machine sees them."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it ended meanwhile, or isn't shown
            continue


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("kind", ["token", "token file", "password", "settings"])
def test_a_secret_is_in_no_address_log_process_list_or_file(tmp_path: Path, kind: str, fails: bool) -> None:
    result = finished(tmp_path)
    record = make_record(result)
    write_record(record, record_path(result.path))
    write_crate(record, crate_path(result.path), result.started)
    seen: list[str] = []

    def look(backend: Backend, method: str, target: str, after: bool) -> None:
        seen.extend([target, *commands()])
        if fails and method == "POST" and not target.endswith("login"):
            raise Problem(400, "no")

    with serving() as backend:
        variables, secrets, allowed = login(kind, tmp_path, backend)
        backend.fault = look
        given = {f"HPCDAAS_CATALOG_{key}": value for key, value in {**OWNER, **variables}.items()}
        environment = {**os.environ, **given, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONFAULTHANDLER": "1"}
        start = "import logging; logging.basicConfig(level=logging.DEBUG); from hpcdaas.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", start, "catalog", "flush", str(tmp_path), "--catalog", backend.url],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == fails, done.stderr
    assert any(backend.url in text for text in seen)  # its own process was among those looked at
    assert bool(backend.given) == (kind in ("password", "settings"))
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p not in allowed]
    assert any(p.suffix == ".jsonl" for p in written)
    everywhere = [*seen, done.stdout, done.stderr, *(p.read_bytes().decode(errors="replace") for p in written)]
    for secret in (*secrets, *backend.given):
        assert not any(secret in text for text in everywhere)


def test_no_job_gets_a_login() -> None:
    names = ("TOKEN", "TOKEN_FILE", "USERNAME", "PASSWORD", "FILE")
    secrets = {f"HPCDAAS_CATALOG_{name}": "secret" for name in names}
    assert set(for_jobs({**secrets, "PATH": "/bin", "HOME": "/home/a"}).values()) <= {"/bin", "/home/a"}
