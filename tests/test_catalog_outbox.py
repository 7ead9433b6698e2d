import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from catalog_runs import finished
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.outbox import deliver, deliver_one, records
from hpcdaas.catalog.outcome import Delivered, Held, Waiting
from hpcdaas.catalog.record import DataFile, OrigDatablock, Record, record_path, write_record
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.store import open_catalog
from hpcdaas.cli.catalog import app
from hpcdaas.errors import InputError
from scicat_server import Backend, Cut, Problem, every, once, serving
from test_catalog_scicat import PASSWORD, PICTURE, client, whole


def waiting(folder: Path, name: str = "tooth", **raw: Any) -> tuple[Path, Record]:
    """A result with its record beside it."""
    result = finished(folder, name, **raw)
    record = make_record(result, thumbnail=PICTURE)
    write_record(record, record_path(result.path))
    return record_path(result.path), record


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a user sets."""
    told = {"USERNAME": "ingestor", "PASSWORD": PASSWORD, "OWNER_GROUP": "p17", "CONTACT_EMAIL": "a@x.org",
            "OWNER": "A. Person", "ACCESS_GROUPS": "ingestors"}  # fmt: skip
    for key, value in told.items():
        monkeypatch.setenv(f"HPCDAAS_CATALOG_{key}", value)
    for key in ("STATE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{key}_HOME", os.fspath(tmp_path / key))


def test_a_record_is_delivered_once(tmp_path: Path) -> None:
    path, record = waiting(tmp_path)
    with serving() as backend:
        catalog = client(backend, tmp_path)
        assert deliver_one(path, catalog) == Delivered(record.derived.pid)
        asked = len(backend.requests)
        assert deliver_one(path, catalog) == Delivered(record.derived.pid)
        assert len(backend.requests) == asked  # the journal knows
        whole(backend, record)


def test_the_log_of_the_run_goes_in(tmp_path: Path) -> None:
    path, record = waiting(tmp_path)
    log = tmp_path / "job.log"
    log.write_bytes(b"x" * 100_000 + b"center 295.5")
    with serving() as backend:
        deliver_one(path, client(backend, tmp_path), log)
        assert backend.datasets[record.derived.pid]["jobLogData"].endswith("center 295.5")
        other, record = waiting(tmp_path, "other")
        assert deliver_one(other, client(backend, tmp_path), tmp_path / "gone.log") == Delivered(record.derived.pid)


def test_once_the_catalogue_is_away_the_rest_waits_untried(tmp_path: Path) -> None:
    paths = [waiting(tmp_path, name)[0] for name in "abc"]
    with serving() as backend:
        catalog = client(backend, tmp_path, patience=0.2)
        backend.fault = every(1, Problem(503, "away"))
        outcomes = list(deliver(paths, catalog))
        assert [type(outcome) for _, outcome in outcomes] == [Waiting] * 3
        assert not [r for r in backend.requests if r[1].endswith("origdatablocks")]
        backend.fault = None
        assert all(isinstance(o, Delivered) for _, o in deliver(paths, catalog))
        assert len(backend.datasets) == 3


def test_what_is_wrong_with_one_record_holds_up_no_other(tmp_path: Path) -> None:
    good, _ = waiting(tmp_path)
    broken = tmp_path / "broken.record.json"
    broken.write_text("{")
    with serving() as backend:
        outcomes = dict(deliver([broken, tmp_path / "gone.record.json", good], client(backend, tmp_path)))
    assert isinstance(outcomes[broken], Held)
    assert "no record" in outcomes[broken].reason
    assert isinstance(outcomes[good], Delivered)


def test_the_embedded_catalogue_takes_records_too(tmp_path: Path) -> None:
    path, record = waiting(tmp_path)
    catalog = open_catalog(str(tmp_path / "c.db"))
    assert deliver_one(path, catalog) == deliver_one(path, catalog) == Delivered(record.derived.pid)


def test_records_are_found_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, record = waiting(tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in ([], ["."]):
        answer = CliRunner().invoke(app, ["flush", *words, "--catalog", "c.db"], catch_exceptions=False)
        assert f"{path.name}: delivered: {record.derived.pid}" in answer.stdout
    assert records([Path()]) == [Path(path.name)]


def test_records_are_found(tmp_path: Path) -> None:
    hidden = tmp_path / "a" / "r.h5.partial"
    hidden.mkdir(parents=True)
    path, _ = waiting(tmp_path / "a")
    (hidden / "x.record.json").touch()
    assert records([tmp_path]) == records([path, path]) == records([tmp_path / "a" / "tooth.h5"]) == [path]
    with pytest.raises(InputError, match="isn't there"):
        records([tmp_path / "nothing"])
    (tmp_path / "bare.h5").touch()
    with pytest.raises(InputError, match="no record beside it"):
        records([tmp_path / "bare.h5"])


def _register(url: str, path: Path, state: Path, start: Any, answers: Any) -> None:
    from test_catalog_scicat import settings

    start.wait()
    answers.put(str(deliver_one(path, Scicat(url, settings(), state=state, patience=30.0))))


@pytest.mark.parametrize("hosts", [1, 16])
def test_sixteen_at_once(tmp_path: Path, hosts: int) -> None:
    """Processes of one account, which share their journals, or of 16 that know nothing of each other."""
    path, record = waiting(tmp_path)
    start, answers = threading.Barrier(16), []

    def register(number: int) -> None:
        catalog = client(backend, tmp_path, f"host{number % hosts}", patience=30.0)
        start.wait()
        answers.append(deliver_one(path, catalog))

    with serving() as backend:
        threads = [threading.Thread(target=register, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [Delivered(record.derived.pid)] * 16
        whole(backend, record)


def test_two_processes_flush_at_once(tmp_path: Path) -> None:
    found = [waiting(tmp_path, name) for name in "abcd"]
    context = multiprocessing.get_context("spawn")
    start, answers = context.Event(), context.Queue()
    with serving() as backend:
        args = [(backend.url, path, tmp_path / "state", start, answers) for path, _ in found for _ in range(2)]
        processes = [context.Process(target=_register, args=a) for a in args]
        for process in processes:
            process.start()
        start.set()
        said = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
        assert all("Delivered" in text for text in said)
        for _, record in found:
            whole(backend, record)


def test_killed_anywhere_and_flushed_again(tmp_path: Path, account: None) -> None:
    path, record = waiting(tmp_path)
    with serving() as backend:
        for kills in range(1, 9):
            reached = threading.Event()
            numbers = iter(range(1000))

            def stop(
                b: Backend, method: str, where: str, after: bool, reached: Any = reached, numbers: Any = numbers,
                kills: int = kills,
            ) -> None:  # fmt: skip
                if next(numbers) == 2 * kills - 1 + kills % 2:  # before the server acts, and after
                    reached.set()
                    time.sleep(0.3)  # the client is killed meanwhile
                    if not after:
                        raise Cut

            backend.fault = stop
            command = [sys.executable, "-c", "from hpcdaas.cli.main import main; main()"]
            process = subprocess.Popen([*command, "catalog", "flush", str(path), "--catalog", backend.url],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            while not reached.wait(0.01) and process.poll() is None:
                pass
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(0.3)
        backend.fault = None
        assert deliver_one(path, client(backend, tmp_path, "STATE/hpcdaas/deliveries")) == Delivered(record.derived.pid)
        whole(backend, record)


def many(record: Record, count: int, length: int = 0) -> Record:
    names = [f"slice{i:06}{'x' * length}.tif" for i in range(count)]
    files = [DataFile(path=name, size=7, time="2026-03-01T12:00:00.000Z") for name in names]
    blocks = [files[i : i + 20_000] for i in range(0, count, 20_000)]
    return record.model_copy(
        update={"derived_datablocks": tuple(OrigDatablock(size=7 * len(b), dataFileList=tuple(b)) for b in blocks)}
    )


def test_a_body_of_over_16_megabytes_is_cut(tmp_path: Path) -> None:
    _, record = waiting(tmp_path)
    record = many(record, 3000, 6000)  # 18 MB
    with serving() as backend:
        catalog = client(backend, tmp_path)
        catalog.register(record)
        whole(backend, record)
        bodies = backend.posts("/origdatablocks")
        assert len(bodies) == 2
        assert max(len(json.dumps(body)) for body in bodies) < 16_000_000
        catalog.register(record)
        whole(backend, record)


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True])
def test_sixty_thousand_files(tmp_path: Path, after: bool) -> None:
    _, record = waiting(tmp_path)
    record = many(record, 60_000)
    with serving() as backend:
        backend.fault = once("origdatablocks", Cut(), after)
        client(backend, tmp_path).register(record)
        whole(backend, record)
        assert max(len(body["dataFileList"]) for body in backend.posts("/origdatablocks")) == 20_000


def test_flush_register_and_jobs_on_the_command_line(tmp_path: Path, account: None) -> None:
    path, record = waiting(tmp_path)

    def call(*arguments: str, code: int = 0) -> str:
        answer = CliRunner().invoke(app, [*arguments, "--catalog", backend.url], catch_exceptions=False)
        assert answer.exit_code == code, answer.output
        assert PASSWORD not in answer.output
        return answer.stdout

    with serving() as backend:
        backend.fault = every(1, Problem(400, "contactEmail is wrong"))
        assert "held" in call("flush", str(tmp_path), code=1)
        backend.fault = None
        assert "1 delivered, 0 waiting, 0 held" in call("flush", str(tmp_path))
        (told,) = json.loads(call("flush", str(path), "--json"))
        assert told == {"record": str(path), "state": "delivered", "pid": record.derived.pid}
        assert record.derived.pid in call("register", str(tmp_path / "tooth.h5"))
        assert record.derived.pid[:8] in call("list")
        assert record.derived.pid in call("show", record.derived.pid)
        assert backend.jobs == []
        assert "job" in json.loads(call("archive", record.derived.pid, "--json"))
        whole(backend, record)
    with pytest.raises(InputError, match="has no archive"):
        CliRunner().invoke(app, ["archive", "x", "--catalog", str(tmp_path / "c.db")], catch_exceptions=False)


def test_another_record_of_the_run_is_another_delivery(tmp_path: Path) -> None:
    path, record = waiting(tmp_path)
    with serving() as backend:
        catalog = client(backend, tmp_path)
        deliver_one(path, catalog)
        named = replace(finished(tmp_path), metrics={"resolution": {"value": 1e-8, "unit": "m"}})
        write_record(make_record(named, thumbnail=PICTURE), path)
        assert deliver_one(path, catalog) == Delivered(record.derived.pid)  # the files are the same
        whole(backend, record)
