"""What `bench_catalog.py` registers and looks for, and the catalogue that it serves."""

from __future__ import annotations

import multiprocessing
import os
import re
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from hpcdaas.catalog import embedded_rows as rows
from hpcdaas.catalog.crate import crate_path, write_crate
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.embedded_search import bring_up_to_date
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.outbox import deliver_one
from hpcdaas.catalog.outcome import Delivered
from hpcdaas.catalog.record import Record, record_path, write_record, write_text
from hpcdaas.catalog.serve.accounts import Account, Accounts, hashed, write_accounts
from hpcdaas.catalog.settings import CatalogSettings
from hpcdaas.catalog.store import Store
from hpcdaas.recipe import default_recipe
from hpcdaas.result import Raw, Result
from hpcdaas.run import pid

#: Bytes of a thumbnail: 256 x 256 grey values that hardly compress.
PICTURE = 50_000
#: Proposals among which the datasets are shared out.
PROPOSALS = 50


def identity(*parts: object) -> str:
    """Give 64 hex digits that follow from some words."""
    return sha256(repr(parts).encode()).hexdigest()


def make_result(folder: Path, name: str, files: int = 20) -> Result:
    """Write a result of some files, and the raw file that it comes from."""
    raw, out = folder / f"{name}.nxs", folder / f"{name}.h5"
    raw.write_bytes(b"counts" * 1000)
    out.mkdir()
    for i in range(files):
        (out / f"{i:04}.tif").write_bytes(np.random.default_rng(i).bytes(100_000))
    scan = Raw(name, (raw,), identity("raw", name), {"proposal": "2026-1"}, "tomography", "nxtomo", (1500, 20, 2048))
    times = {"started": datetime.now(UTC), "ended": datetime.now(UTC)}
    metrics = {"center": {"value": 1023.5, "unit": "pixel"}, "center_confidence": 0.9}
    recipe = default_recipe("tomography").resolved()
    return Result(out, identity("run", name), scan, recipe, (20, 2048, 2048), metrics=metrics, **times)


def register(result: Result, catalog: Store) -> None:
    """Do what a run does when its result is on the disk, but the pictures: record, provenance, catalogue."""
    path = record_path(result.path)
    record = make_record(result, thumbnail=np.random.default_rng(0).bytes(PICTURE), log="done\n" * 100)
    write_record(record, path)
    write_crate(record, crate_path(result.path), result.started)
    outcome = deliver_one(path, catalog)
    if not isinstance(outcome, Delivered):
        raise SystemExit(f"Not registered: {outcome.reason}")


def alike(record: Record, *name: object) -> Record:
    """Give another run of another scan that is as large."""
    run, scan = identity("run", *name), identity("raw", *name)
    number = int(run[:6], 16)
    time_ = f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T12:{number % 60:02}:00.000Z"
    shared = {"creationTime": time_, "proposalId": f"2026-{number % PROPOSALS}"}
    raw = {"pid": pid(scan), "datasetName": f"scan{number % 997:04}", **shared}
    derived = {"pid": pid(run), "datasetName": f"scan{number % 997:04}_fine", "inputDatasets": (pid(scan),), **shared}
    metadata = {**record.derived.scientificMetadata, "run": {"value": run, "unit": ""}}
    return record.model_copy(
        update={
            "run": run,
            "raw": record.raw.model_copy(update=raw),
            "derived": record.derived.model_copy(update={**derived, "scientificMetadata": metadata}),
        }
    )


def fill(catalog: EmbeddedCatalog, record: Record, datasets: int) -> None:
    """Put so many datasets in, in one transaction."""
    with catalog.transaction(write=True) as db:
        for i in range(datasets // 2):
            each = alike(record, "filled", i)
            for dataset, blocks in ((each.raw, each.raw_datablocks), (each.derived, each.derived_datablocks)):
                document = dataset.model_dump(mode="json", exclude_none=True)
                number = rows.put_dataset(db, rows.Dataset(document, sum(b.size for b in blocks), len(blocks)))
                for block in blocks:
                    rows.put_block(db, number, block.model_dump_json(exclude_none=True))
            assert each.thumbnail is not None
            rows.put_attachment(db, number, each.thumbnail.model_dump_json())
    bring_up_to_date(catalog)


# limits


def synced_files(folder: Path, like: Result) -> None:
    """Write what a run leaves beside its result, and commit once: the least that registering it takes."""
    for path in (record_path(like.path), crate_path(like.path)):
        write_text(path.read_text(encoding="utf-8"), folder / path.name)
    bare_commits(folder / "bare.db", 1)


def bare_commits(path: Path, count: int) -> float:
    """Give the seconds of one commit of one row by one process."""
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = DELETE", "synchronous = FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, text TEXT)")
    start = time.perf_counter()
    for _ in range(count):
        db.execute("INSERT INTO bare (text) VALUES ('bare')")
    seconds = (time.perf_counter() - start) / count
    db.close()
    return seconds


# many at once


def together(path: Path, record: Record, processes: int, each: int) -> float:
    """Register `each` runs from each of some processes at once; give the seconds of one registration."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    tasks = [context.Process(target=_many, args=(path, record, (i, each), barrier, answers)) for i in range(processes)]
    for task in tasks:
        task.start()
    times = [answers.get(timeout=600) for _ in tasks]
    for task in tasks:
        task.join()
    expected = 2 * processes * each
    if (found := len(EmbeddedCatalog(path).datasets())) != expected:
        raise SystemExit(f"{found} datasets instead of {expected}")
    return float(max(end for _, end in times) - min(start for start, _ in times)) / (processes * each)


def _many(path: Path, record: Record, share: tuple[int, int], barrier: Barrier, answers: Any) -> None:
    catalog = EmbeddedCatalog(path)
    runs = [alike(record, path.name, share[0], i) for i in range(share[1])]
    barrier.wait(timeout=300)
    start = time.monotonic()
    for run in runs:
        catalog.register(run)
    answers.put((start, time.monotonic()))


# served


@dataclass(frozen=True)
class Served:
    """A catalogue that is served on loopback, and how its account logs in."""

    url: str
    settings: CatalogSettings


@contextmanager
def served(catalog: Path, folder: Path) -> Iterator[Served]:
    """Serve a catalogue to one account as long as the context lasts."""
    password, accounts = secrets.token_hex(16), folder / "accounts.json"
    account = Account(role="ingestor", groups=("ingestor",), password=hashed(password))
    write_accounts(Accounts(accounts={"ingestor": account}), accounts)
    command = [sys.executable, "-c", "from hpcdaas.cli.main import main; main()", "catalog", "serve", "--port", "0",
               "--catalog", catalog, "--accounts", accounts]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("The catalogue can't be served.")
        told = {"username": "ingestor", "password": password, "owner": "A. Person", "owner_group": "p1",
                "contact_email": "a@example.org", "access_groups": ("ingestor",)}  # fmt: skip
        yield Served(found[0], CatalogSettings.model_validate(told))
    finally:
        process.terminate()
        process.wait(timeout=30)
