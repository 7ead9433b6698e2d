"""Whose a scan is: patterns of paths, words in them, and folders that a scan may reach."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hpcdaas.cluster.site.owner import Owner
from hpcdaas.errors import InputError


def owner(pattern: str = "/data/{proposal}/raw/**", **more: object) -> Owner:
    return Owner.model_validate({"pattern": pattern, "roots": ["/data/{proposal}"], **more})


def test_words_of_the_path_fill_the_fields() -> None:
    found = owner(group="p{proposal}", account="acc-{proposal}", access_groups=["{proposal}", "staff"]).of(
        Path("/data/17/raw/night/scan.nxs")
    )
    assert found is not None
    assert (found.group, found.account, found.access_groups, found.roots) == (
        "p17", "acc-17", ("17", "staff"), ("/data/17",)
    )  # fmt: skip
    assert found.options() == {"account": "acc-17"}


@pytest.mark.parametrize("path", ["/data/17/scan.nxs", "/data/a/b/raw/scan.nxs", "/elsewhere/17/raw/x", "/data//raw/x"])
def test_other_paths_are_nobody_s(path: str) -> None:
    assert owner().of(Path(path)) is None


def test_pattern_is_no_expression() -> None:
    assert owner("/data/(a|b)+.*/{proposal}/*").of(Path("/data/(a|b)+.x/17/s")) is not None
    assert owner("/data/(a|b)+.*/{proposal}/*").of(Path("/data/ab/17/s")) is None


def test_a_word_that_the_pattern_lacks() -> None:
    with pytest.raises(InputError, match="{beamline}"):  # noqa: RUF043
        owner(group="{beamline}").of(Path("/data/17/raw/x"))


@pytest.mark.parametrize("pattern", ["data/*", "/data/{a}/{a}"])
def test_wrong_pattern(pattern: str) -> None:
    with pytest.raises(ValidationError):
        owner(pattern)


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    (other / "secret.h5").touch()
    (mine / "scan.h5").touch()
    (mine / "link.h5").symlink_to(other / "secret.h5")
    rule = Owner.model_validate({"pattern": "/**", "roots": [str(mine)]})
    rule.check_roots([mine / "scan.h5"])
    with pytest.raises(InputError, match=r"other/secret\.h5, which is outside of"):
        rule.check_roots([mine / "scan.h5", mine / "link.h5"])
    with pytest.raises(InputError, match="outside"):
        rule.check_roots([mine / "../other/secret.h5"])
