import os
import signal
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from catalog_runs import finished
from hpcdaas.catalog import embedded, embedded_file, embedded_schema
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import Record
from hpcdaas.catalog.settings import Ownership
from hpcdaas.catalog.store import open_catalog
from hpcdaas.errors import HpcdaasError, InputError


def record(folder: Path, name: str = "tooth", **options: object) -> Record:
    return make_record(finished(folder, name, **options), thumbnail=b"png")  # type: ignore[arg-type]


def register(path: Path, records: list[Record]) -> list[str]:
    return [EmbeddedCatalog(path).register(each) for each in records]


def test_a_run_becomes_two_linked_datasets(tmp_path: Path) -> None:
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    run = record(tmp_path)
    assert catalog.register(run) == run.derived.pid
    derived = catalog.dataset(run.derived.pid)
    assert derived["type"] == "derived"
    assert derived["inputDatasets"] == [run.raw.pid]
    assert derived["derivedDatasets"] == []
    assert derived["numberOfFiles"] == 1
    assert derived["size"] == run.derived_datablocks[0].size
    assert derived["origdatablocks"][0]["dataFileList"][0]["chk"] == run.derived_datablocks[0].dataFileList[0].chk
    assert derived["attachments"][0]["thumbnail"].startswith("data:image/png;base64,")
    raw = catalog.dataset(run.raw.pid)
    assert raw["type"] == "raw"
    assert raw["inputDatasets"] == []
    assert raw["derivedDatasets"] == [run.derived.pid]


def test_registering_twice_is_one_dataset(tmp_path: Path) -> None:
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    run = record(tmp_path)
    assert catalog.register(run) == catalog.register(run)
    assert len(catalog.datasets()) == 2
    assert len(catalog.dataset(run.derived.pid)["origdatablocks"]) == 1


def test_two_runs_of_one_scan_share_the_raw_dataset(tmp_path: Path) -> None:
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    first, second = record(tmp_path, "a"), record(tmp_path, "b", ended=5)
    catalog.register(first)
    catalog.register(second)
    assert [d["pid"] for d in catalog.datasets(type="derived")] == [
        second.derived.pid,
        first.derived.pid,
    ]  # newest first
    assert len(catalog.datasets(type="raw")) == 1
    assert set(catalog.dataset(first.raw.pid)["derivedDatasets"]) == {first.derived.pid, second.derived.pid}


def test_a_result_made_again_takes_the_place_of_the_old_and_an_old_record_changes_nothing(tmp_path: Path) -> None:
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    old = record(tmp_path)
    new = record(tmp_path, ended=9)
    catalog.register(old)
    first = catalog.dataset(old.derived.pid)
    catalog.register(new)
    catalog.register(old)
    found = catalog.dataset(old.derived.pid)
    assert found["creationTime"] == new.derived.creationTime
    assert found["createdAt"] == first["createdAt"]
    assert len(found["origdatablocks"]) == len(found["attachments"]) == 1
    assert len(catalog.datasets()) == 2


def test_filters(tmp_path: Path) -> None:
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    catalog.register(record(tmp_path, "a", scan="s1", metadata={"proposal": "p1"}))
    catalog.register(record(tmp_path, "b", scan="s2", identity="ab" * 32, metadata={"proposal": "p2"}))
    assert {d["proposalId"] for d in catalog.datasets(proposal="p1")} == {"p1"}
    assert len(catalog.datasets(technique="PaNET01207", type="raw")) == 2
    assert catalog.datasets(technique="PaNET01212") == []
    assert catalog.datasets(proposal="' OR 1=1 --") == []


def test_the_beginning_of_a_pid_is_enough_where_it_is_unique(tmp_path: Path) -> None:
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    run = make_record(finished(tmp_path), "20.500.x/")
    catalog.register(run)
    full = run.derived.pid
    uuid = full.split("/")[1]
    for text in (full, uuid, uuid[:8], uuid[:8].lower(), full[:14]):
        assert catalog.dataset(text)["pid"] == full
    with pytest.raises(InputError, match="2 datasets begin with 20"):
        catalog.dataset("20")
    for text in ("%", "_", "zz", "'", "*"):
        with pytest.raises(InputError, match="no dataset"):
            catalog.dataset(text)


def test_many_processes_register_the_same_runs_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    runs = [record(tmp_path, str(i)) for i in range(20)]
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        answers = list(pool.map(register, [path] * 4, [runs] * 4))
    assert answers == [[run.derived.pid for run in runs]] * 4
    catalog = EmbeddedCatalog(path)
    assert len(catalog.datasets()) == 21
    assert all(len(catalog.dataset(run.derived.pid)["origdatablocks"]) == 1 for run in runs)


