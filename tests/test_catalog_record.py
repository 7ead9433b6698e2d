import base64
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_runs import finished, hexdigest
from hpcdaas.catalog import make
from hpcdaas.catalog.make import datablocks, make_record
from hpcdaas.catalog.metadata import clean, entries, plain
from hpcdaas.catalog.record import Record, read_record, record_path, write_record
from hpcdaas.errors import InputError
from hpcdaas.run import pid


def test_derived_is_linked_to_raw_and_both_pids_follow_from_identities(tmp_path: Path) -> None:
    result = finished(tmp_path)
    record = make_record(result, "20.500/")
    assert record.derived.pid == pid(result.run, "20.500/")
    assert record.raw.pid == pid(hexdigest("scan1"), "20.500/")
    assert record.derived.inputDatasets == (record.raw.pid,)
    assert record.run == result.run


def test_record_says_what_was_done(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path))
    derived = record.derived
    assert derived.creationTime == "2026-03-01T12:01:00.000Z"
    assert derived.techniques[0].pid.endswith("PaNET01207")
    assert derived.usedSoftware[0].startswith("hpcdaas ")
    assert derived.jobParameters["step"][1] == {"use": "fbp", "name": "fine", "eps": 1e-3}
    metadata = derived.scientificMetadata
    assert metadata["center"] == {"value": 295.5, "unit": "pixel"}
    assert metadata["run"] == {"value": record.run, "unit": ""}
    parameters = metadata["reconstructionParameters"]
    assert parameters["scan"]["pixel_size"] == {"value": 6.5e-7, "unit": "m"}
    assert "center" not in parameters["scan"]  # not set
    assert parameters["fine"]["eps"] == {"value": 1e-3, "unit": ""}


def test_files_of_the_result_have_checksums_and_those_of_the_scan_only_sizes(tmp_path: Path) -> None:
    result = finished(tmp_path)
    record = make_record(result)
    (block,) = record.derived_datablocks
    (file,) = block.dataFileList
    content = result.path.read_bytes()
    assert (file.path, file.size, file.chk) == ("tooth.h5", len(content), hashlib.sha256(content).hexdigest())
    assert (block.chkAlg, block.size) == ("sha256", len(content))
    (raw_block,) = record.raw_datablocks
    assert raw_block.size == 600
    assert raw_block.chkAlg is None
    assert raw_block.dataFileList[0].chk is None
    assert raw_block.dataFileList[0].path == "scan1.h5"
    assert record.raw.scientificMetadata["raw_identity"]["value"] == result.raw.identity


def test_a_result_that_is_a_folder_lists_all_its_files(tmp_path: Path) -> None:
    result = finished(tmp_path)
    stack = tmp_path / "stack"
    stack.mkdir()
    for i in range(3):
        (stack / f"{i}.tif").write_bytes(b"x" * i)
    record = make_record(type(result)(**{**vars(result), "path": stack}))
    assert record.derived.sourceFolder == str(stack)
    assert [f.path for f in record.derived_datablocks[0].dataFileList] == ["0.tif", "1.tif", "2.tif"]


def test_raw_files_in_several_folders_are_relative_to_the_folder_above(tmp_path: Path) -> None:
    for name in ("scan/a.h5", "flats/b.h5"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    record = make_record(finished(tmp_path, files=(tmp_path / "scan/a.h5", tmp_path / "flats/b.h5")))
    assert record.raw.sourceFolder == str(tmp_path)
    assert [f.path for f in record.raw_datablocks[0].dataFileList] == ["scan/a.h5", "flats/b.h5"]


def test_people_and_groups_come_from_the_raw_file_or_stay_unknown(tmp_path: Path) -> None:
    silent = make_record(finished(tmp_path))
    for dataset in (silent.raw, silent.derived):
        assert dataset.owner is dataset.ownerGroup is dataset.contactEmail is None
    known = {
        "owner": "A. Person",
        "owner_group": "p123",
        "contact_email": "a@x.org",
        "proposal": "2026-7",
        "title": " ",
    }
    record = make_record(finished(tmp_path, metadata=known))
    for dataset in (record.raw, record.derived):
        assert (dataset.owner, dataset.ownerGroup, dataset.contactEmail) == ("A. Person", "p123", "a@x.org")
        assert dataset.proposalId == "2026-7"
    assert record.raw.description is None


def test_raw_times_become_utc_and_what_is_no_time_is_left_out(tmp_path: Path) -> None:
    times = {"start_time": "2026-03-01T12:00:00+02:00", "end_time": "yesterday"}
    record = make_record(finished(tmp_path, metadata=times))
    assert record.raw.startTime == record.raw.creationTime == "2026-03-01T10:00:00.000Z"
    assert record.raw.endTime is None


def test_raw_metadata_are_grouped_and_have_units(tmp_path: Path) -> None:
    metadata = {
        "energy": {"value": 25e3, "unit": "eV"},
        "exposure_time": {"value": 0.1, "unit": "s"},
        "sample": "tooth",
    }
    found = make_record(finished(tmp_path, metadata=metadata)).raw.scientificMetadata
    assert found["beamlineParameters"] == {"energy": {"value": 25e3, "unit": "eV"}}
    assert found["detectorParameters"]["exposure_time"]["unit"] == "s"
    assert found["scanParameters"]["sample"] == {"value": "tooth", "unit": ""}
    assert found["scanParameters"]["shape"]["value"] == [181, 2, 640]


def test_no_key_of_a_record_holds_what_scicat_refuses(tmp_path: Path) -> None:
    metadata = {"a.b": 1, "a$b": 2, "a_b": 3, "<x>[0]": {"value": 1, "unit": "m"}}
    record = make_record(finished(tmp_path, metadata=metadata))

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(keys(item) for item in value.values()))
        return set().union(*(keys(item) for item in value)) if isinstance(value, list) else set()

    found = keys(json.loads(record.model_dump_json()))
    assert not [key for key in found if set(key) & set(".$[]<>")]
    assert record.raw.scientificMetadata["scanParameters"]["a_b"]["value"] == 3


