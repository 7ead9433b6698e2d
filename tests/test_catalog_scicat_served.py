"""The client against `hpcdaas catalog serve`, over real HTTP."""

import time
from pathlib import Path
from typing import Any

import pytest

from catalog_runs import finished
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.outcome import Refused
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.settings import CatalogSettings
from served import PASSWORD, served


def client(server: Any, tmp_path: Path, account: str = "ingestor", group: str = "p1", **more: Any) -> Scicat:
    told = {"username": account, "password": PASSWORD, "owner_group": group, "owner": "A. Person",
            "contact_email": "a@x.org", "access_groups": ("ingestor",), **more}  # fmt: skip
    return Scicat(server.url, CatalogSettings.model_validate(told), state=tmp_path / "state", patience=10.0)


@pytest.mark.parametrize("generation", ["v4", "v5"])
def test_register_find_and_show(tmp_path: Path, generation: str) -> None:
    with served(tmp_path, generation=generation) as server:
        catalog = client(server, tmp_path, register_raw=True, prefix="20.500.12345/")
        record = make_record(finished(tmp_path), thumbnail=b"\x89PNG")
        pid = catalog.register(record)
        assert catalog.register(record) == pid
        assert {d["type"] for d in catalog.datasets()} == {"raw", "derived"}
        shown = catalog.dataset(pid)
        assert shown["numberOfFiles"] == 1
        assert len(shown["attachments"]) == 1
        assert catalog.dataset(shown["inputDatasets"][0])["derivedDatasets"] == [pid]
        assert catalog.dataset(pid.split("/")[1][:8])["pid"] == pid
        assert len(EmbeddedCatalog(server.catalog).datasets()) == 2
        with pytest.raises(Refused):
            catalog.job("retrieve", pid)
        assert catalog.job("archive", pid)


def test_the_list_is_searched_filtered_and_cut(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        catalog = client(server, tmp_path, register_raw=True, proposal="2026-1")
        for i in range(3):
            technique = "ptychography" if i == 2 else "tomography"
            record = make_record(finished(tmp_path, f"tooth{i}", scan=f"scan{i}", ended=i, technique=technique))
            catalog.register(record)
        assert [d["datasetName"] for d in catalog.datasets(text="tooth1")] == ["tooth1"]
        assert [d["datasetName"] for d in catalog.datasets(text="fine", type="derived", limit=2)] == [
            "tooth2",
            "tooth1",
        ]
        assert [d["datasetName"] for d in catalog.datasets(type="derived", technique="PaNET01212")] == ["tooth2"]
        assert len(catalog.datasets(proposal="2026-1")) == 6
        assert catalog.datasets(text="tooth1", proposal="2026-2") == []


def test_a_user_who_may_choose_no_pid(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        record = make_record(finished(tmp_path))
        pid = client(server, tmp_path, "alice").register(record)
        assert client(server, tmp_path / "else", "alice").register(record) == pid
        assert len(EmbeddedCatalog(server.catalog).datasets()) == 1


@pytest.mark.parametrize("generation", ["v4", "v5"])
def test_short_tokens(tmp_path: Path, generation: str) -> None:
    with served(tmp_path, generation=generation, token_life=2) as server:
        catalog = client(server, tmp_path)
        for i in range(3):
            catalog.register(make_record(finished(tmp_path, f"r{i}")))
            time.sleep(1.2)
        assert len(catalog.datasets()) == 3
