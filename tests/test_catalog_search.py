"""Filters and words, held against Python's own regular expressions and comparisons over the same datasets."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from catalog_runs import finished, hexdigest
from hpcdaas.catalog import embedded_search as search
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.embedded_search import Query, count, find, values_of
from hpcdaas.catalog.embedded_where import BadFilter, condition
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import Record

Document = dict[str, Any]


def a_record(folder: Path, i: int) -> Record:
    technique = "ptychography" if i % 3 == 0 else "tomography"
    told = {"proposal": f"2026-{i % 4}", "sample": f"Zahn_n{i:02}", "energy": {"value": 8e3 + 1e3 * i, "unit": "eV"},
            "owner_group": f"p{i % 2}", "title": "Größe einer Spitzmaus" if i == 5 else None}  # fmt: skip
    scan = f"scan_{i:02}.a" if i % 2 else f"Scan-{i:02}"
    result = finished(folder, f"slice s{i:02}", scan=scan, technique=technique, metadata=told, ended=i,
                      identity=hexdigest(scan))  # fmt: skip
    return make_record(result, "20.500/" if i % 2 else "")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedCatalog:
    folder = tmp_path_factory.mktemp("search")
    made = EmbeddedCatalog(folder / "c.db")
    for i in range(12):
        made.register(a_record(folder, i))
    return made


def asked(catalog: EmbeddedCatalog, where: Any) -> set[str]:
    found = find(catalog, Query([condition(where)]))
    assert count(catalog, Query([condition(where)])) == len(found)
    return {row["pid"] for row in found}


def like(pattern: str, field: str = "pid", flags: int = 0) -> Callable[[Document], bool]:
    return lambda d: re.search(pattern, d.get(field) or "", flags) is not None


def energy(d: Document) -> float:
    return float(d["scientificMetadata"].get("beamlineParameters", {}).get("energy", {}).get("value", -1))


ENERGY = "scientificMetadata.beamlineParameters.energy.value"
CASES: list[tuple[Any, Callable[[Document], bool]]] = [
    ({}, lambda d: True),
    ({"type": "raw"}, lambda d: d["type"] == "raw"),
    ({"pid": {"$regex": "(^|/)4"}}, like("(^|/)4")),
    ({"pid": {"$regex": "^20[.]500/".replace("[.]", ".")}}, like(r"^20\.500/")),
    ({"datasetName": {"$regex": "^scan", "$options": "i"}}, like("^scan", "datasetName", re.I)),
    ({"datasetName": {"$regex": "^scan"}}, like("^scan", "datasetName")),
    ({"datasetName": {"like": "0.*a$"}}, like("0.*a$", "datasetName")),
    ({"datasetName": {"regexp": "(slice s0|slice s1)(1|2)$"}}, like("(slice s0|slice s1)(1|2)$", "datasetName")),
    ({"datasetName": {"ilike": "n_0"}}, like("n_0", "datasetName", re.I)),  # no wildcard of SQL's
    ({"proposalId": {"inq": ["2026-1", "2026-3"]}}, lambda d: d.get("proposalId") in ("2026-1", "2026-3")),
    ({"proposalId": {"$nin": ["2026-1"]}}, lambda d: d.get("proposalId") != "2026-1"),
    ({"proposalId": {"neq": "2026-1"}}, lambda d: d.get("proposalId") != "2026-1"),
    ({"proposalIds": "2026-2"}, lambda d: d.get("proposalId") == "2026-2"),
    ({ENERGY: {"gt": 11e3}}, lambda d: energy(d) > 11e3),
    ({ENERGY: {"between": [9e3, 12e3]}}, lambda d: 9e3 <= energy(d) <= 12e3),
    ({ENERGY: {"$gte": 9e3, "$lt": 12e3}}, lambda d: 9e3 <= energy(d) < 12e3),
    ({ENERGY: {"exists": False}}, lambda d: energy(d) < 0),
    ({"techniques.pid": {"$regex": "PaNET01212$"}}, lambda d: d["techniques"][0]["pid"].endswith("PaNET01212")),
    ({"usedSoftware": {"$exists": True}}, lambda d: "usedSoftware" in d),
    ({"$or": [{"type": "raw"}, {"proposalId": "2026-0"}]}, lambda d: d["proposalId"] == "2026-0" or d["type"] == "raw"),
    ({"and": [{"type": "raw"}, {"size": {"gt": 1}}]}, lambda d: d["type"] == "raw" and d["size"] > 1),
    ({"ownerGroup": "p1' OR 1=1 --"}, lambda d: False),
    ({'x") OR 1=1 --': 1}, None),
    ({"pid') OR ('1": "1"}, lambda d: False),
]  # fmt: skip


@pytest.mark.parametrize(("where", "holds"), CASES, ids=lambda x: str(x)[:60] if isinstance(x, dict) else "")
def test_a_filter_finds_what_python_finds(
    catalog: EmbeddedCatalog, where: Any, holds: Callable[[Document], bool] | None
) -> None:
    if holds is None:
        with pytest.raises(BadFilter):
            condition(where)
        return
    assert asked(catalog, where) == {d["pid"] for d in catalog.datasets() if holds(d)}


def test_inputs_lead_to_what_was_made_of_them(catalog: EmbeddedCatalog) -> None:
    derived = catalog.datasets(type="derived")[3]
    assert asked(catalog, {"inputDatasets": derived["inputDatasets"][0]}) == {derived["pid"]}


@pytest.mark.parametrize(
    "where",
    [[], "x", {"pid": {"$regex": "(a+)+$"}}, {"pid": {"$regex": "[a"}}, {"pid": {"$regex": 1}},
     {"pid": {"like": "a{9}"}}, {"pid": {"$regex": "%" * 9}}, {"pid": {"$regex": "(a|b)" * 9}},
     {"pid": {"inq": "x"}}, {"pid": {"gt": {}}},
     {"and": [{"and": [{"and": [{"and": [{"and": [{"and": [{"and": [{"and": [{"and": [{}]}]}]}]}]}]}]}]}]}],
    ids=str,
)  # fmt: skip
def test_what_is_no_filter_or_could_take_for_ever_is_refused(where: Any) -> None:
    with pytest.raises(BadFilter):
        condition(where)


# words


@contextmanager
def no_index(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As with an SQLite that has no full-text index."""
    with monkeypatch.context() as patched:
        patched.setattr(search, "_has_fts5", lambda db: False)
        yield


