import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import served_documents
from catalog_runs import finished
from hpcdaas.catalog import scicat_bodies as bodies
from hpcdaas.catalog.crate import crate_path, is_crate_of, make_crate, write_crate
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import DataFile
from hpcdaas.catalog.serve.app import make_app
from hpcdaas.catalog.serve.bodies import Block, DatasetV4, DerivedV3, RawV3
from hpcdaas.catalog.software import used_software

SHARED = Path(__file__).parents[2] / "shared" / "scicat"
OWNED = bodies.Whose("A. Person", "p17", "a@x.org;b@x.org", ("ingestors",), "2026-1", "C. PI", "sample", "instrument")
FACTS = {"energy": {"value": 25e3, "unit": "eV"}, "start_time": "2026-03-01T12:00:00Z", "sample_id": "s1"}


@pytest.fixture(params=["v4", "v5"])
def generation(request: pytest.FixtureRequest) -> str:
    if not (SHARED / "openapi-v4.json").is_file():
        pytest.skip("no OpenAPI documents: they are looked for in ../shared/scicat")
    return str(request.param)


def validate(generation: str, name: str, body: Any) -> None:
    """Hold a body against a schema in which no unknown field passes."""
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads((SHARED / f"openapi-{generation}.json").read_text())
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(json.loads(json.dumps(body)) and schema).validate(json.loads(json.dumps(body)))


@pytest.mark.parametrize("kind", ["raw", "derived"])
@pytest.mark.parametrize("v4", [True, False])
def test_every_dataset_fits_the_schema(tmp_path: Path, generation: str, kind: str, v4: bool) -> None:
    record = make_record(finished(tmp_path, metadata=FACTS), log="the log")
    dialect = bodies.Dialect(v4, "identifier" if generation == "v5" else "pid")
    body = dialect.body(getattr(record, kind), OWNED, "20.500/X")
    name = "CreateDatasetDto" if v4 else f"Create{kind.title()}DatasetObsoleteDto"
    validate(generation, name, body)
    if kind == "derived":
        assert body["jobLogData"] == "the log"
        assert body["jobParameters"]["step"]
        assert body["scientificMetadata"]["reconstructionParameters"]
    assert "sampleIds" in body if v4 else ("sampleId" in body) == (kind == "raw")


def test_files_picture_and_job_fit_the_schema(tmp_path: Path, generation: str) -> None:
    record = make_record(finished(tmp_path), thumbnail=b"png")
    assert record.thumbnail
    for block in (*record.raw_datablocks, *record.derived_datablocks):
        for body in bodies.blocks(block.dataFileList, block.chkAlg):
            validate(generation, "CreateDatasetOrigDatablockDto", body)
    validate(generation, "CreateAttachmentV3Dto", bodies.picture("c", record.thumbnail.thumbnail, OWNED))
    validate(generation, "CreateJobDto", bodies.job("archive", "20.500/X", "p17", "a@x.org"))


@pytest.mark.parametrize("kind", ["raw", "derived"])
def test_the_generated_client_reads_our_bodies(tmp_path: Path, kind: str) -> None:
    sdk = pytest.importorskip("scicat_sdk_py")
    record = make_record(finished(tmp_path, metadata=FACTS))
    body = bodies.Dialect().body(getattr(record, kind), OWNED, "20.500/X")
    read = sdk.CreateDatasetDto.from_dict(body).to_dict()
    assert {key: read[key] for key in ("pid", "type", "ownerGroup", "accessGroups", "datasetName")} == {
        key: body[key] for key in ("pid", "type", "ownerGroup", "accessGroups", "datasetName")
    }


def test_files_are_cut_by_number_and_by_weight() -> None:
    files = [DataFile(path=f"{i}", size=2, time="2026") for i in range(45_000)]
    assert [(len(b["dataFileList"]), b["size"]) for b in bodies.blocks(files, None)] == [
        (20_000, 40_000), (20_000, 40_000), (5_000, 10_000),
    ]  # fmt: skip
    assert list(bodies.blocks([], None)) == []


def test_whose_says_what_is_missing(tmp_path: Path) -> None:
    raw = make_record(finished(tmp_path)).raw
    assert bodies.whose(raw, None, None) == ["owner_group", "owner", "contact_email"]


def test_used_software_has_name_and_version() -> None:
    name, version, *where = used_software().split()
    assert name == "hpcdaas"
    assert version[0].isdigit()
    assert all(url.startswith("https://") and "@" not in url for url in where)
    assert used_software("there-is-none") == "there-is-none unknown"


