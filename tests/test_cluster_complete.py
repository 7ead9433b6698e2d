"""A scan is complete when everything shows it, and never before."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import scan_writers as writers
from hpcdaas.cluster.scans.complete import Look, Proof, look, signature_of
from hpcdaas.cluster.scans.lookers import Hung
from hpcdaas.cluster.site.rule import Rule

AT_ONCE = Rule(quiet=0)


def until(path: Path, rule: Rule, seconds: float, wanted: str = "complete") -> list[Look]:
    """Look as the watcher does, until the state is `wanted`."""
    proof, looks, end = Proof(rule), [], time.monotonic() + seconds
    while not looks or looks[-1].state != wanted:
        assert time.monotonic() < end, f"still {looks[-1]}"
        time.sleep(max(0.0, proof.due - time.monotonic()))
        looks.append(proof.add(look(path, rule)))
    return looks


@pytest.mark.parametrize("chunked", [False, True])
def test_a_whole_scan(tmp_path: Path, chunked: bool) -> None:
    path = writers.write_scan(tmp_path / "a.nxs", chunked=chunked)
    seen = look(path, AT_ONCE)
    assert (seen.state, seen.found, seen.expected, seen.files) == ("whole", 12, 12, (path,))
    assert seen.signature == signature_of([path])


@pytest.mark.parametrize("fill", [0, 65535])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_preallocated_file_has_its_size_but_not_its_frames(tmp_path: Path, fill: int, chunked: bool) -> None:
    path = writers.preallocated(tmp_path / "a.nxs", fill, chunked)
    size = path.stat().st_size
    for number in range(12):
        seen = look(path, AT_ONCE)
        assert (seen.state, seen.found) == ("waiting", number)
        assert "last frame is empty" in seen.reason
        writers.put(path, number)
        assert path.stat().st_size == size
    assert look(path, AT_ONCE).state == "whole"


def test_a_frame_of_one_value_that_is_no_fill_value_is_a_frame(tmp_path: Path) -> None:
    path = writers.preallocated(tmp_path / "a.nxs", fill=65535)
    writers.put(path, 11, np.full(writers.SHAPE[1:], 7, "u2"))
    assert look(path, AT_ONCE).state == "whole"


def test_darks_at_the_end_may_be_empty_if_the_rule_says_so(tmp_path: Path) -> None:
    path = writers.write_scan(tmp_path / "a.nxs", chunked=True)
    writers.put(path, 11, np.zeros(writers.SHAPE[1:], "u2"))
    assert look(path, AT_ONCE).state == "waiting"
    assert look(path, Rule(quiet=0, blank=True)).state == "whole"


@pytest.mark.parametrize("missing", [0, 5, 11])
def test_a_chunk_that_was_never_written(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "a.nxs"
    with h5py.File(path, "w") as file:
        data = writers.lay_out(file, chunks=(1, 8, 5), compression="gzip")
        for number in range(12):
            data[number, :, :5] = writers.counts(number)[:, :5]
            if number != missing:
                data[number, :, 5:] = writers.counts(number)[:, 5:]
    seen = look(path, AT_ONCE)
    assert (seen.state, seen.found) == ("waiting", 11)
    assert f"number {missing} is the first" in seen.reason


def slow_filling(tmp_path: Path, seconds: float) -> None:
    path = writers.preallocated(tmp_path / "a.nxs")
    with writers.in_background(writers.filling, seconds, 12, path) as clock:
        looks = until(path, Rule(quiet=0.5), 3 * seconds + 20)
        assert looks[-1].found == 12
        assert looks[-1].taken >= float(clock.read_text()) + 0.5
    assert len({seen.found for seen in looks}) > 3  # it is seen to grow
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file[writers.DATA][11], writers.counts(11))


def test_a_writer_that_preallocates_and_fills(tmp_path: Path) -> None:
    slow_filling(tmp_path, 3.0)


@pytest.mark.long
def test_a_writer_that_preallocates_and_fills_slowly(tmp_path: Path) -> None:
    slow_filling(tmp_path, 10.0)


def test_a_copy_in_place(tmp_path: Path) -> None:
    source = writers.write_scan(tmp_path / "source.nxs", frames=100)
    target = tmp_path / "a.nxs"
    target.touch()
    with writers.in_background(writers.copying, 1.5, 10, source, target) as clock:
        looks = until(target, Rule(quiet=0.5), 20)
        assert target.read_bytes() == source.read_bytes()
        assert looks[-1].taken >= float(clock.read_text()) + 0.5


def test_every_cut_of_a_file_waits(tmp_path: Path) -> None:
    source = writers.write_scan(tmp_path / "source.nxs", chunked=True)
    content = source.read_bytes()
    target = tmp_path / "a.nxs"
    for size in [*range(0, len(content), 211), len(content) - 1]:
        target.write_bytes(content[:size])
        assert look(target, AT_ONCE).state == "waiting", size
    target.write_bytes(content)
    assert look(target, AT_ONCE).state == "whole"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_a_master_whose_files_come_late(tmp_path: Path, order: tuple[int, ...]) -> None:
    master = writers.eiger_master(tmp_path)
    rule = Rule(quiet=0.3)
    with writers.in_background(writers.arriving, 2.0, 4, tmp_path, order):
        looks = until(master, rule, 20)
    assert looks[-1].found == looks[-1].expected == 12
    assert {file.name for file in looks[-1].files} == {"s_master.h5", *(f"s_data_00000{n}.h5" for n in (1, 2, 3))}
    assert any("s_data_00000" in seen.reason for seen in looks)


def test_a_master_whose_last_file_never_comes_ends_as_partial(tmp_path: Path) -> None:
    master = writers.eiger_master(tmp_path)
    writers.eiger_data(tmp_path, 1)
    writers.eiger_data(tmp_path, 2)
    looks = until(master, Rule(quiet=0.1, give_up=1.0), 20, wanted="partial")
    assert "s_data_000003.h5" in looks[-1].reason
    assert looks[-1].taken - looks[0].taken >= 1.0


def test_a_master_that_announces_more_frames_than_its_files_hold(tmp_path: Path) -> None:
    master = writers.eiger_master(tmp_path, files=2, images=12)
    writers.eiger_data(tmp_path, 1)
    writers.eiger_data(tmp_path, 2)
    seen = look(master, AT_ONCE)
    assert (seen.state, seen.found, seen.expected) == ("waiting", 8, 12)


def test_a_data_file_that_is_still_written(tmp_path: Path) -> None:
    master = writers.eiger_master(tmp_path, files=1, images=4)
    path = writers.eiger_data(tmp_path, 1)
    assert look(master, AT_ONCE).state == "whole"
    with h5py.File(path, "r+") as file:
        images = file["entry/data/data"][()]
        del file["entry/data/data"]
        data = file.create_dataset("entry/data/data", images.shape, "u2", chunks=(1, *images.shape[1:]))
        data[:3] = images[:3]
    seen = look(master, AT_ONCE)
    assert (seen.state, seen.found) == ("waiting", 3)


@pytest.mark.parametrize("late", [None, 2])
def test_a_virtual_dataset_whose_sources_come_late(tmp_path: Path, late: int | None) -> None:
    path = tmp_path / "a.nxs"
    layout = h5py.VirtualLayout(writers.SHAPE, "u2")
    for number in range(1, 4):
        if number != late:
            writers.eiger_data(tmp_path, number)
        source = h5py.VirtualSource(f"s_data_{number:06d}.h5", "entry/data/data", (4, *writers.SHAPE[1:]))
        layout[4 * number - 4 : 4 * number] = source
    with h5py.File(path, "w") as file:
        writers.lay_out(file)
        del file[writers.DATA]
        file.create_virtual_dataset(writers.DATA, layout)
    seen = look(path, AT_ONCE)
    assert seen.state == ("waiting" if late else "whole")
    assert late is None or "s_data_000002.h5" in seen.reason
    assert late is not None or len(seen.files) == 4


def test_a_writer_that_lets_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    with writers.swmr_writer(path) as add:
        assert look(path, AT_ONCE).state == "waiting"
        for _ in range(11):
            add()
        assert look(path, AT_ONCE).state == "waiting"
        add()
        seen = look(path, AT_ONCE)
        assert seen.state == "waiting"
        assert "open for writing" in seen.reason
    assert look(path, AT_ONCE).state == "whole"


def test_a_lock_of_a_writer_is_seen_and_none_is_taken(tmp_path: Path) -> None:
    path = writers.write_scan(tmp_path / "a.nxs")
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        seen = look(path, AT_ONCE)
        assert seen.state == "waiting"
        assert "locked" in seen.reason
    assert look(path, AT_ONCE).state == "whole"


@pytest.mark.parametrize(
    ("frames", "state", "expected"),
    [(12, "whole", 12), (13, "waiting", 13), ("entry/planned", "whole", 12), ("entry/nothing", "waiting", None)],
)
def test_how_many_frames_there_should_be(tmp_path: Path, frames: int | str, state: str, expected: int | None) -> None:
    path = writers.write_scan(tmp_path / "a.nxs")
    seen = look(path, Rule(quiet=0, frames=frames))
    assert (seen.state, seen.expected) == (state, expected)


def test_a_file_that_shows_the_end(tmp_path: Path) -> None:
    path = writers.write_scan(tmp_path / "a.nxs")
    rule = Rule(quiet=0, done="{stem}.done")
    assert "{stem}.done" in look(path, rule).reason
    (tmp_path / "a.done").touch()
    assert look(path, rule).state == "whole"


def test_a_file_without_known_layout_whose_frames_the_rule_names(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x/y"] = np.ones(writers.SHAPE, "u2")
        file["x/z"] = np.ones(writers.SHAPE, "u2")
    assert "no known layout" in look(path, AT_ONCE).reason
    assert look(path, Rule(quiet=0, data="/x/y")).state == "whole"


def test_a_tiff_series(tmp_path: Path) -> None:
    folder = tmp_path / "tif"
    folder.mkdir()
    rule = Rule(quiet=0, frames=6, files=("tif/",))
    assert look(folder, rule).state == "waiting"
    for number in range(6):
        seen = look(folder, rule)
        assert seen.state == "waiting"
        tifffile.imwrite(folder / f"p_{number:04d}.tif", writers.counts(number))
    assert look(folder, rule).state == "whole"
    with (folder / "p_0005.tif").open("r+b") as file:
        file.truncate(100)
    assert look(folder, rule).state == "waiting"


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"some text\n", b"\0" * 4096])
def test_what_can_not_be_opened_waits(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    seen = look(path, AT_ONCE)
    assert seen.state == "waiting"
    assert seen.reason
    assert "\n" not in seen.reason


def test_gone_and_of_another_kind(tmp_path: Path) -> None:
    assert look(tmp_path / "a.h5", AT_ONCE).state == "gone"
    os.mkfifo(tmp_path / "fifo.h5")
    assert "neither" in look(tmp_path / "fifo.h5", AT_ONCE).reason


def test_a_result_of_ours_is_no_scan(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    with h5py.File(path, "w") as file:
        file["entry/definition"] = "NXtomoproc"
        file["entry/process/run"] = "abc"
        file["entry/data/data"] = np.ones((2, 3, 4), "f4")
    assert look(path, AT_ONCE).state == "result"


def test_the_signature_follows_every_file(tmp_path: Path) -> None:
    master = writers.eiger_master(tmp_path, files=2, images=8)
    files = [writers.eiger_data(tmp_path, number) for number in (1, 2)]
    before = look(master, AT_ONCE).signature
    assert look(master, AT_ONCE).signature == before
    shutil.copy(files[1], tmp_path / "new")
    (tmp_path / "new").replace(files[1])
    assert look(master, AT_ONCE).signature != before


def whole(taken: float, signature: str = "a", **more: object) -> Look:
    return Look("whole", found=3, signature=signature, taken=taken, **more)  # type: ignore[arg-type]


def test_quiet_is_counted_from_the_last_change() -> None:
    proof = Proof(Rule(quiet=5))
    assert proof.add(whole(100.0)).state == "waiting"
    assert proof.due == pytest.approx(105.0)
    assert proof.add(whole(104.0, "b")).state == "waiting"
    assert proof.add(whole(108.0, "b", content=1)).state == "waiting"
    assert proof.add(whole(112.9, "b", content=1)).state == "waiting"
    assert proof.add(whole(113.0, "b", content=1)).state == "complete"


def test_a_scan_that_changes_is_not_given_up() -> None:
    proof = Proof(Rule(quiet=0, give_up=10))
    for number in range(20):
        assert proof.add(Look("waiting", "few", found=number, taken=9.0 * number)).state == "waiting"
        assert 9.0 * number < proof.due <= 9.0 * number + 10
    last = proof.add(Look("waiting", "few", found=19, taken=9.0 * 19 + 10))
    assert last.state == "partial"
    assert "few" in last.reason


def test_a_hung_file_system_says_nothing_about_a_scan() -> None:
    proof = Proof(Rule(quiet=1, give_up=2))
    pauses = []
    for _ in range(8):
        assert proof.add(Hung("no answer within 30 s")).state == "waiting"
        pauses.append(round(proof.due - time.monotonic()))
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 600
    assert proof.add(OSError("x")).state == "waiting"
    now = time.monotonic()
    assert proof.add(whole(now)).state == "waiting"
    assert proof.add(whole(now + 1)).state == "complete"
