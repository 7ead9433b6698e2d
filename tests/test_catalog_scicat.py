import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from catalog_runs import finished, hexdigest
from hpcdaas.catalog.make import make_raw, make_record
from hpcdaas.catalog.outcome import NotYet, Refused, Unreachable
from hpcdaas.catalog.record import Record
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.settings import CatalogSettings, Ownership
from hpcdaas.errors import InputError
from hpcdaas.run import pid
from scicat_server import Account, Backend, Cut, Problem, every, once, serving

PASSWORD = "s3cret-pass"
PICTURE = b"\x89PNG picture"


def settings(account: str = "ingestor", **values: Any) -> CatalogSettings:
    given = {
        "username": account, "password": PASSWORD, "owner_group": "p17", "owner": "A. Person",
        "contact_email": "a@x.org", "access_groups": ("ingestors",), **values,
    }  # fmt: skip
    return CatalogSettings.model_validate({key: value for key, value in given.items() if value is not None})


def client(backend: Backend, tmp_path: Path, state: str = "state", patience: float = 5.0, **values: Any) -> Scicat:
    return Scicat(backend.url, settings(**values), state=tmp_path / state, patience=patience)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return make_record(finished(tmp_path), thumbnail=PICTURE)


def whole(backend: Backend, record: Record, name: str | None = None) -> dict[str, Any]:
    """Hold what the server has of a run against the record: one dataset, each file once, one picture."""
    found = [d for d in backend.datasets.values() if d["scientificMetadata"].get("run", {}).get("value") == record.run]
    assert len(found) == 1
    (dataset,) = found
    assert name is None or dataset["pid"] == name
    sent = [f["path"] for block in backend.blocks[dataset["pid"]] for f in block["dataFileList"]]
    wanted = [f.path for block in record.derived_datablocks for f in block.dataFileList]
    assert sorted(sent) == sorted(wanted)
    assert dataset["size"] == sum(block.size for block in record.derived_datablocks)
    assert dataset["numberOfFiles"] == len(wanted)
    captions = [record.thumbnail.caption] if record.thumbnail else []
    assert [p["caption"] for p in backend.pictures[dataset["pid"]]] == captions
    return dataset


def put_raw(backend: Backend, name: str, record: Record, **values: Any) -> dict[str, Any]:
    """Put in what a beamline's own ingestor says of a scan."""
    backend.datasets[name] = {
        "pid": name, "type": "raw", "ownerGroup": "p99", "accessGroups": ["ingestors"], "owner": "B. Other",
        "contactEmail": "b@y.org", "sourceFolder": record.raw.sourceFolder, **values,
    }  # fmt: skip
    backend.blocks[name] = [{"size": 600, "dataFileList": [{"path": "scan1.h5", "size": 600, "time": "2026-01-01"}]}]
    return backend.datasets[name]


@pytest.mark.parametrize("generation", [4, 5])
@pytest.mark.parametrize("v4_route", [True, False])
def test_a_run_is_registered_with_all_that_belongs_to_it(
    tmp_path: Path, record: Record, generation: int, v4_route: bool
) -> None:
    with serving(Backend(generation, v4_route)) as backend:
        catalog = client(backend, tmp_path, prefix="20.500/")
        name = catalog.register(record)
        assert name == pid(record.run, "20.500/")
        dataset = whole(backend, record, name)
        assert (dataset["ownerGroup"], dataset["accessGroups"]) == ("p17", ["ingestors"])
        raw = pid(hexdigest("scan1"), "20.500/")
        assert dataset["inputDatasets"] == [raw]
        assert dataset["relationships"][0]["identifier" if generation == 5 else "pid"] == raw
        asked = len(backend.requests)
        assert catalog.register(record) == name
        again = [(method, path) for method, path, _ in backend.requests[asked:] if method == "POST"]
        assert len(again) == 1  # refused as a duplicate; what the backend speaks is known by now
        whole(backend, record, name)