@given(st.dictionaries(st.text(".$ab_", max_size=4), st.integers(), max_size=8))
def test_cleaning_keys_loses_no_value(values: dict[str, int]) -> None:
    cleaned = clean(values)
    assert sorted(cleaned.values()) == sorted(values.values())
    assert all(cleaned[key] == values[key] for key in values if key and not set(key) & set(".$"))


def test_entries_take_numpy_values_and_numbers_that_are_not_finite() -> None:
    found = entries({"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": None, "e": b"x", "f": np.True_})
    assert {key: entry["value"] for key, entry in found.items()} == {
        "a": 0.5,
        "b": [0, 1],
        "c": "nan",
        "e": "x",
        "f": True,
    }
    assert json.dumps(plain({"p": Path("/x"), "t": (1, 2)})) == '{"p": "/x", "t": [1, 2]}'


def test_many_files_come_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "FILES_PER_BLOCK", 2)
    files = [tmp_path / str(i) for i in range(5)]
    for file in files:
        file.write_bytes(b"12")
    assert [(len(b.dataFileList), b.size) for b in datablocks(files, tmp_path)] == [(2, 4), (2, 4), (1, 2)]


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    result = finished(tmp_path)
    result.path.unlink()
    with pytest.raises(InputError, match=r"tooth\.h5 can't be read"):
        make_record(result)


def test_the_thumbnail_becomes_a_data_uri(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path), thumbnail=b"\x89PNG")
    assert record.thumbnail is not None
    assert base64.b64decode(record.thumbnail.thumbnail.removeprefix("data:image/png;base64,")) == b"\x89PNG"


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path, os.fsdecode(b"caf\xe9"), metadata={"sample": os.fsdecode(b"\xe9")}))
    write_record(record, tmp_path / "r.json")
    assert read_record(tmp_path / "r.json").derived.datasetName == "caf\ufffd"


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tooth.record.json"
    first, second = (make_record(finished(tmp_path, name), thumbnail=b"png") for name in ("a", "b"))
    write_record(first, path)
    write_record(second, path)
    assert read_record(path) == second
    assert path.stat().st_mode & 0o777 == 0o660
    assert sorted(tmp_path.glob(".*")) == []


def test_where_the_record_lies() -> None:
    assert record_path(Path("/d/scan.1_fine.h5")) == Path("/d/scan.1_fine.record.json")
    assert record_path(Path("/d/stack.1")) == Path("/d/stack.1.record.json")


def test_a_record_that_cant_be_written_leaves_nothing(tmp_path: Path) -> None:
    record = make_record(finished(tmp_path))
    with pytest.raises(InputError, match="can't be written"):
        write_record(record, tmp_path / "missing" / "r.json")
    (tmp_path / "r.json").mkdir()  # a rename onto a folder fails, after the temporary file was written
    with pytest.raises(InputError, match="can't be written"):
        write_record(record, tmp_path / "r.json")
    assert sorted(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no record"),
        (b"\xff\xfe", "is no record"),
        (b'{"version": 1}', "is no record"),
        (b'{"version": 99, "run": "x"}', "newer hpcdaas"),
        (None, "can't be read"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "r.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_record(path)
    assert "\n" not in caught.value.message


def test_a_record_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(make_record(finished(tmp_path)), path)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_record(path)


def test_the_json_has_scicats_names(tmp_path: Path) -> None:
    document = json.loads(make_record(finished(tmp_path)).model_dump_json(exclude_none=True))
    assert isinstance(Record.model_validate(document), Record)
    assert {"pid", "type", "datasetName", "sourceFolder", "creationTime", "scientificMetadata", "techniques"} <= set(
        document["raw"]
    )
    assert {"inputDatasets", "usedSoftware", "jobParameters"} <= set(document["derived"])
    assert set(document["derived_datablocks"][0]["dataFileList"][0]) == {"path", "size", "time", "chk"}