@pytest.mark.parametrize("earlier", [False, True], ids=["new file", "known catalogue"])
@pytest.mark.parametrize("inserted", [0, 1, 2])
def test_a_crash_in_the_middle_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inserted: int, earlier: bool
) -> None:
    path = tmp_path / "c.db"
    if earlier:
        EmbeddedCatalog(path).register(record(tmp_path, "before", scan="other"))
    before = EmbeddedCatalog(path, optional=True).datasets()
    run = record(tmp_path)
    child = os.fork()
    if child == 0:
        done = []
        original = embedded._insert

        def insert(*arguments: object) -> object:
            number = None
            if len(done) < inserted:
                number = original(*arguments)  # type: ignore[arg-type]
                done.append(1)
            if len(done) == inserted:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        embedded._insert = insert
        EmbeddedCatalog(path).register(run)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    catalog = EmbeddedCatalog(path, optional=True)
    assert catalog.datasets() == before
    catalog.register(run)
    assert len(catalog.datasets()) == len(before) + 2


def test_the_file_is_never_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    EmbeddedCatalog(path).register(record(tmp_path, "a"))
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    EmbeddedCatalog(path).register(record(tmp_path, "b"))
    assert path.read_bytes()[18:20] == b"\x01\x01"  # the header's version numbers: 2 means WAL


def test_reading_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with pytest.raises(InputError, match=r"no catalogue .*c\.db yet"):
        EmbeddedCatalog(path).datasets()
    assert EmbeddedCatalog(path, optional=True).datasets() == []
    with pytest.raises(InputError, match="no catalogue"):
        EmbeddedCatalog(path, optional=True).dataset("x")
    assert not path.exists()


def broken(tmp_path: Path, kind: str) -> tuple[Path, str]:
    path = tmp_path / "c.db"
    if kind == "text":
        path.write_text("no database, " * 1000)
        return path, "no catalogue"
    if kind == "short text":
        path.write_text("hello")
        return path, "no catalogue"
    if kind == "folder":
        path.mkdir()
        return path, "is a folder"
    if kind == "no such folder":
        return tmp_path / "missing" / "c.db", "can't be opened|no catalogue"
    if kind == "below a file":
        path.write_text("x")
        return path / "c.db", "can't be opened|no catalogue"
    if kind == "cut off":
        EmbeddedCatalog(path).register(record(tmp_path))
        path.write_bytes(path.read_bytes()[:5000])
        return path, "damaged"
    with sqlite3.connect(path) as db:
        if kind == "newer":
            db.execute(f"PRAGMA application_id = {embedded_schema.APPLICATION_ID}")
            db.execute("PRAGMA user_version = 99")
        db.execute("CREATE TABLE t (a)")
    db.close()
    return path, "newer hpcdaas" if kind == "newer" else "another program's"


@pytest.mark.parametrize(
    "kind", ["text", "short text", "folder", "no such folder", "below a file", "cut off", "newer", "another program's"]
)
def test_what_is_no_catalogue_is_refused_in_one_line_and_left_alone(tmp_path: Path, kind: str) -> None:
    path, message = broken(tmp_path, kind)
    before = path.read_bytes() if path.is_file() else None
    catalog = EmbeddedCatalog(path)
    for call in (catalog.datasets, lambda: catalog.dataset("x"), lambda: catalog.register(record(tmp_path, "new"))):
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in caught.value.message
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_busy_catalogue_is_said_to_be_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_file, "BUSY_TIMEOUT", 0.05)
    path = tmp_path / "c.db"
    EmbeddedCatalog(path).register(record(tmp_path, "a"))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(HpcdaasError, match="in use by another process"):
        EmbeddedCatalog(path).register(record(tmp_path, "b"))
    assert len(EmbeddedCatalog(path).datasets()) == 2  # reading goes on
    db.close()


def test_the_default_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert open_catalog().datasets() == []
    open_catalog().register(record(tmp_path))
    assert (tmp_path / "data/hpcdaas/catalog.db").exists()
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    open_catalog().register(record(tmp_path))
    assert (tmp_path / "home/.local/share/hpcdaas/catalog.db").exists()


def test_a_default_folder_that_cant_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_text("a file")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with pytest.raises(InputError, match="can't be made"):
        open_catalog()


def test_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = record(tmp_path)
    for uri, path in (
        ("a.db", "a.db"),
        ("sqlite:///b.db", "b.db"),
        (f"sqlite:///{tmp_path}/c.db", "c.db"),
        (f"{tmp_path}/odd ?#%41.db", "odd ?#%41.db"),
    ):
        open_catalog(uri).register(run)
        assert (tmp_path / path).exists()
    for uri, message in (
        ("postgresql://x", "postgresql"),
        ("", "names no file"),
        ("sqlite:///", "names no file"),
    ):
        with pytest.raises(InputError, match=message):
            open_catalog(uri)


def test_a_rule_says_whose_a_run_is(tmp_path: Path) -> None:
    asked = []

    def rule(path: Path) -> Ownership:
        asked.append(path)
        return Ownership("p17", "A. Person", proposal="2026-1")

    run = record(tmp_path)
    catalog = EmbeddedCatalog(tmp_path / "catalog.db", rule=rule)
    catalog.register(run)
    for dataset in catalog.datasets():
        assert (dataset["ownerGroup"], dataset["owner"], dataset["proposalId"]) == ("p17", "A. Person", "2026-1")
        assert dataset.get("contactEmail") == run.raw.contactEmail
    assert asked[0].name == run.raw_datablocks[0].dataFileList[0].path
