import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from catalog_runs import finished
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import Record
from hpcdaas.catalog.store import open_catalog
from hpcdaas.cli.catalog import app, bytes_for_people
from hpcdaas.errors import InputError


@pytest.fixture
def catalog(tmp_path: Path) -> tuple[str, Record]:
    uri = str(tmp_path / "c.db")
    run = make_record(finished(tmp_path, "tooth_[red]\x1b[31m", metadata={"sample": "[bold]x\x07"}))
    open_catalog(uri).register(run)
    return uri, run


def call(*arguments: str) -> str:
    answer = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_list_as_json_is_a_list_with_scicats_names(catalog: tuple[str, Record]) -> None:
    uri, run = catalog
    found = json.loads(call("list", "--catalog", uri, "--json"))
    assert {d["pid"] for d in found} == {run.raw.pid, run.derived.pid}
    assert [d["type"] for d in json.loads(call("list", "--catalog", uri, "--type", "raw", "--json"))] == ["raw"]


def test_list_for_people(catalog: tuple[str, Record]) -> None:
    uri, run = catalog
    shown = call("list", "--catalog", uri)
    assert run.derived.pid[:8] in shown
    assert "[red]" in shown  # names are no markup
    assert "\x1b" not in shown  # and steer no terminal


def test_show(catalog: tuple[str, Record]) -> None:
    uri, run = catalog
    found = json.loads(call("show", run.derived.pid[:8], "--catalog", uri, "--json"))
    assert found["pid"] == run.derived.pid
    assert found["inputDatasets"] == [run.raw.pid]
    shown = call("show", run.derived.pid, "--catalog", uri)
    for text in (run.raw.pid, "PaNET01207", "reconstructionParameters.fine.eps", "295.5 pixel", "sha256"):
        assert text in shown
    assert "\x1b" not in shown
    shown = call("show", run.raw.pid, "--catalog", uri)
    assert run.derived.pid in shown
    assert "[bold]x" in shown
    assert "\x07" not in shown


def test_an_empty_default_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", os.fspath(tmp_path))
    assert json.loads(call("list", "--json")) == []
    assert call("list").strip() == "The catalogue is empty."


def test_errors_are_left_to_the_caller(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no catalogue"):
        call("show", "x", "--catalog", str(tmp_path / "c.db"))


def test_sizes_for_people() -> None:
    assert [bytes_for_people(n) for n in (0, 999, 1000, 34_359_738_368, 2e15)] == [
        "0 B", "999 B", "1 kB", "34.4 GB", "2 PB",
    ]  # fmt: skip