def test_the_crate_beside_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    result = finished(tmp_path, "a result", metadata={"owner": "A. Person"})
    record = make_record(result)
    path = crate_path(result.path)
    assert path == tmp_path / "a result-ro-crate-metadata.json"
    assert not is_crate_of(record.run, path)
    write_crate(record, path, result.started)
    assert is_crate_of(record.run, path)
    graph = {entity["@id"]: entity for entity in json.loads(path.read_text())["@graph"]}
    (action,) = [entity for entity in graph.values() if entity["@type"] == "CreateAction"]
    assert graph["./"]["mentions"] == {"@id": action["@id"]}
    assert graph["./"]["conformsTo"]["@id"].startswith("https://w3id.org/ro/wfrun/process/")
    made = graph[action["result"][0]["@id"]]
    assert made["@id"] == result.path.as_uri()
    assert made["sha256"] == record.derived_datablocks[0].dataFileList[0].chk
    raw, recipe = (graph[entry["@id"]] for entry in action["object"])
    assert raw["@id"] == result.raw.files[0].as_uri()
    assert json.loads(recipe["text"])["name"] == "tomo-fine"
    assert graph[action["instrument"]["@id"]]["name"] == "hpcdaas"
    assert graph[action["agent"]["@id"]]["@type"] == "Person"
    assert graph[action["environment"][0]["@id"]]["value"] == "4711"
    assert action["startTime"] < action["endTime"]
    # every name that is used is described
    used = {e["@id"] for v in action.values() for e in (v if isinstance(v, list) else [v]) if isinstance(e, dict)}
    assert used <= set(graph)


def test_the_crate_of_very_many_files_names_their_folder(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path))
    (block,) = record.raw_datablocks
    many = block.model_copy(update={"dataFileList": block.dataFileList * 101})
    graph = make_crate(record.model_copy(update={"raw_datablocks": (many,)}))["@graph"]
    assert [e["description"] for e in graph if e["@type"] == "Dataset" and e["@id"] != "./"] == [
        "101 files, 60600 bytes"
    ]


def test_what_is_served_is_in_the_documents(tmp_path: Path, generation: str) -> None:
    """Each route with its method, and each body that the tests of the routes send."""
    known = json.loads((SHARED / f"openapi-{generation}.json").read_text())["paths"]
    routes = {re.sub(r"{\w+}", "{}", path): set(methods) for path, methods in known.items()}
    for path, methods in make_app(EmbeddedCatalog(tmp_path / "c.db")).openapi()["paths"].items():
        assert set(methods) <= routes.get(re.sub(r"{\w+}", "{}", path), set()), path
    for name, body in {
        "CreateDerivedDatasetObsoleteDto": served_documents.derived(pid="20.500/X"),
        "CreateRawDatasetObsoleteDto": served_documents.raw(),
        "CreateDatasetDto": served_documents.v4(),
        "CreateDatasetOrigDatablockDto": served_documents.block(3),
        "CreateAttachmentV3Dto": {"ownerGroup": "p1", "caption": "c", "thumbnail": served_documents.png()},
    }.items():
        validate(generation, name, body)


#: What the documents call required and the servers take without; what servers do counts.
THE_SERVERS_DO_NOT = {
    "CreateDerivedDatasetObsoleteDto": {"datasetName"},
    "CreateRawDatasetObsoleteDto": {"datasetName"},
}


def test_what_the_schemas_require_the_served_routes_require(tmp_path: Path, generation: str) -> None:
    """A body that lacks a field which the document of that generation requires is refused by the served one."""
    schemas = json.loads((SHARED / f"openapi-{generation}.json").read_text())["components"]["schemas"]
    for name, model, body in (
        ("CreateDerivedDatasetObsoleteDto", DerivedV3, served_documents.derived()),
        ("CreateRawDatasetObsoleteDto", RawV3, served_documents.raw()),
        ("CreateDatasetDto", DatasetV4, served_documents.v4()),
        ("CreateDatasetOrigDatablockDto", Block, served_documents.block()),
    ):
        model.model_validate(body)
        for field in set(schemas[name]["required"]) - THE_SERVERS_DO_NOT.get(name, set()):
            with pytest.raises(ValidationError):
                model.model_validate({key: value for key, value in body.items() if key != field})