def test_sizes_never_go_with_the_dataset(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        client(backend, tmp_path).register(record)
        (body,) = backend.posts("/datasets")
        assert not {"size", "numberOfFiles", "packedSize"} & set(body)


def test_owner_and_group_come_from_the_raw_dataset_if_it_can_be_read(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        more = {"proposalId": "2026-9", "sampleId": "s1", "instrumentId": "i1", "principalInvestigator": "C. PI"}
        known = put_raw(backend, "beamline/1", record, accessGroups=["ingestors", "tomcat"], **more)
        dataset = backend.datasets[client(backend, tmp_path).register(record)]
        taken = {"ownerGroup", "owner", "contactEmail", *more}
        assert {key: dataset[key] for key in taken} == {key: known[key] for key in taken}
        assert dataset["accessGroups"] == ["ingestors", "tomcat"]
        assert dataset["inputDatasets"] == ["beamline/1"]


def test_the_raw_dataset_is_found_by_the_sites_pattern(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        put_raw(backend, "psi/raw.scan1", record, sourceFolder="/elsewhere")
        catalog = client(backend, tmp_path, raw_pid="psi/{folder}.{scan}")
        assert backend.datasets[catalog.register(record)]["inputDatasets"] == ["psi/raw.scan1"]
        with pytest.raises(InputError, match="raw_pid"):
            client(backend, tmp_path, raw_pid="{beamline}").register(record)


def test_two_datasets_that_list_the_file_say_nothing(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        for name in ("a", "b"):
            put_raw(backend, name, record, ownerGroup=f"p-{name}")
        assert backend.datasets[client(backend, tmp_path).register(record)]["ownerGroup"] == "p17"


def test_the_sites_rule_is_asked_with_the_scans_path_before_the_users_own(tmp_path: Path, record: Record) -> None:
    asked = []

    def rule(path: Path) -> Ownership:
        asked.append(path)
        return Ownership("p55", "R. Rule", "r@x.org", ("ingestors",), "2026-5")

    with serving() as backend:
        catalog = dataclasses.replace(client(backend, tmp_path), rule=rule)
        dataset = backend.datasets[catalog.register(record)]
    assert asked == [tmp_path / "raw" / "scan1.h5"]
    assert (dataset["ownerGroup"], dataset["proposalId"]) == ("p55", "2026-5")


def test_a_group_is_never_guessed(tmp_path: Path) -> None:
    file_says = {"owner_group": "p1", "owner": "X", "contact_email": "x@x.org"}
    record = make_record(finished(tmp_path, metadata=file_says))
    with serving() as backend:
        with pytest.raises(NotYet, match=r"Nobody says whose .*scan1\.h5 is.*owner_group is not set"):
            client(backend, tmp_path, owner_group=None).register(record)
        assert not backend.datasets


def test_an_account_that_may_choose_no_pid_finds_the_earlier_dataset(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        name = client(backend, tmp_path, "a", account="user").register(record)
        assert name != record.derived.pid
        whole(backend, record, name)
        for state in ("a", "b"):  # also where the journal is lost
            assert client(backend, tmp_path, state, account="user").register(record) == name
        whole(backend, record, name)


def test_a_pid_that_is_another_run_is_held(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        backend.datasets[record.derived.pid] = {
            "pid": record.derived.pid, "type": "derived", "ownerGroup": "ingestors", "scientificMetadata": {},
        }  # fmt: skip
        with pytest.raises(Refused, match="is another one"):
            client(backend, tmp_path).register(record)


def test_a_result_that_was_made_again_is_held(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        client(backend, tmp_path).register(record)
        result = finished(tmp_path)
        result.path.write_bytes(b"other voxels")
        with pytest.raises(Refused, match="was made again"):
            client(backend, tmp_path).register(make_record(result))


def test_a_refused_read_counts_as_there_only_by_our_journal(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        blind = {"access_groups": ()}
        name = client(backend, tmp_path, "ours", **blind).register(record)
        whole(backend, record, name)
        assert client(backend, tmp_path, "ours", **blind).register(record) == name
        whole(backend, record, name)
        with pytest.raises(Refused, match="nothing here says that it is ours"):
            client(backend, tmp_path, "another", **blind).register(record)
        whole(backend, record, name)


def test_a_refused_read_of_a_dataset_that_was_there_before_us_stays_held(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        backend.datasets[record.derived.pid] = {"pid": record.derived.pid, "ownerGroup": "foreign"}
        for _ in range(2):  # our own refused tries are no evidence
            with pytest.raises(Refused):
                client(backend, tmp_path, access_groups=()).register(record)


def test_a_lost_answer_of_unreadable_files_is_held(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        backend.fault = once("origdatablocks", Cut(), after=True)
        for _ in range(2):
            with pytest.raises(Refused, match="never answered"):
                client(backend, tmp_path, access_groups=()).register(record)
        whole(backend, record)


@pytest.mark.parametrize("generation", [4, 5])
@pytest.mark.parametrize("route", ["/datasets$", "origdatablocks", "attachments", "auth/login"])
@pytest.mark.parametrize("after", [False, True])
def test_a_connection_that_is_cut(tmp_path: Path, record: Record, route: str, after: bool, generation: int) -> None:
    with serving(Backend(generation)) as backend:
        backend.fault = once(route, Cut(), after)
        name = client(backend, tmp_path).register(record)
        whole(backend, record, name)


@pytest.mark.parametrize("route", ["/datasets$", "origdatablocks", "attachments"])
def test_a_connection_that_is_cut_from_an_account_that_may_choose_no_pid(
    tmp_path: Path, record: Record, route: str
) -> None:
    with serving() as backend:
        backend.fault = once(route, Cut(), after=True)
        whole(backend, record, client(backend, tmp_path, account="user").register(record))


def test_the_answer_lost_to_an_account_that_may_not_read(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        backend.fault = once("/datasets$", Cut(), after=True)
        whole(backend, record, client(backend, tmp_path, access_groups=()).register(record))


@pytest.mark.parametrize("nth", [3, 4, 5])
def test_every_nth_call_fails(tmp_path: Path, record: Record, nth: int) -> None:
    with serving() as backend:
        backend.fault = every(nth, Problem(500, "Internal server error"))
        whole(backend, record, client(backend, tmp_path, patience=20.0).register(record))


def test_a_busy_server_says_how_long_to_wait(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        backend.fault = once("origdatablocks", Problem(429, "Too many", {"Retry-After": "1"}), after=False)
        whole(backend, record, client(backend, tmp_path).register(record))
        backend.fault = lambda *_: (_ for _ in ()).throw(Problem(429, "Too many", {"Retry-After": "3600"}))
        with pytest.raises(Unreachable, match="429"):
            client(backend, tmp_path).register(record)  # doesn't wait an hour


def test_what_is_refused_is_not_tried_again(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        with pytest.raises(Refused, match="contactEmail must be an email"):
            client(backend, tmp_path, contact_email="nobody").register(record)
        assert len(backend.posts("/datasets")) == 1


def test_a_group_that_the_account_may_not_write_for(tmp_path: Path, record: Record) -> None:
    with serving() as backend, pytest.raises(Refused, match="datasets of the group 'p18'"):
        client(backend, tmp_path, account="user", owner_group="p18").register(record)


def test_without_a_login_it_waits(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        with pytest.raises(NotYet, match="wants a login"):
            client(backend, tmp_path, username=None, password=None).register(record)
        with pytest.raises(NotYet, match="refuses the login of 'ingestor'"):
            client(backend, tmp_path, password="wrong").register(record)


def test_a_catalogue_that_is_away(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        pass
    with pytest.raises(Unreachable, match="can't be reached"):
        client(backend, tmp_path, patience=0.3).register(record)


@pytest.mark.parametrize("generation", [4, 5])
def test_a_token_that_expires_in_the_middle_is_renewed(tmp_path: Path, record: Record, generation: int) -> None:
    with serving(Backend(generation)) as backend:

        def expire(backend: Backend, method: str, path: str, after: bool) -> None:
            if path.endswith("/datasets") and method == "POST" and after:
                backend.clock += 7200  # all tokens that were given out have ended

        backend.fault = expire
        name = client(backend, tmp_path).register(record)
        backend.fault = None
        whole(backend, record, name)
        assert backend.logins == 2


def test_a_token_is_renewed_before_it_ends(tmp_path: Path, record: Record) -> None:
    with serving(Backend(token_life=2)) as backend:
        catalog = client(backend, tmp_path)
        for i in range(3):
            catalog.register(make_record(finished(tmp_path, f"r{i}")))
        assert not [1 for _, path, _ in backend.requests if "whoami" in path]
        assert len(backend.datasets) == 3


def test_a_ready_token_from_a_file_is_read_again_when_it_has_ended(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        file = tmp_path / "token"
        file.touch(0o600)
        file.write_text(backend.token("ingestor", life=-1) + "\n")
        catalog = client(backend, tmp_path, username=None, password=None, token_file=file)
        with pytest.raises(NotYet, match="wants a login"):
            catalog.register(record)
        file.write_text(backend.token("ingestor"))
        whole(backend, record, catalog.register(record))
        assert backend.logins == 0


def test_a_clock_that_differs_from_the_servers(tmp_path: Path, record: Record) -> None:
    with serving(Backend(generation=4, clock=7200)) as backend:  # our clock would call every token good for two hours
        catalog = client(backend, tmp_path)
        catalog.register(record)
        backend.clock += 3590  # 10 s before it ends, by the server's clock
        catalog.register(make_record(finished(tmp_path, "other")))
        assert backend.logins == 2


def test_secrets_are_shown_nowhere(
    tmp_path: Path, record: Record, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving() as backend:
        backend.fault = every(3, Problem(500, "Internal server error"))
        token = backend.token("ingestor")
        catalog = client(backend, tmp_path, username=None, password=None, token=token)
        catalog.register(record)
        shown = [repr(catalog), str(catalog), repr(catalog.settings), repr(vars(catalog)), caplog.text]
        backend.fault = every(1, Problem(503, "away"))
        for account in (catalog, client(backend, tmp_path, patience=0.2)):
            with pytest.raises(Unreachable) as caught:
                dataclasses.replace(account, patience=0.2).register(record)
            shown.append("".join(map(repr, (caught.value, caught.value.__cause__, caught.value.hint))))
        shown += [path for _, path, _ in backend.requests]
    shown += [path.read_text() for path in (tmp_path / "state").rglob("*.jsonl")]
    output = capfd.readouterr()
    for text in (*shown, output.out, output.err):
        assert token not in text
        assert PASSWORD not in text


def test_a_login_for_one_catalogue_is_sent_to_no_other(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        with pytest.raises(NotYet, match="wants a login"):
            client(backend, tmp_path, catalog="https://scicat.example.org").register(record)
        assert backend.logins == 0
        client(backend, tmp_path, catalog=f"{backend.url}/api/v3").register(record)


def test_raw_scans_are_registered_once(tmp_path: Path) -> None:
    raw, blocks = make_raw(finished(tmp_path, metadata={"proposal": "2026-1"}).raw)
    with serving() as backend:
        catalog = client(backend, tmp_path)
        name = catalog.register_raw(raw, blocks)
        assert catalog.register_raw(raw, blocks) == name == raw.pid
        (dataset,) = backend.datasets.values()
        assert (dataset["type"], dataset["numberOfFiles"], dataset["proposalId"]) == ("raw", 1, "2026-1")
        assert dataset["creationLocation"]
        # and a result takes over whose it is
        backend.datasets[name]["ownerGroup"] = "p31"
        record = make_record(finished(tmp_path))
        assert backend.datasets[catalog.register(record)]["ownerGroup"] == "p31"


def test_a_beamline_without_ingestor(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        client(backend, tmp_path, register_raw=True).register(record)
        whole(backend, record)
        assert backend.datasets[record.raw.pid]["type"] == "raw"


def test_what_the_beamline_has_is_not_registered_again(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        put_raw(backend, "x/1", record)
        assert client(backend, tmp_path).register_raw(record.raw, record.raw_datablocks) == "x/1"


def test_list_and_show(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        catalog = client(backend, tmp_path, register_raw=True, prefix="20.500/", proposal="2026-3")
        name = catalog.register(record)
        for i in range(120):
            backend.datasets[f"x/{i}"] = {"pid": f"x/{i}", "type": "raw", "ownerGroup": "ingestors",
                                          "creationTime": f"2020-01-01T00:00:{i % 60:02}.000Z"}  # fmt: skip
        found = catalog.datasets()
        assert len(found) == 122
        assert [d["creationTime"] for d in found] == sorted((d["creationTime"] for d in found), reverse=True)
        assert [d["pid"] for d in catalog.datasets(type="derived", technique="PaNET01207")] == [name]
        assert len(catalog.datasets(proposal="2026-3")) == 2
        for asked in (name, name.split("/")[1][:8].lower()):
            shown = catalog.dataset(asked)
            assert shown["pid"] == name
            assert shown["origdatablocks"][0]["dataFileList"][0]["path"] == "tooth.h5"
            assert shown["attachments"][0]["thumbnail"].startswith("data:image/png")
        assert catalog.dataset(shown["inputDatasets"][0])["derivedDatasets"] == [name]
        for missing in ("nothing/there", "12345678", ".*"):
            with pytest.raises(InputError, match="There is no dataset"):
                catalog.dataset(missing)


def test_jobs(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        catalog = client(backend, tmp_path)
        name = catalog.register(record)
        with pytest.raises(Refused, match="isn't retrievable"):
            catalog.job("retrieve", name)
        assert catalog.job("archive", name) == backend.jobs[0]["id"]
        assert backend.jobs[0]["jobParams"] == {"datasetList": [{"pid": name, "files": []}]}
        assert catalog.job("retrieve", name[:8])


def test_a_dataset_that_somebody_left_unfinished_is_completed(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        backend.fault = once("origdatablocks", Problem(400, "no"), after=False)
        with pytest.raises(Refused):
            client(backend, tmp_path, "killed").register(record)
        backend.fault = None
        with pytest.raises(NotYet, match="Another process is registering"):
            client(backend, tmp_path, "other", patience=0.3).register(record)
        backend.clock += 600  # it has died
        whole(backend, record, client(backend, tmp_path, "other").register(record))


def test_a_backend_that_is_none(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        backend.fault = every(1, Problem(404, "Not Found"))
        with pytest.raises(InputError, match="no SciCat backend"):
            client(backend, tmp_path).register(record)
        with pytest.raises(Refused, match="no SciCat backend"):
            client(backend, tmp_path, username=None, password=None, token=backend.token("ingestor")).register(record)


def test_groups_of_an_account(tmp_path: Path, record: Record) -> None:
    backend = Backend(accounts={"ingestor": Account(PASSWORD, ("ingestors", "p17"), privileged=True)})
    with serving(backend):
        whole(backend, record, client(backend, tmp_path, access_groups=()).register(record))


def test_the_log_goes_in_but_is_no_part_of_what_is_compared(tmp_path: Path, record: Record) -> None:
    with serving() as backend:
        catalog = client(backend, tmp_path, access_groups=())
        name = catalog.register(record, "x" * 60_000 + " the end")
        log = backend.datasets[name]["jobLogData"]
        assert len(log) == 50_000
        assert log.endswith(" the end")
        assert catalog.register(record, "another log") == name


def test_metadata_that_are_too_large_are_held(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path, metadata={}))
    huge = record.derived.model_copy(update={"jobParameters": {"angles": "x" * 16_000_000}})
    with serving() as backend:
        with pytest.raises(Refused, match="a catalogue takes 16"):
            client(backend, tmp_path).register(record.model_copy(update={"derived": huge}))
        assert not backend.posts("/datasets")


def test_bodies_are_json_that_is_utf8(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path, "µ-tooth–1"))
    with serving() as backend:
        name = client(backend, tmp_path).register(record)
        assert backend.datasets[name]["datasetName"] == "µ-tooth–1"
        assert json.dumps(backend.blocks[name])


def test_a_picture_that_the_server_fails_on_holds_nothing_up(tmp_path: Path, record: Record) -> None:
    def fail(backend: Backend, method: str, path: str, after: bool) -> None:
        if path.endswith("/attachments"):
            raise Problem(500, "Internal server error")

    with serving() as backend:
        backend.fault = fail
        client(backend, tmp_path, patience=2.0).register(record)
        whole(backend, record.model_copy(update={"thumbnail": None}))


@pytest.mark.parametrize(("size", "taken"), [(74_000, True), (80_000, False)])  # a data URI is a third longer
def test_a_picture_that_is_too_large_is_left_out_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int, taken: bool
) -> None:
    record = make_record(finished(tmp_path), thumbnail=b"p" * size)
    with serving() as backend:
        client(backend, tmp_path).register(record)
        whole(backend, record if taken else record.model_copy(update={"thumbnail": None}))
    said = [line for line in caplog.messages if "isn't in the catalogue" in line]
    assert bool(said) != taken
    assert all("'tooth: the middle" in line and "it has 107 kB, at most 100 are taken" in line for line in said)


def test_a_picture_that_is_refused_is_said(tmp_path: Path, record: Record, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as backend:
        backend.fault = once("attachments", Problem(400, "no pictures here"), after=False)
        client(backend, tmp_path).register(record)
        whole(backend, record.model_copy(update={"thumbnail": None}))
    assert any("no pictures here (400)" in line for line in caplog.messages)
