"""Each row of the contract with SciCat, over real HTTP, as backends of generation v4 and v5 behave."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest

from served import PASSWORD, Served, served
from served_documents import block, derived, png, raw, v4

V3, V4 = "/api/v3/datasets", "/api/v4/datasets"


@pytest.fixture(scope="module", params=["v4", "v5"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), generation=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def v5(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), generation="v5") as running:
        yield running


def new_pid() -> str:
    return f"20.500.12345/{str(uuid.uuid4()).upper()}"


def at(pid: str, rest: str = "", route: str = V3) -> str:
    return f"{route}/{quote(pid, safe='')}{rest}"


def with_(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (body | changes).items() if value is not None}


def created(client: httpx.Client, body: dict[str, Any], route: str = V3) -> dict[str, Any]:
    answer = client.post(route, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


# login and token


def test_a_login_gives_201_and_a_token(v5: Served) -> None:
    answer = httpx.post(f"{v5.url}/api/v3/auth/login", json={"username": "ingestor", "password": PASSWORD})
    assert answer.status_code == 201
    said = answer.json()
    assert {*said} == {"access_token", "id", "expires_in", "ttl", "created", "userId", "user"}
    assert said["expires_in"] == said["ttl"] == 3600
    assert said["user"]["username"] == "ingestor"
    claims = jwt.decode(said["access_token"], options={"verify_signature": False})
    assert 3500 < claims["exp"] - time.time() <= 3600
    me = httpx.get(f"{v5.url}/api/v3/users/my/self", headers={"Authorization": f"Bearer {said['access_token']}"})
    assert me.json()["username"] == "ingestor"


@pytest.mark.parametrize("name", ["ingestor", "nobody", ""])
def test_a_bad_password_is_401(v5: Served, name: str) -> None:
    answer = httpx.post(f"{v5.url}/api/v3/auth/login", json={"username": name, "password": "wrong"})
    assert answer.status_code == 401


def test_the_old_login_answers_201_with_nothing(v5: Served) -> None:
    answer = httpx.post(f"{v5.url}/api/v3/users/login", json={"username": "ingestor", "password": PASSWORD})
    assert (answer.status_code, answer.content) == (201, b"")


def test_there_is_no_v4_login(v5: Served) -> None:
    answer = httpx.post(f"{v5.url}/api/v4/auth/login", json={"username": "ingestor", "password": PASSWORD})
    assert answer.status_code == 404


@pytest.mark.parametrize("generation", ["v4", "v5"])
def test_an_expired_token(tmp_path_factory: pytest.TempPathFactory, generation: str) -> None:
    life = 5  # seconds, long enough for what is done before it is over
    with served(tmp_path_factory.mktemp("short"), generation=generation, token_life=life) as server:  # noqa: SIM117
        with server.client("ingestor") as client:
            public = created(client, derived(pid=new_pid(), isPublished=True))["pid"]
            time.sleep(life + 1.1)  # tokens count whole seconds
            write, read = client.post(V3, json=derived(pid=new_pid())), client.get(at(public))
            listed = client.get(V3)
    if generation == "v5":
        assert (write.status_code, read.status_code, listed.status_code) == (401, 401, 401)
    else:
        assert (write.status_code, read.status_code) == (403, 200)
        assert [each["pid"] for each in listed.json()] == [public]


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", jwt.encode({"sub": "admin", "exp": 2**31}, "x" * 32, "HS256"),
                                   jwt.encode({"sub": "admin", "exp": 2**31}, None, "none")])  # fmt: skip
def test_a_forged_token_opens_nothing(server: Served, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{server.url}{V3}", json=derived(), headers=headers)
    assert answer.status_code == (403 if server.generation == "v4" else 401)


# datasets: what is required and what is refused


@pytest.mark.parametrize(
    "field",
    ["type", "owner", "ownerGroup", "contactEmail", "sourceFolder", "creationTime", "investigator", "inputDatasets",
     "usedSoftware"],
)  # fmt: skip
def test_a_derived_dataset_needs(v5: Served, field: str) -> None:
    with v5.client("admin") as client:
        answer = client.post(V3, json=derived(**{field: None}))
    assert answer.status_code == 400
    assert field in json.dumps(answer.json()["message"])


@pytest.mark.parametrize("field", ["principalInvestigator", "creationLocation"])
def test_a_raw_dataset_needs(v5: Served, field: str) -> None:
    with v5.client("admin") as client:
        assert client.post(V3, json=raw(**{field: None})).status_code == 400
        assert created(client, raw())["type"] == "raw"


@pytest.mark.parametrize("field", ["ownerGroup", "contactEmail", "sourceFolder", "creationTime", "datasetName", "type"])
def test_a_dataset_of_the_v4_route_needs(v5: Served, field: str) -> None:
    with v5.client("admin") as client:
        assert client.post(V4, json=v4(**{field: None})).status_code == 400


def test_the_v4_route_without_owner_is_500(server: Served) -> None:
    with server.client("admin") as client:
        assert client.post(V4, json=v4(owner=None)).status_code == 500


def test_the_v4_route_has_lists(server: Served) -> None:
    with server.client("admin") as client:
        assert client.post(V4, json=v4(investigator="I")).status_code == 400
        pid = created(client, v4(), V4)["pid"]
        new, old = client.get(at(pid, route=V4)).json(), client.get(at(pid)).json()
    assert (new["principalInvestigators"], new["proposalIds"], new["sampleIds"]) == (["P", "Q"], ["1", "2"], [])
    assert (old["investigator"], old["proposalId"]) == ("P", "1")
    assert "principalInvestigators" not in old


def test_a_dataset_of_the_v3_route_has_lists_on_the_v4_route(server: Served) -> None:
    with server.client("admin") as client:
        pid = created(client, raw(proposalId="7", sampleId="s"))["pid"]
        new = client.get(at(pid, route=V4)).json()
    assert (new["principalInvestigators"], new["proposalIds"], new["sampleIds"]) == (["P"], ["7"], ["s"])


@pytest.mark.parametrize(
    "change",
    [{"unknown": 1}, {"creationTime": "yesterday"}, {"contactEmail": "nobody"}, {"contactEmail": "a@x;nobody"},
     {"size": -1}, {"size": "5"}, {"size": 2**70}, {"inputDatasets": "x"}, {"type": "other"}, {"ownerGroup": ""},
     {"keywords": [1]}, {"techniques": [{"pid": "x"}]}, {"scientificMetadata": [1]}],
)  # fmt: skip
def test_what_is_not_valid_is_400(server: Served, change: dict[str, Any]) -> None:
    with server.client("admin") as client:
        refused = client.post(V3, json=derived(**change))
        assert refused.status_code == 400
        assert set(refused.json()) == {"statusCode", "message", "error"}
        valid = client.post(f"{V3}/isValid", json=derived(**change))
        assert valid.status_code == 200
        assert valid.json()["valid"] is False
        assert valid.json()["error"]
        assert client.post(f"{V3}/isValid", json=derived()).json() == {"valid": True}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"a": NaN}', b'"\\ud800"', b"[" * 100_000, b"\xff\xfe", b"null"]
)
def test_what_is_no_json_is_400(v5: Served, content: bytes) -> None:
    with v5.client("admin") as client:
        answer = client.post(V3, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_another_content_type_is_400(v5: Served) -> None:
    """What a form of another site could send without being asked."""
    with v5.client("admin") as client:
        answer = client.post(V3, content=json.dumps(derived()), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400


def test_input_datasets_need_not_exist(v5: Served) -> None:
    with v5.client("admin") as client:
        assert created(client, derived(inputDatasets=["not/there"]))["inputDatasets"] == ["not/there"]


# pids


def test_a_chosen_pid_needs_a_privileged_account(server: Served) -> None:
    with server.client("alice") as client:
        assert client.post(V3, json=derived(pid=new_pid())).status_code == 403
        assert client.post(V4, json=v4(pid=new_pid())).status_code == 403
        made = created(client, derived())
        assert str(uuid.UUID(made["pid"])).upper() == made["pid"]
    pid = new_pid()
    with server.client("ingestor") as client:
        assert created(client, derived(pid=pid))["pid"] == pid


def test_a_site_may_say_what_a_pid_looks_like(tmp_path_factory: pytest.TempPathFactory) -> None:
    pattern = r"20\.5/[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"
    with (
        served(tmp_path_factory.mktemp("pattern"), "--pid-pattern", pattern) as server,
        server.client("admin") as client,
    ):
        assert client.post(V3, json=derived(pid="20.5/abc")).status_code == 400
        created(client, derived(pid=f"20.5/{str(uuid.uuid4()).upper()}"))


def test_a_pid_is_taken_once_also_by_sixteen_at_once(server: Served) -> None:
    pid = new_pid()
    with server.client("ingestor") as client, ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: client.post(V3, json=derived(pid=pid)).status_code, range(16)))
        assert sorted(codes) == [201] + [409] * 15
        assert client.post(V4, json=v4(pid=pid)).status_code == 409


@pytest.mark.parametrize("pid", ["20.5/A B", "20.5/ä", "20.5/%2F", "20.5/?x#y", "a/b/c", "20.5/'\"<b>"])
def test_pids_of_all_kinds_are_found_again(v5: Served, pid: str) -> None:
    with v5.client("admin") as client:
        created(client, derived(pid=pid))
        assert client.get(at(pid)).json()["pid"] == pid
        assert client.post(at(pid, "/origdatablocks"), json=block()).status_code == 201
        assert client.get(at(pid)).json()["numberOfFiles"] == 1


# the ingestor's account


def test_the_ingestor_reads_back_only_with_access(server: Served) -> None:
    closed, open_ = new_pid(), new_pid()
    with server.client("ingestor") as client:
        created(client, derived(pid=closed, ownerGroup="p9"))
        created(client, derived(pid=open_, ownerGroup="p9", accessGroups=["ingestor"]))
        assert client.get(at(closed)).status_code == client.get(at(closed, route=V4)).status_code == 403
        assert client.get(at(open_)).status_code == 200
        for route in (V3, V4):
            where = json.dumps({"where": {"ownerGroup": "p9"}})
            assert [each["pid"] for each in client.get(route, params={"filter": where}).json()] == [open_]
        assert client.get(at(closed, "/origdatablocks")).status_code == 403


def test_the_ingestor_may_not_change_what_it_made(server: Served) -> None:
    pid = new_pid()
    with server.client("ingestor") as client:
        created(client, derived(pid=pid, accessGroups=["ingestor"]))
        assert client.patch(at(pid), json={"description": "x"}).status_code == 403
        assert client.patch(at(pid, route=V4), json={"description": "x"}).status_code == 403
        assert client.post("/api/v4/origdatablocks", json=block(datasetId=pid)).status_code == 403
        assert client.post(at(pid, "/origdatablocks"), json=block()).status_code == 201
        assert client.get(at(pid)).json()["numberOfFiles"] == 1


def test_users_have_the_datasets_of_their_groups(server: Served) -> None:
    with server.client("alice") as alice, server.client("bob") as bob, server.client() as nobody:
        assert alice.post(V3, json=derived(ownerGroup="p3")).status_code == 403
        mine = created(alice, derived(ownerGroup="p1"))["pid"]
        assert bob.get(at(mine)).status_code == nobody.get(at(mine)).status_code == 403
        assert bob.patch(at(mine), json={"description": "x"}).status_code == 403
        assert alice.patch(at(mine), json={"ownerGroup": "p3"}).status_code == 403  # not given away to strangers
        assert alice.patch(at(mine), json={"accessGroups": ["p3"]}).status_code == 200
        assert bob.get(at(mine)).status_code == 200
        assert bob.patch(at(mine), json={"description": "x"}).status_code == 403
        assert alice.patch(at(mine), json={"isPublished": True}).status_code == 200
        assert nobody.get(at(mine)).status_code == 200
        assert alice.delete(at(mine)).status_code == 403
    with server.client("admin") as admin:
        assert admin.delete(at(mine)).status_code == 200
        assert admin.get(at(mine)).status_code == 404


# files


def test_blocks_are_not_idempotent_and_are_counted(server: Served) -> None:
    pid = new_pid()
    with server.client("admin") as client:
        created(client, derived(pid=pid))
        answers = [client.post(at(pid, "/origdatablocks"), json=block(3)) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json()["_id"] != answers[1].json()["_id"]
        found = client.get(at(pid)).json()
        assert (found["size"], found["numberOfFiles"]) == (30, 6)
        listed = client.get(at(pid, "/origdatablocks")).json()
        assert [len(each["dataFileList"]) for each in listed] == [3, 3]
        assert {each["datasetId"] for each in listed} == {pid}
        where = {"filter": json.dumps({"where": {"datasetId": pid}})}
        assert client.get("/api/v4/origdatablocks", params=where).json() == listed


def test_sizes_that_come_with_a_dataset_count_twice(server: Served) -> None:
    pid = new_pid()
    with server.client("admin") as client:
        created(client, derived(pid=pid, size=10, numberOfFiles=2))
        client.post(at(pid, "/origdatablocks"), json=block(2))
        found = client.get(at(pid)).json()
    assert (found["size"], found["numberOfFiles"]) == (20, 4)


def test_totals_are_right_after_posts_at_once(server: Served) -> None:
    pid = new_pid()
    with server.client("admin") as client, ThreadPoolExecutor(8) as pool:
        created(client, derived(pid=pid))
        codes = list(pool.map(lambda _: client.post(at(pid, "/origdatablocks"), json=block(7)).status_code, range(24)))
        assert set(codes) == {201}
        found = client.get(at(pid)).json()
        assert (found["size"], found["numberOfFiles"]) == (24 * 35, 24 * 7)
        assert len(client.get(at(pid, "/origdatablocks")).json()) == 24


@pytest.mark.parametrize("change", [{"size": None}, {"dataFileList": None}, {"more": 1}, {"dataFileList": [{"path": "a"}]},  # noqa: E501
                                    {"dataFileList": [{"path": "a", "size": 1, "time": "never"}]}])  # fmt: skip
def test_a_block_that_is_not_valid_is_400_and_changes_nothing(v5: Served, change: dict[str, Any]) -> None:
    pid = new_pid()
    with v5.client("admin") as client:
        created(client, derived(pid=pid))
        assert client.post(at(pid, "/origdatablocks"), json=with_(block(), **change)).status_code == 400
        assert client.get(at(pid)).json()["numberOfFiles"] == 0


def test_files_of_no_dataset_are_404(v5: Served) -> None:
    with v5.client("admin") as client:
        assert client.post(at("no/such", "/origdatablocks"), json=block()).status_code == 404
        assert client.post("/api/v4/origdatablocks", json=block(datasetId="no/such")).status_code == 404


def test_a_body_of_more_than_16_mb_is_500_and_the_server_goes_on(server: Served) -> None:
    pid = new_pid()
    with server.client("admin") as client:
        created(client, derived(pid=pid))
        large = block(20_000)
        large["dataFileList"][0]["path"] = "x" * (16 * 1024 * 1024)
        assert client.post(at(pid, "/origdatablocks"), json=large).status_code == 500

        def chunks() -> Iterator[bytes]:
            for _ in range(20):
                yield b" " * 1024 * 1024

        try:  # without a length it is refused on the way, or the connection is closed on us
            code = client.post(at(pid, "/origdatablocks"), content=chunks()).status_code
        except httpx.TransportError:
            code = 500
        assert code == 500
        assert client.post(at(pid, "/origdatablocks"), json=block(20_000)).status_code == 201
        found = client.get(at(pid)).json()
    assert (found["size"], found["numberOfFiles"]) == (100_000, 20_000)


# pictures


def test_a_thumbnail(server: Served) -> None:
    pid, name = new_pid(), str(uuid.uuid4())
    picture = {"ownerGroup": "p1", "caption": "slice", "thumbnail": png()}
    with server.client("ingestor") as client:
        created(client, derived(pid=pid, accessGroups=["ingestor"]))
        made = client.post(at(pid, "/attachments"), json=picture | {"id": name})
        assert made.status_code == 201
        assert made.json()["aid"] == name
        assert client.post(at(pid, "/attachments"), json=picture | {"id": name}).status_code == 500  # taken
        assert client.post(at(pid, "/attachments"), json=picture | {"more": 1}).status_code == 400
        assert [each["thumbnail"] for each in client.get(at(pid, "/attachments")).json()] == [png()]
        assert client.get(at(pid, "/thumbnail")).json()["thumbnail"] == png()


def test_the_v4_route_for_pictures_is_for_admins_on_v4(server: Served) -> None:
    pid = new_pid()
    picture = {
        "ownerGroup": "p1", "caption": "slice", "isPublished": False, "thumbnail": png(),
        "relationships": [{"targetId": pid, "targetType": "dataset"}],
    }  # fmt: skip
    with server.client("ingestor") as ingestor, server.client("admin") as admin:
        created(ingestor, derived(pid=pid))
        expected = 403 if server.generation == "v4" else 201
        assert ingestor.post("/api/v4/attachments", json=picture).status_code == expected
        assert admin.post("/api/v4/attachments", json=picture).status_code == 201
        where = {"filter": json.dumps({"where": {"relationships.targetId": pid}})}
        assert len(admin.get("/api/v4/attachments", params=where).json()) == (1 if expected == 403 else 2)


# metadata and changes


def test_values_gain_si_and_unknown_units_pass(server: Served) -> None:
    metadata = {
        "energy": {"value": 20, "unit": "keV"},
        "scanParameters": {"pixel": {"value": 0.65, "unit": "um"}, "odd": {"value": 3, "unit": "furlong per fortnite"}},
        "word": {"value": "fast", "unit": ""},
        "attack": {"value": 1, "unit": "m**9**9**9**9"},
    }
    with server.client("admin") as client:
        found = created(client, derived(scientificMetadata=metadata))["scientificMetadata"]
    assert found["energy"]["value"] == 20
    assert found["energy"]["unit"] == "keV"
    assert found["energy"]["valueSI"] == pytest.approx(20e3 * 1.602176634e-19)
    assert found["scanParameters"]["pixel"]["valueSI"] == pytest.approx(0.65e-6)
    assert found["scanParameters"]["pixel"]["unitSI"] == "m"
    for untouched in (found["scanParameters"]["odd"], found["word"], found["attack"]):
        assert set(untouched) == {"value", "unit"}


@pytest.mark.parametrize("character", ".$[]<>")
def test_keys_must_not_hold(v5: Served, character: str) -> None:
    for metadata in (
        {f"a{character}b": {"value": 1, "unit": ""}},
        {"group": {f"{character}": {"value": 1, "unit": ""}}},
    ):
        with v5.client("admin") as client:
            assert client.post(V3, json=derived(scientificMetadata=metadata)).status_code == 400


def test_a_patch_replaces_metadata_whole_and_a_merge_patch_merges(server: Served) -> None:
    one, two = {"value": 1, "unit": "m"}, {"value": 2, "unit": "m"}
    with server.client("alice") as client:
        pid = created(client, derived(scientificMetadata={"a": one, "b": one}, description="d"))["pid"]
        changed = client.patch(at(pid), json={"scientificMetadata": {"c": two}}).json()
        assert set(changed["scientificMetadata"]) == {"c"}
        assert changed["description"] == "d"
        merge = {"Content-Type": "application/merge-patch+json"}
        body = json.dumps({"scientificMetadata": {"d": two, "c": None, "e": {"f": one}}, "description": None})
        merged = client.patch(at(pid, route=V4), content=body, headers=merge).json()
        assert set(merged["scientificMetadata"]) == {"d", "e"}
        assert merged["scientificMetadata"]["d"]["valueSI"] == 2
        assert "description" not in merged
        assert client.patch(at(pid), json={"unknown": 1}).status_code == 400
        assert client.patch(at(pid), json={"pid": "x"}).status_code == 400
        assert client.patch(at("no/such"), json={}).status_code == 404
        both = client.patch(at(pid, route=V4), json={"proposalIds": ["8", "9"]}).json()
        assert both["proposalIds"] == ["8", "9"]
        assert client.patch(at(pid), json={"proposalId": "7"}).json()["proposalId"] == "7"
        assert client.get(at(pid, route=V4)).json()["proposalIds"] == ["7"]


def test_a_merge_patch_cant_take_out_what_is_needed(v5: Served) -> None:
    with v5.client("alice") as client:
        pid = created(client, derived())["pid"]
        for field in ("creationTime", "ownerGroup"):
            answer = client.patch(
                at(pid, route=V4), content=json.dumps({field: None}),
                headers={"Content-Type": "application/merge-patch+json"},
            )  # fmt: skip
            assert answer.status_code == 400
        assert client.get(at(pid)).json()["creationTime"]


def test_relationships_have_another_form_in_each_generation(server: Served) -> None:
    old = {"pid": "x", "relationship": "IsPartOf"}
    new = {"identifier": "x", "identifierType": "DOI", "relationship": "IsPartOf", "entityType": "dataset"}
    right, wrong = (old, new) if server.generation == "v4" else (new, old)
    with server.client("admin") as client:
        assert created(client, derived(relationships=[right]))["relationships"] == [right]
        assert client.post(V3, json=derived(relationships=[wrong])).status_code == 400
        assert client.post(V4, json=v4(relationships=[wrong])).status_code == 400
        assert client.post(f"{V3}/isValid", json=derived(relationships=[wrong])).json()["valid"] is False


# jobs


def test_jobs_to_archive_and_to_retrieve(server: Served) -> None:
    with server.client("alice") as alice, server.client("admin") as admin, server.client("bob") as bob:
        pid = created(alice, derived())["pid"]

        def ask(kind: str, client: httpx.Client = alice) -> httpx.Response:
            listed = {"datasetList": [{"pid": pid, "files": []}]}
            body = {"type": kind, "jobParams": listed, "ownerGroup": "p1", "contactEmail": "a@example.org"}
            return client.post("/api/v4/jobs", json=body)

        assert ask("dance").status_code == 400
        assert ask("retrieve").status_code == 400  # nothing is archived yet
        assert ask("archive", bob).status_code == 403
        job = ask("archive")
        assert job.status_code == 201
        assert ask("archive").status_code == 400  # asked for already
        done = {"statusCode": "finishedSuccessful", "statusMessage": "on tape"}
        assert alice.patch(f"/api/v4/jobs/{job.json()['id']}", json=done).status_code == 403
        assert admin.patch(f"/api/v4/jobs/{job.json()['id']}", json=done).status_code == 200
        assert alice.get(f"/api/v4/jobs/{job.json()['id']}").json()["statusCode"] == "finishedSuccessful"
        assert bob.get(f"/api/v4/jobs/{job.json()['id']}").status_code == 403
        assert alice.get(at(pid)).json()["datasetlifecycle"]["retrievable"] is True
        assert ask("retrieve").status_code == 201
        assert {each["type"] for each in alice.get("/api/v4/jobs").json()} >= {"archive", "retrieve"}
        assert bob.get("/api/v4/jobs").json() == []


def test_jobs_for_datasets_that_are_not_there_are_400(v5: Served) -> None:
    with v5.client("admin") as client:
        for listed in ([], [{"pid": "no/such", "files": []}]):
            body = {"type": "archive", "jobParams": {"datasetList": listed}, "ownerGroup": "p1"}
            assert client.post("/api/v4/jobs", json=body).status_code == 400
