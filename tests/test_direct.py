"""Bytes that go past the page cache are the same bytes, wherever they begin and whatever the file system refuses."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcdaas import direct
from hpcdaas.direct import PAGE, DirectWriter, page_aligned, sha256

SIZE = 40 * PAGE


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pages in {"WORTH": 1, "BOUNCE": 3, "PIECE": 4}.items():
        monkeypatch.setattr(direct, name, pages * PAGE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "file"
    place.write_bytes(bytes(SIZE))
    return place


@pytest.fixture
def writer(path: Path) -> Iterator[DirectWriter]:
    descriptor = os.open(path, os.O_RDWR)
    made = DirectWriter(path, descriptor)
    yield made
    made.close()
    os.close(descriptor)


def noise(size: int, at: int = 0) -> np.ndarray:
    """Bytes that begin so far behind a page."""
    data = page_aligned((size + at,), np.uint8)[at:]
    data[...] = np.random.default_rng(size).integers(256, size=size, dtype=np.uint8)
    return data


def refused(writer: DirectWriter, error: int | None, written: int = 0) -> Callable[..., int]:
    """A `pwrite` that fails with an error, or writes some bytes only, where it goes past the page cache."""
    pwrite = os.pwrite

    def limited(descriptor: int, data: Any, offset: int) -> int:
        if descriptor != writer._direct:
            return pwrite(descriptor, data, offset)
        if error is not None:
            raise OSError(error, os.strerror(error))
        ordinary = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY)
        try:
            return pwrite(ordinary, bytes(data)[:written], offset)
        finally:
            os.close(ordinary)

    return limited


@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (2 * PAGE + 1,)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_memory_begins_with_a_page(shape: tuple[int, ...], dtype: str) -> None:
    array = page_aligned(shape, dtype)
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.ctypes.data % PAGE == 0
    assert array.flags.c_contiguous
    assert array.flags.writeable


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    offset=st.one_of(st.integers(0, SIZE), st.sampled_from([0, PAGE, 5 * PAGE])),
    size=st.one_of(st.integers(0, 12 * PAGE), st.sampled_from([PAGE, 9 * PAGE])),
    at=st.sampled_from([0, 1, 16, PAGE - 1]),
)
def test_bytes_are_where_they_belong(path: Path, offset: int, size: int, at: int) -> None:
    before = noise(SIZE)
    path.write_bytes(before.tobytes())
    data = noise(size, at)
    descriptor = os.open(path, os.O_RDWR)
    writer = DirectWriter(path, descriptor)
    writer.write(data, offset)
    writer.close()
    os.close(descriptor)
    expected = bytearray(before.tobytes()) + bytes(max(0, offset + size - SIZE) if size else 0)
    expected[offset : offset + size] = data.tobytes()
    assert path.read_bytes() == bytes(expected)


def test_whole_pages_go_past_the_cache(path: Path, writer: DirectWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    if not writer.direct:
        pytest.skip("this file system doesn't allow it")
    ways: list[tuple[bool, int]] = []
    pwrite = os.pwrite

    def noted(descriptor: int, data: Any, offset: int) -> int:
        ways.append((descriptor == writer._direct, len(data)))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", noted)
    writer.write(noise(6 * PAGE), 2 * PAGE)
    assert ways == [(True, 6 * PAGE)]
    ways.clear()
    writer.write(noise(6 * PAGE), 2 * PAGE + 100)
    assert ways == [(False, PAGE - 100), (True, 3 * PAGE), (True, 2 * PAGE), (False, 100)]
    ways.clear()
    writer.write(noise(PAGE // 2), 0)
    assert ways == [(False, PAGE // 2)]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_refusal_means_the_ordinary_way(
    path: Path, writer: DirectWriter, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    if not writer.direct:
        pytest.skip("this file system doesn't allow it")
    monkeypatch.setattr(os, "pwrite", refused(writer, error))
    data = noise(7 * PAGE)
    writer.write(data, PAGE)
    assert not writer.direct
    assert path.read_bytes()[PAGE : 8 * PAGE] == data.tobytes()


@pytest.mark.parametrize("written", [0, 512, PAGE, PAGE + 512])
def test_fewer_bytes_than_asked(
    path: Path, writer: DirectWriter, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    if not writer.direct:
        pytest.skip("this file system doesn't allow it")
    monkeypatch.setattr(os, "pwrite", refused(writer, None, written))
    data = noise(7 * PAGE)
    writer.write(data, PAGE)
    assert path.read_bytes()[PAGE : 8 * PAGE] == data.tobytes()


def test_a_full_disk_is_no_refusal(path: Path, writer: DirectWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    if not writer.direct:
        pytest.skip("this file system doesn't allow it")
    monkeypatch.setattr(os, "pwrite", refused(writer, errno.ENOSPC))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        writer.write(noise(7 * PAGE), PAGE)


def test_a_system_without_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "_FLAG", 0)
    descriptor = os.open(path, os.O_RDWR)
    writer = DirectWriter(path, descriptor)
    assert not writer.direct
    writer.write(noise(5 * PAGE), 7)
    os.close(descriptor)
    assert path.read_bytes()[7 : 7 + 5 * PAGE] == noise(5 * PAGE).tobytes()
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, 4 * PAGE - 1, 4 * PAGE, 4 * PAGE + 1, 9 * PAGE, 13 * PAGE + 77])
def test_checksum(tmp_path: Path, size: int) -> None:
    data = noise(size).tobytes()
    (tmp_path / "data").write_bytes(data)
    assert sha256(tmp_path / "data") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("most", [None, 512, PAGE, 2 * PAGE + 512])
def test_checksum_where_reads_are_refused_or_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    data = noise(11 * PAGE + 5).tobytes()
    (tmp_path / "data").write_bytes(data)
    preadv, refusals = os.preadv, []

    def limited(descriptor: int, buffers: list[Any], offset: int) -> int:
        if most is None and not refusals:
            refusals.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return preadv(descriptor, [b[:most] for b in buffers], offset)

    monkeypatch.setattr(os, "preadv", limited)
    if most is None and direct._open(tmp_path / "data", os.O_RDONLY) is None:
        pytest.skip("this file system doesn't allow it")
    assert sha256(tmp_path / "data") == hashlib.sha256(data).hexdigest()


def test_checksum_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "gone")
