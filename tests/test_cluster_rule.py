"""Which files are scans, and what shows that one is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcdaas.cluster.site.rule import Rule, load_rules
from hpcdaas.errors import InputError


@pytest.mark.parametrize(
    "path", ["a.h5", "x/y/a.nxs", "s_master.h5", "a b.cxi", "line\nbreak.h5", "\udcff.ptyd", "[1].hdf5", "data_set.h5"]
)
def test_scans_are_found_at_any_depth(path: str) -> None:
    assert Rule().matches(path)


@pytest.mark.parametrize(
    "path",
    [".a.h5", ".a.h5.Xk2l", "a.h5.tmp", "r.h5.partial/result.h5", "s_data_000001.h5", "r.record.json", ".hid/a.h5",
     "a.h5/", "a.H5.txt"],
)  # fmt: skip
def test_temporary_files_results_in_the_making_and_linked_files_are_none(path: str) -> None:
    assert not Rule(files=("*.h5", "*.json")).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("raw/**/*.nxs", "raw/a.nxs", True),
        ("raw/**/*.nxs", "raw/x/y/a.nxs", True),
        ("raw/**/*.nxs", "other/raw/a.nxs", False),
        ("raw/*.nxs", "raw/x/a.nxs", False),
        ("**/*_master.h5", "s_master.h5", True),
        ("scan?.h5", "scan/.h5", False),
        ("[!a-c]1.h5", "d1.h5", True),
        ("[!a-c]1.h5", "b1.h5", False),
        ("a.b", "aXb", False),
        ("x+(y).h5", "x+(y).h5", True),
    ],
)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert Rule(files=(pattern,)).matches(path) is expected


def test_a_slash_at_the_end_means_folders() -> None:
    rule = Rule(files=("tif_*/", "*.h5"))
    assert rule.matches("p/tif_1", folder=True)
    assert not rule.matches("p/tif_1")
    assert not rule.matches("a.h5", folder=True)


def test_skip_may_be_changed() -> None:
    assert Rule(skip=()).matches("s_data_000001.h5")
    assert not Rule(skip=("dark_*",)).matches("sub/dark_1.h5")


def test_done_knows_the_names_of_the_scan_and_takes_them_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "p[1]"
    folder.mkdir()
    scan = folder / "a[1]*.h5"
    rule = Rule(done="../{folder}.{stem}*.ok")
    assert not rule.finished(scan)
    (tmp_path / "p1.a1x.ok").touch()
    assert not rule.finished(scan)
    (tmp_path / "p[1].a[1]*7.ok").touch()
    assert rule.finished(scan)
    assert Rule().finished(scan)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("quite = 3", "quiet"),
        ("frames = 0", "at least 1"),
        ("frames = true", "at least 1"),
        ('frames = "/"', "names a dataset"),
        ('done = "{stemm}.ok"', "{stem}"),
        ('done = "/x"', "scan's folder"),
        ('files = ["/a"]', "relative"),
        ('files = ["../a"]', "relative"),
        ("files = []", "at least 1"),
        ("quiet = -1", "greater than or equal to 0"),
        ('quiet = "3 m"', "quantity in s"),
    ],
)
def test_wrong_rules_are_refused_in_one_line(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(f"[[detector]]\n{table}\n")
    with pytest.raises(InputError) as caught:
        load_rules(path)
    assert message in str(caught.value)
    assert str(path) in caught.value.message


def test_rules_are_read_from_a_file_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[detector]]\nname = "eiger"\nframes = "entry/n"\nquiet = "2 min"\n[[detector]]\nframes = 7\n')
    first, second = load_rules(path)
    assert (first.name, first.frames, first.quiet) == ("eiger", "entry/n", 120.0)
    assert second.frames == 7


@pytest.mark.parametrize("content", ["[detector]\n", "x = 1\n[[detector]]\n", "", "[[detector"])
def test_other_files_hold_no_rules(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(content)
    with pytest.raises(InputError):
        load_rules(path)
