"""The pages of `hpcdaas catalog serve` in a real browser: as it renders them, and as it paints them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from browser import Page, find_browser, page, pixels
from catalog_runs import finished, hexdigest
from hpcdaas.catalog.embedded import EmbeddedCatalog
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import Record
from served import Served, served

#: Of the pictures; no style has it.
COLOUR = (255, 0, 200)
SCANS = 14


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, records: dict[str, Record]) -> Iterator[Served]:
    """14 scans with a result each: tomography of proposal 2026-1, every third one ptychography of 2026-2."""
    find_browser()
    folder = tmp_path_factory.mktemp("pages")
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), COLOUR).save(stream, "PNG")
    catalog = EmbeddedCatalog(folder / "catalog.db")
    for i in range(SCANS):
        technique, proposal = ("ptychography", "2026-2") if i % 3 == 2 else ("tomography", "2026-1")
        told = {"proposal": proposal, "owner": "A. Person", "sample": f"tooth of a shrew, no{i}",
                "start_time": f"2026-03-01T11:{i:02}:00Z", "energy": {"value": 25e3, "unit": "eV"}}  # fmt: skip
        result = finished(folder, f"slice{i:02}", scan=f"scan{i:02}", ended=i, technique=technique, metadata=told,
                          identity=hexdigest(f"scan{i:02}"))  # fmt: skip
        records[result.path.stem] = make_record(result, "20.500/", thumbnail=stream.getvalue(), log="centre 295.5")
        catalog.register(records[result.path.stem])
    with served(folder, logins=False, catalog=catalog.path) as running:
        yield running


def listed(server: Served, **asked: str) -> Page:
    return page(f"{server.url}/?{urlencode(asked)}")


def names(found: Page) -> list[str]:
    return [text for text, links in found.links.items() for link in links if link.startswith("/dataset/")]


def test_the_list_newest_first_and_its_pages(server: Served) -> None:
    found = listed(server)
    assert "1 to 25 of 28, newest first" in found.text
    assert names(found)[:2] == ["slice13", "slice12"]
    assert found.choices["type"] == {"derived": "derived (14)", "raw": "raw (14)"}
    assert found.choices["proposal"] == {"2026-1": "2026-1 (20)", "2026-2": "2026-2 (8)"}
    assert found.choices["technique"] == {
        "PaNET01207": "x-ray tomography (20)", "PaNET01212": "ptychography (8)",
    }  # fmt: skip
    (older,) = found.links["Older →"]
    second = page(server.url + older)
    assert "26 to 28 of 28" in second.text
    assert not set(names(found)) & set(names(second))


def test_words_are_searched(server: Served) -> None:
    found = listed(server, q="SHREW no7")
    assert names(found) == ["scan07"]
    assert found.chosen["q"] == "SHREW no7"
    assert names(listed(server, q="slice07")) == ["slice07"]
    nothing = listed(server, q="elephant")
    assert "No dataset matches" in nothing.text
    assert nothing.links["Show all"] == ["/"]


def test_filters_by_proposal_technique_and_type(server: Served) -> None:
    found = listed(server, proposal="2026-2", technique="PaNET01212", type="derived")
    assert names(found) == ["slice11", "slice08", "slice05", "slice02"]
    assert found.chosen["proposal"] == "2026-2"
    assert found.chosen["technique"] == "PaNET01212"
    assert names(listed(server, proposal="2026-2", technique="PaNET01207")) == []
    assert len(names(listed(server, proposal="2026-1", type="raw"))) == 10


def test_a_page_tells_all_of_a_dataset_and_leads_from_derived_to_raw_and_back(
    server: Served, records: dict[str, Record]
) -> None:
    (link,) = listed(server, q="slice03").links["slice03"]
    derived = page(server.url + link)
    record = records["slice03"]
    checksum = record.derived_datablocks[0].dataFileList[0].chk
    assert checksum is not None
    for text in (record.derived.pid, "x-ray tomography", "2026-1", "A. Person", "Reconstruction: fine", "295.5 pixel",
                 "0.001", "640 × 640", "slice03.h5", checksum, "Recipe, resolved", "centre 295.5",
                 "Made from"):  # fmt: skip
        assert text in derived.text
    assert next(iter(derived.pictures.values())) == "slice03: the middle slice"
    (to_raw,) = derived.links["scan03"]
    raw = page(server.url + to_raw)
    for text in (record.raw.pid, "tooth of a shrew, no3", "25 keV", "scan03.h5", "Made from it"):
        assert text in raw.text
    (back,) = raw.links["slice03"]
    assert page(server.url + back).text == derived.text


def test_pictures_are_painted_in_the_list_and_on_the_page(server: Served, tmp_path: Path) -> None:
    def painted(path: str) -> int:
        near = np.abs(pixels(server.url + path, tmp_path / "page.png").astype(int) - COLOUR).max(axis=-1) < 12
        return int(near.sum())

    thumb = 5.4 * 16
    assert painted("/?type=derived") > 10 * (thumb - 14) ** 2  # as many as fit on the screen; corners are round
    (link,) = listed(server, q="slice03").links["slice03"]
    assert painted(link) > 250**2
    assert painted("/?type=raw") == 0


def test_the_page_is_styled_and_asks_nobody_else(server: Served, tmp_path: Path) -> None:
    """The style comes through the policy that forbids everything foreign; a page that lost it would be white."""
    found = pixels(f"{server.url}/", tmp_path / "page.png")
    assert tuple(found[200, 10]) == (0xF6, 0xF7, 0xF8)
    html = page(f"{server.url}/").html
    assert "http://" not in html.replace(server.url, "")
    assert "https://" not in html
    assert "<script" not in html


def test_names_from_files_are_text(tmp_path: Path) -> None:
    find_browser()
    nasty = "<script>document.title='taken'</script><img src=x onerror=alert(1)>&lt;"
    catalog = EmbeddedCatalog(tmp_path / "c.db")
    record = make_record(finished(tmp_path, metadata={"title": nasty, "proposal": nasty, "sample": nasty}))
    named = record.model_copy(update={"raw": record.raw.model_copy(update={"datasetName": nasty})})
    catalog.register(named)
    with served(tmp_path, logins=False, catalog=catalog.path) as server:
        for path in ("/", f"/?{urlencode({'q': nasty, 'proposal': nasty})}", f"/dataset/{record.raw.pid}"):
            found = page(server.url + path)
            assert "<title>taken" not in found.html
            assert "<script" not in found.html
            assert "x" not in found.pictures
        assert nasty in found.text
        assert json.dumps(found.links)
