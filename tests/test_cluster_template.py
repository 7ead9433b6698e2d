"""Where results go: words in a template, and names that try to get out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdaas.cluster.template import NAME, check_many, complete, fill
from hpcdaas.errors import InputError

WORDS = {"proposal": "p17", "folder": "night", "scan": "bone_3", "recipe": "fine", "run8": "0123abcd"}


def test_folder_gets_the_documented_name(tmp_path: Path) -> None:
    assert complete(str(tmp_path)) == complete(f"{tmp_path}/") == f"{tmp_path}/{NAME}"
    assert fill(complete(str(tmp_path)), WORDS) == tmp_path / "bone_3_fine_0123abcd.h5"


def test_words_become_folders(tmp_path: Path) -> None:
    template = complete(f"{tmp_path}/{{proposal}}/{{folder}}/{{scan}}.h5")
    assert fill(template, WORDS) == tmp_path / "p17/night/bone_3.h5"


def test_relative_template_stays_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = complete("{scan}.h5")
    monkeypatch.chdir("/")
    assert fill(found, WORDS) == tmp_path / "bone_3.h5"


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    [("{scna}.h5", r"uses \{scna\}", "scan"), ("/no/such/folder/{scan}.h5", "no folder /no/such/folder", "Make it")],
)
def test_wrong_template(template: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        complete(template)
    assert hint in caught.value.hint


def test_many_scans_need_names_of_their_own() -> None:
    check_many("/x/{run8}.h5")
    with pytest.raises(InputError, match="the same result"):
        check_many("/x/{recipe}.h5")


@given(st.dictionaries(st.sampled_from(sorted(WORDS)), st.text(max_size=300), min_size=5))
def test_words_from_files_stay_in_the_folder(words: dict[str, str]) -> None:
    found = fill("/results/{proposal}/{folder}/{scan}_{recipe}_{run8}.h5", words)
    assert os.path.normpath(found) == str(found)
    assert found.parts[:2] == ("/", "results")
    assert len(found.parts) == 5
    assert not any(part.startswith(".") or len(part) > 255 * 2 for part in found.parts)
