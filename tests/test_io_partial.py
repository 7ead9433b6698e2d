"""The folder of a result in the making: lease, journal, checkpoint, structure."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from hpcdaas import lease
from hpcdaas.errors import HpcdaasError, InputError
from hpcdaas.io.nexus_result import Layout, VolumeFile
from hpcdaas.io.partial import Partial, sweep
from hpcdaas.safely import write_safely

LAYOUT = Layout((6, 4, 5), "float32", 1 << 16)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return tmp_path / "result.h5"


@pytest.fixture
def slices() -> NDArray[np.float32]:
    return np.arange(120, dtype=np.float32).reshape(6, 4, 5)


def test_lease_says_who_holds_it(result: Path) -> None:
    held = Partial(result, "run")
    holder = json.loads((held.folder / "lease").read_text())
    assert (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid())
    assert held.held()
    with pytest.raises(InputError, match=f"process {os.getpid()} on {socket.gethostname()}"):
        Partial(result, "run")
    held.release()
    assert not held.held()
    Partial(result, "run").discard()
    assert not held.folder.exists()


def test_release_twice_is_harmless(result: Path) -> None:
    held = Partial(result, "run")
    held.release()
    other = Partial(result, "run")
    held.release()
    assert other.held()
    other.discard()


def test_lease_is_renewed(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW", 0.01)
    held = Partial(result, "run")
    os.utime(held.folder / "lease", (0, 0))
    end = time.monotonic() + 20
    while (held.folder / "lease").stat().st_mtime < 1e9 and time.monotonic() < end:
        time.sleep(0.01)
    assert time.time() - (held.folder / "lease").stat().st_mtime < 60
    renewal = [t for t in threading.enumerate() if t.name == "lease"]
    held.discard()
    for thread in renewal:
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize(("age", "free"), [(0.9, False), (1.1, True)])
def test_lease_of_another_host_expires(result: Path, age: float, free: bool) -> None:
    path = result.with_name("result.h5.partial") / "lease"
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "token": "x"}))
    then = time.time() - age * lease.EXPIRED
    os.utime(path, (then, then))
    if free:
        Partial(result, "run").discard()
    else:
        with pytest.raises(InputError, match="process 7 on elsewhere"):
            Partial(result, "run")
        assert json.loads(path.read_text())["host"] == "elsewhere"


def test_no_final_name_without_the_lease(result: Path) -> None:
    held = Partial(result, "run")
    held.data.write_bytes(b"data")
    (held.folder / "lease").write_text(json.dumps({"host": "elsewhere", "pid": 7, "token": "other"}))
    with pytest.raises(HpcdaasError, match="took over"):
        held.finish()
    assert not result.exists()
    held.release()
    assert "elsewhere" in (held.folder / "lease").read_text()


def test_finish(result: Path) -> None:
    held = Partial(result, "run")
    held.data.write_bytes(b"data")
    held.finish()
    assert result.read_bytes() == b"data"
    assert list(result.parent.iterdir()) == [result]


def test_checkpoint_is_that_of_the_run(result: Path) -> None:
    held = Partial(result, "run")
    assert held.checkpoint() is None
    held.save_checkpoint({"center": 3.5})
    assert held.checkpoint() is None  # there is no data yet
    held.data.write_bytes(b"data")
    held.keep_structure(2, 1)
    assert held.checkpoint() == {"run": "run", "center": 3.5}
    held.release()
    other = Partial(result, "another")
    assert other.checkpoint() is None
    other.release()
    again = Partial(result, "run")
    assert again.checkpoint()
    (again.folder / "checkpoint.json").write_text('{"run": "ru')
    assert again.checkpoint() is None
    again.discard()


def test_journal(result: Path) -> None:
    held = Partial(result, "run")
    assert held.done() == []
    held.note(0, 4, {"zingers": 2})
    held.note(4, 2, {})
    held.note(0, 4, {"zingers": 3})  # done once more: the last one counts
    assert held.done() == [
        {"first": 0, "count": 4, "tally": {"zingers": 3}},
        {"first": 4, "count": 2, "tally": {}},
    ]
    held.discard()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_torn_journal(result: Path, cut: int) -> None:
    """Whatever of the last line is there, the lines before and after it count."""
    held = Partial(result, "run")
    held.note(0, 4, {})
    held.note(4, 4, {"nonpositive": 10})
    os.truncate(held._journal, held._journal.stat().st_size - cut)
    held.note(8, 4, {})
    found = [entry["first"] for entry in held.done()]
    assert found in ([0, 8], [0, 4, 8])
    assert found == [0, 8] or cut < 2
    held.discard()


def test_short_write_of_the_journal_is_a_full_disk(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Partial(result, "run")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:9]))
        with pytest.raises(OSError, match="No space") as caught:
            held.note(0, 4, {})
    assert caught.value.errno == errno.ENOSPC
    assert held.done() == []
    held.note(0, 4, {})
    assert len(held.done()) == 1
    held.discard()


def test_write_safely_replaces_whole(tmp_path: Path) -> None:
    write_safely(tmp_path / "file", b"one")
    write_safely(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_sweep_leaves_what_is_at_work(result: Path) -> None:
    held = Partial(result, "run")
    sweep(result)
    assert held.folder.is_dir()
    held.data.write_bytes(b"data")
    held.release()
    sweep(result)
    assert held.folder.is_dir()  # it can be gone on with
    held.data.unlink()
    sweep(result)
    assert not held.folder.exists()
    sweep(result)


def test_volume_goes_on_after_its_structure_was_spoiled(result: Path, slices: NDArray[np.float32]) -> None:
    held = Partial(result, "run")
    file = VolumeFile(held, LAYOUT, new=True)
    file.put(0, slices[:4], {"zingers": 1})
    file.close()
    with h5py.File(held.data, "r+") as opened:  # an attempt that ended while it described the result
        opened["entry"].create_group("process")["run"] = "x" * 5000
    with held.data.open("r+b") as raw:
        raw.write(b"nothing that HDF5 knows")
    again = VolumeFile(held, LAYOUT, new=False)
    assert (again.count, again.has(0, 4), again.has(3, 2)) == (4, True, False)
    assert np.array_equal(again.read(2), slices[2])
    again.put(4, slices[4:], {"zingers": 2})
    assert again.tally()["zingers"] == 3
    again.close()
    with h5py.File(held.data, "r") as opened:
        assert np.array_equal(opened["entry/data/data"][()], slices)
        assert list(opened["entry"]) == ["data"]
    held.discard()


def test_no_room(result: Path, monkeypatch: pytest.MonkeyPatch, slices: NDArray[np.float32]) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    held = Partial(result, "run")
    with monkeypatch.context() as broken:
        broken.setattr(os, "posix_fallocate", full)
        with pytest.raises(InputError, match="no room"):
            VolumeFile(held, LAYOUT, new=True)
    file = VolumeFile(held, LAYOUT, new=True)
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", full)
        with pytest.raises(HpcdaasError, match="can't be written") as caught:
            file.put(0, slices, {})
    assert not isinstance(caught.value, InputError)  # what is there stays
    assert not file.has(0, 6)
    file.put(0, slices, {})
    file.close()
    with monkeypatch.context() as broken:
        broken.setattr(os, "posix_fallocate", full)
        with pytest.raises(HpcdaasError) as caught:
            VolumeFile(held, LAYOUT, new=False)
    assert not isinstance(caught.value, InputError)
    held.discard()


@pytest.mark.parametrize("dtype", ["float32", "uint16", "uint8"])
def test_short_writes_are_gone_on_with(result: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    slices = np.arange(120).reshape(6, 4, 5).astype(dtype)
    held = Partial(result, "run")
    file = VolumeFile(held, Layout((6, 4, 5), dtype), new=True)
    write = os.pwrite
    with monkeypatch.context() as slow:
        slow.setattr(os, "pwrite", lambda descriptor, data, offset: write(descriptor, data[:7], offset))
        file.put(0, slices[:, ::-1], {})
    file.close()
    with h5py.File(held.data) as opened:
        assert np.array_equal(opened["entry/data/data"][()], slices[:, ::-1])
    held.discard()


def test_large_slices_that_begin_inside_of_pages(result: Path) -> None:
    """They go past the page cache, all but their ends, and the ends of neighbours share a page."""
    slices = np.random.default_rng(1).random((7, 613, 617), np.float32)
    held = Partial(result, "run")
    file = VolumeFile(held, Layout(slices.shape, "float32"), new=True)
    for first in (4, 0, 2, 6):
        file.put(first, slices[first : first + 2], {})
        assert np.array_equal(file.read(first), slices[first])
    file.close()
    again = VolumeFile(held, Layout(slices.shape, "float32"), new=False)
    again.put(2, -slices[2:4], {})
    again.close()
    slices[2:4] *= -1
    with h5py.File(held.data) as opened:
        assert np.array_equal(opened["entry/data/data"][()], slices)
    held.discard()
