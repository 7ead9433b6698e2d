"""Many who register into one embedded catalogue at once: each run is there once, whoever wrote it, whoever died."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from catalog_runs import finished
from hpcdaas.catalog import embedded_file
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.embedded_file import CatalogFile
from hpcdaas.catalog.embedded_turn import Queue, Turn
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import Record


def records(folder: Path, count: int) -> list[Record]:
    return [make_record(finished(folder, f"r{i}", scan=f"s{i // 2}"), thumbnail=b"png") for i in range(count)]


def whole(path: Path, runs: list[Record]) -> None:
    """Each run is there once, with its files and picture once, and each scan once."""
    catalog = EmbeddedCatalog(path)
    assert sorted(d["pid"] for d in catalog.datasets(type="derived")) == sorted(run.derived.pid for run in runs)
    assert sorted(d["pid"] for d in catalog.datasets(type="raw")) == sorted({run.raw.pid for run in runs})
    for run in runs:
        found = catalog.dataset(run.derived.pid)
        assert (len(found["origdatablocks"]), len(found["attachments"]), found["numberOfFiles"]) == (1, 1, 1)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_whose_turn_it_is_takes_along_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, runs, written = tmp_path / "c.db", records(tmp_path, 12), []
    original = CatalogFile.transaction

    def counting(self: CatalogFile, write: bool = False, has_turn: bool = False) -> Any:
        if write:
            written.append(threading.get_ident())
        return original(self, write, has_turn)

    monkeypatch.setattr(CatalogFile, "transaction", counting)
    threads = [threading.Thread(target=EmbeddedCatalog(path).register, args=(run,)) for run in runs]
    turn = Turn(tmp_path)
    assert turn.take()
    for thread in threads:
        thread.start()
    eventually(lambda: len(Queue(path).others(None)) == len(runs))
    assert not written
    turn.close()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    whole(path, runs)
    assert not [p for p in tmp_path.iterdir() if "queue" in p.name]


def test_what_is_no_record_stays_where_it_is_and_holds_nobody_up(tmp_path: Path) -> None:
    path, runs = tmp_path / "c.db", records(tmp_path, 2)
    queue = Queue(path)
    newer = runs[1].model_copy(update={"version": 99}).model_dump_json()
    strange = [queue.put(text) for text in ("{", "[]", newer, '{"version": 1}')]
    EmbeddedCatalog(path).register(runs[0])
    whole(path, runs[:1])
    assert all(ticket is not None and ticket.exists() for ticket in strange)


def test_a_run_whose_process_died_while_it_waited_is_registered_for_it(tmp_path: Path) -> None:
    path, runs = tmp_path / "c.db", records(tmp_path, 2)
    Queue(path).put(runs[1].model_dump_json())
    EmbeddedCatalog(path).register(runs[0])
    whole(path, runs)
    EmbeddedCatalog(path).register(runs[1])
    whole(path, runs)


def test_what_vanishes_from_the_queue_is_not_taken_for_registered(tmp_path: Path) -> None:
    path, (run,) = tmp_path / "c.db", records(tmp_path, 1)
    thread, turn, queue = (
        threading.Thread(target=EmbeddedCatalog(path).register, args=(run,)),
        Turn(tmp_path),
        Queue(path),
    )
    assert turn.take()
    thread.start()
    eventually(lambda: len(queue.others(None)) == 1)
    (ticket,) = queue.others(None)
    ticket.unlink()
    turn.close()
    thread.join()
    whole(path, [run])


def test_what_dead_processes_left_goes_some_day(tmp_path: Path) -> None:
    path, runs = tmp_path / "c.db", records(tmp_path, 2)
    queue = Queue(path)
    ticket = queue.put("{}")
    assert ticket is not None
    queue.say_done([ticket])
    left = ticket.with_suffix(".done")
    for age, run in zip((60, 7200), runs, strict=True):
        os.utime(left, (time.time() - age,) * 2)
        EmbeddedCatalog(path).register(run)
        assert left.exists() == (age == 60)


def test_one_that_never_ends_its_turn_is_waited_for_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_file, "BUSY_TIMEOUT", 0.2)
    path, (run,) = tmp_path / "c.db", records(tmp_path, 1)
    turn = Turn(tmp_path)
    assert turn.take()
    EmbeddedCatalog(path).register(run)  # it holds the turn, but doesn't write
    turn.close()
    whole(path, [run])


def _register(path: Path, runs: list[Record], seed: int) -> None:
    random.Random(seed).shuffle(runs)
    catalog = EmbeddedCatalog(path)
    for run in runs:
        assert catalog.register(run) == run.derived.pid


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_time_nothing_is_half_and_nothing_twice(tmp_path: Path, seed: int) -> None:
    path, runs, chance, context = tmp_path / "c.db", records(tmp_path, 40), random.Random(seed), get_context("fork")
    processes = [context.Process(target=_register, args=(path, list(runs), i)) for i in range(6)]
    for process in processes:
        process.start()
    for process in processes[:5]:
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
    for process in processes:
        process.join(60)
    assert processes[5].exitcode == 0
    whole(path, runs)
