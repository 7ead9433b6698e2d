"""A watched folder: what a poll finds, without being told of events."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hpcdaas.cluster.scans.folder import Changes, Folder, Folders
from hpcdaas.cluster.site.rule import Rule

RULES = (Rule(),)


def names(found: object) -> list[str]:
    return sorted(getattr(each, "path", each).name for each in found)  # type: ignore[attr-defined]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "day 1" / "night").mkdir(parents=True)
    for name in ("a.h5", "day 1/b.nxs", "day 1/night/c.cxi", "notes.txt", "day 1/s_data_000001.h5"):
        (folder / name).touch()
    return folder


def test_the_first_poll_names_all_scans_and_the_next_only_what_is_new(data: Path) -> None:
    folder = Folder(data, RULES)
    assert names(folder.poll().new) == ["a.h5", "b.nxs", "c.cxi"]
    assert not folder.poll()
    (data / "day 2").mkdir()
    (data / "day 2" / "d.h5").touch()
    assert names(folder.poll().new) == ["d.h5"]


def test_a_file_that_was_replaced_and_one_that_was_rewritten_in_place(data: Path) -> None:
    folder = Folder(data, RULES)
    folder.poll()
    folder.poll()  # sizes and times are known now
    (data / "other").touch()
    (data / "other").replace(data / "a.h5")
    assert names(folder.poll().changed) == ["a.h5"]
    with (data / "day 1" / "b.nxs").open("ab") as file:
        file.write(b"more")
    assert names(folder.poll().changed) == ["b.nxs"]


def test_what_goes_away_alone_or_with_its_folder(data: Path) -> None:
    folder = Folder(data, RULES)
    folder.poll()
    (data / "day 1" / "night" / "c.cxi").unlink()
    assert names(folder.poll().gone) == ["c.cxi"]
    (data / "day 1").rename(data.parent / "elsewhere")
    assert names(folder.poll().gone) == ["b.nxs"]
    (data.parent / "elsewhere").rename(data / "day 1")
    assert names(folder.poll().new) == ["b.nxs"]


def test_links_that_lead_out_of_the_roots_are_refused(data: Path) -> None:
    (data.parent / "secret.h5").touch()
    (data / "link.h5").symlink_to(data.parent / "secret.h5")
    (data / "inside.h5").symlink_to(data / "a.h5")
    found = Folder(data, RULES, [data]).poll()
    assert [(path.name, "leads out" in reason) for path, reason in found.refused] == [("link.h5", True)]
    assert "inside.h5" in names(found.new)


def test_a_link_whose_target_comes_later(data: Path) -> None:
    folder = Folder(data, RULES)
    (data / "later.h5").symlink_to(data.parent / "target.h5")
    assert "later.h5" not in names(folder.poll().new)
    (data.parent / "target.h5").touch()
    assert names(folder.poll().new) == ["later.h5"]


def test_folders_that_link_to_each_other_end(data: Path) -> None:
    (data / "day 1" / "up").symlink_to(data)
    assert names(Folder(data, RULES).poll().new) == ["a.h5", "b.nxs", "c.cxi"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_can_not_be_listed(data: Path) -> None:
    folder = Folder(data, RULES)
    folder.poll()
    (data / "day 1").chmod(0)
    try:
        found = folder.poll()
        assert [path.name for path, _ in found.errors] == ["day 1"]
        assert not found.gone
    finally:
        (data / "day 1").chmod(0o755)


def test_a_root_that_is_away_loses_nothing(data: Path) -> None:
    folder = Folder(data, RULES)
    folder.poll()
    data.rename(data.with_name("unmounted"))
    found = folder.poll()
    assert found.errors
    assert not found.gone
    data.with_name("unmounted").rename(data)
    assert not folder.poll()


def test_a_file_that_was_changed_while_nobody_looked_is_doubtful(tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    for since, doubtful in ((0.0, True), (time.time() + 3600, False), (float("inf"), False)):
        folder = Folder(tmp_path, RULES)
        folder.since = since
        found = folder.poll()
        assert [seen.path.name for seen in found.new] == ["a.h5"]
        assert bool(found.doubtful) is doubtful
        assert not folder.poll()


def test_a_file_that_went_and_came_back_is_doubtful(tmp_path: Path) -> None:
    folder = Folder(tmp_path, RULES)
    folder.poll()
    (tmp_path / "a.h5").touch()
    assert [seen.path.name for seen in folder.poll().doubtful] == ["a.h5"]
    (tmp_path / "a.h5").unlink()
    folder.poll()
    (tmp_path / "a.h5").touch()
    found = folder.poll()
    assert [seen.path.name for seen in found.new] == [seen.path.name for seen in found.doubtful] == ["a.h5"]


def everything(folders: Folders) -> Changes:
    return folders.poll(wait=30)


def test_several_folders_each_with_a_process(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "z.h5").touch()
    with Folders([data, other], RULES) as folders:
        assert names(everything(folders).new) == ["a.h5", "b.nxs", "c.cxi", "z.h5"]
        assert len(set(folders.processes)) == 2


def test_a_lost_process_is_replaced(data: Path) -> None:
    with Folders([data], RULES) as folders:
        everything(folders)
        before = folders.processes
        os.kill(before[0], 9)
        until = time.monotonic() + 60
        found = Changes()
        while not found.new and time.monotonic() < until:
            found = folders.poll(wait=1.0)
        assert names(found.new) == ["a.h5", "b.nxs", "c.cxi"]
        assert folders.processes != before
