import os
import re
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcdaas.cli.report import report
from hpcdaas.errors import InputError
from hpcdaas.view.report import make_report
from view_results import phantom, write_result, write_volume

EVIL = '<script>alert("1")</script>&amp;\'><img src=http://example.org/x onerror=alert(2)>'


class Page(HTMLParser):
    """Tags, text and what the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(path: Path) -> Page:
    return Page(path.read_text())


def test_the_page_shows_pictures_parameters_metrics_and_provenance(tmp_path: Path) -> None:
    path = make_report(write_result(tmp_path / "tooth.h5"))
    assert path == tmp_path / "tooth_report" / "tooth.html"
    names = {p.name for p in path.parent.iterdir()}
    pictures = {f"tooth_{name}.png" for name in ("cuts", "center", "sinogram", "histogram")}
    assert names == pictures | {"tooth.html"}
    page = page_of(path)
    assert page.tags.count("img") == 4
    for text in (
        "256 × 256 × 64", "0.65 µm", "column 127.53", "confidence 0.87", "hpcdaas 0.1.0", "0f3c9a77",
        "tomo-fine", "fine (fbp)", "ramp", "0.001", "pixel size 0.65 µm",
        "/data/raw/tooth.h5", "/data/raw/tooth_data.h5", "ab12ab12", "2026-03-01 12:34 UTC", "nonpositive 12",
    ):  # fmt: skip
        assert text in page.text, text


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    path = make_report(write_result(tmp_path / "r.h5", (4, 32, 32)))
    page = page_of(path)
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?://|url\(|@import", re.sub('base64,[^"]*', "", path.read_text()))


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    result = write_result(tmp_path / "r.h5", (4, 32, 32), EVIL)
    with h5py.File(result, "a") as file:
        for name in file["entry/process"]:
            del file[f"entry/process/{name}"]
            file[f"entry/process/{name}"] = EVIL
        del file["entry/title"]
        file["entry/title"] = EVIL
        file[f"entry/metrics/{EVIL.replace('/', '')}"] = 1
    plain = page_of(make_report(write_result(tmp_path / "plain.h5", (4, 32, 32))))
    page = page_of(make_report(result))
    assert page.tags.count("img") == 4
    assert set(page.tags) <= set(plain.tags)
    assert page.attributes == plain.attributes
    assert EVIL in page.text


def test_recipes_are_escaped_too(tmp_path: Path) -> None:
    result = write_volume(tmp_path / "r.h5", phantom((1, 32, 32)))
    with h5py.File(result, "a") as file:
        file["entry/process/recipe"] = (
            '{"name": "<b>", "step": [{"use": "<i>", "<u>": "<s>"}, 7], "scan": {"<q>": [1]}}'
        )
    page = page_of(make_report(result))
    assert not {"b", "i", "u", "s", "q"} & set(page.tags)
    for text in ("<b>", "<i>", "<u> <s>", "<q> [1]"):
        assert text in page.text


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    path = make_report(write_volume(tmp_path / "r.h5", phantom((1, 32, 32)), pixel=None))
    page = page_of(path)
    for text in (
        "size unknown",
        "No trial centres were kept",
        "The result holds no sinogram",
        "The result holds no metrics",
        "doesn't say with which recipe",
        "raw file not in the file",
        "The only slice",
    ):
        assert text in page.text, text
    assert page.tags.count("img") == 2
    assert "None" not in page.text


@pytest.mark.parametrize("recipe", ["", "no JSON", "[1]", '{"step": 3, "scan": []}', '{"step": [{}]}'])
def test_odd_recipes_do_not_stop_the_report(tmp_path: Path, recipe: str) -> None:
    result = write_volume(tmp_path / "r.h5", phantom((1, 32, 32)))
    with h5py.File(result, "a") as file:
        file["entry/process/recipe"] = recipe
    assert make_report(result).exists()


def test_odd_diagnostics_do_not_stop_the_report(tmp_path: Path) -> None:
    result = write_volume(tmp_path / "r.h5", np.full((2, 32, 32), np.nan, np.float32))
    with h5py.File(result, "a") as file:
        file["entry/diagnostics/sinogram"] = np.ones(3)
        file["entry/diagnostics/sinogram_raw"] = np.ones((3, 4), np.uint16)
        file["entry/diagnostics/center_trials"] = np.ones((2, 3, 4))
        file["entry/diagnostics/center_values"] = np.ones(3)
        file["entry/metrics/center"] = np.nan
    page = page_of(make_report(result))
    assert "Only the sinogram before correction" in page.text
    assert "No trial centres" in page.text


def test_reports_of_several_results_share_a_folder(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        make_report(write_volume(tmp_path / name, phantom((1, 32, 32))), tmp_path / "deep" / "out")
    assert {"a.html", "b.html", "a_cuts.png", "b_cuts.png"} <= {p.name for p in (tmp_path / "deep/out").iterdir()}


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    result = write_volume(tmp_path / "r.h5", phantom((1, 32, 32)))
    odd = tmp_path / os.fsdecode(b"caf\xe9.h5")
    result.rename(odd)
    assert make_report(odd).read_text()


def test_a_folder_that_cant_be_made(tmp_path: Path) -> None:
    result = write_volume(tmp_path / "r.h5", phantom((1, 32, 32)))
    with pytest.raises(InputError, match="can't be made"):
        make_report(result, result / "below a file")


def test_a_bad_result_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "r.h5").write_text("hello")
    with pytest.raises(InputError):
        make_report(tmp_path / "r.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


def test_the_command_prints_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(write_volume(tmp_path / "r.h5", phantom((1, 32, 32))), tmp_path / "out")
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "r.html")