@pytest.mark.parametrize(
    ("text", "found"),
    [("zahn n07", ["scan_07.a"]), ("GROSSE", ["scan_05.a"]), ("größe spitz", ["scan_05.a"]),
     ("slice s0", [f"slice s0{i}" for i in range(10)]), ("ahn", []), ("zahn elephant", []), ("...", []),
     ("ptychography zahn n0", [f"scan_0{i}.a" if i % 2 else f"Scan-0{i}" for i in (0, 3, 6, 9)])],
)  # fmt: skip
def test_all_words_are_there_with_and_without_an_index(
    catalog: EmbeddedCatalog, text: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed = sorted(d["datasetName"] for d in catalog.datasets(text=text))
    with no_index(monkeypatch):
        assert sorted(d["datasetName"] for d in catalog.datasets(text=text)) == indexed
    assert indexed == sorted(found)


def test_what_is_new_changed_or_gone_is_found_as_it_is(tmp_path: Path) -> None:
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    first, second = a_record(tmp_path, 1), a_record(tmp_path, 2)
    catalog.register(first)
    assert len(catalog.datasets(text="Zahn")) == 1
    catalog.register(second)
    assert len(catalog.datasets(text="Zahn")) == 2
    again = first.derived.model_copy(update={"description": "elephant", "creationTime": "2027-01-01T00:00:00.000Z"})
    catalog.register(first.model_copy(update={"derived": again}))
    assert [d["pid"] for d in catalog.datasets(text="elephant")] == [first.derived.pid]
    assert [d["pid"] for d in catalog.datasets(text="with the recipe")] == [second.derived.pid]  # the old one had it


def test_a_catalogue_that_may_only_be_read_is_searched(catalog: EmbeddedCatalog, tmp_path: Path) -> None:
    copy = tmp_path / "c.db"
    copy.write_bytes(catalog.path.read_bytes())
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE dataset SET indexed = 0")
    db.close()

    class ReadOnly(EmbeddedCatalog):
        def transaction(self, write: bool = False) -> Any:
            if write:
                raise search.HpcdaasError("The disk is full.")
            return super().transaction()

    assert len(ReadOnly(copy).datasets(text="Zahn")) == len(catalog.datasets(text="Zahn")) == 12


def test_pages_counts_and_values(catalog: EmbeddedCatalog) -> None:
    everything = [d["pid"] for d in catalog.datasets()]
    assert len(everything) == 24
    assert [d["pid"] for d in catalog.datasets(limit=5)] == everything[:5]
    order = (("creationTime", True), ("type", False))
    pages = [find(catalog, Query(order=order, skip=skip, limit=7)) for skip in range(0, 28, 7)]
    assert [row["pid"] for page in pages for row in page] == everything
    found = values_of(catalog, ("proposal", "type"), Query([condition({"type": "raw"})]))
    assert found == {"proposal": [(f"2026-{i}", 3) for i in range(4)], "type": [("raw", 12)]}
