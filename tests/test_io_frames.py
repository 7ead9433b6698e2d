from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io import frames as frames_module
from hpcdaas.io.frames import Joined, Memory, Stack
from hpcdaas.io.hdf5 import Tree
from hpcdaas.io.hdf5_frames import DecodedFrames, stack_of
from hpcdaas.io.raw import RawFrames

FRAMES, ROWS, COLUMNS = 11, 9, 7
STORAGE: dict[str, tuple[dict[str, Any], type[Stack]]] = {
    "contiguous": ({}, RawFrames),
    "frame chunks": ({"chunks": (1, ROWS, COLUMNS)}, RawFrames),
    "deep chunks": ({"chunks": (4, ROWS, COLUMNS)}, RawFrames),
    "banded chunks": ({"chunks": (2, 4, COLUMNS)}, RawFrames),
    "split columns": ({"chunks": (2, 4, 3)}, DecodedFrames),
    "gzip": ({"chunks": (1, ROWS, COLUMNS), "compression": "gzip"}, DecodedFrames),
    "gzip, deep": ({"chunks": (4, ROWS, COLUMNS), "compression": "gzip", "shuffle": True}, DecodedFrames),
    "gzip, low": ({"chunks": (4, 2, COLUMNS), "compression": "gzip"}, DecodedFrames),
    "bitshuffle": ({"chunks": (1, ROWS, COLUMNS), **hdf5plugin.Bitshuffle()}, DecodedFrames),
    "lz4": ({"chunks": (2, ROWS, COLUMNS), **hdf5plugin.LZ4()}, DecodedFrames),
    "zstd": ({"chunks": (2, ROWS, COLUMNS), **hdf5plugin.Zstd()}, DecodedFrames),
    "blosc": ({"chunks": (3, 5, COLUMNS), **hdf5plugin.Blosc()}, DecodedFrames),
}
TYPES = ["u1", "<u2", ">u2", "<i4", "<f4", ">f4", "<f8"]


def stored(path: Path, array: NDArray[Any], **storage: Any) -> Stack:
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=array, **storage)
    with Tree(path) as tree:
        dataset = tree.dataset("/data")
        assert dataset is not None
        return stack_of(tree, dataset)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frames")


def an_array(dtype: str) -> NDArray[Any]:
    return np.random.default_rng(1).integers(0, 250, (FRAMES, ROWS, COLUMNS)).astype(dtype)


cuts = st.tuples(st.integers(-1, FRAMES + 2), st.integers(-1, FRAMES + 2)).map(lambda ends: slice(*ends))
row_cuts = st.builds(slice, st.integers(0, ROWS), st.integers(0, ROWS + 2) | st.none(), st.integers(1, ROWS + 1))
picks = st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=FRAMES, unique=True).map(sorted)


@pytest.mark.parametrize("kind", STORAGE)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts, row_cuts, st.sampled_from(TYPES), st.none() | picks, st.sampled_from([0, 1 << 14]))
def test_reads_like_numpy(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    frames: slice,
    rows: slice,
    dtype: str,
    pick: list[int] | None,
    gap: int,
) -> None:
    storage, expected_type = STORAGE[kind]
    monkeypatch.setattr(frames_module, "GAP", gap)
    array = an_array(dtype)
    stack = stored(folder / f"{kind}.h5", array, **storage)
    assert isinstance(stack, expected_type)
    if pick is not None:
        stack, array = stack.take(np.array(pick)), array[pick]
    assert stack.shape == array.shape
    expected = array[frames, rows]
    read = stack.read(frames, rows)
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, expected)
    wide = np.full((expected.shape[0], expected.shape[1] + 2, COLUMNS), 77, read.dtype)
    stack.read(frames, rows, wide[:, 1:-1])
    np.testing.assert_array_equal(wide[:, 1:-1], expected)
    assert (wide[:, [0, -1]] == 77).all()
    odd = np.full((*expected.shape[:2], 2 * COLUMNS), 77, read.dtype)
    stack.read(frames, rows, odd[:, :, ::2])
    np.testing.assert_array_equal(odd[:, :, ::2], expected)
    assert (odd[:, :, 1::2] == 77).all()
    stack.close()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack)).read(frames, rows), expected)
    stack.close()


@pytest.mark.parametrize(("kind", "whole"), [("contiguous", False), ("gzip", True), ("gzip, low", False)])
def test_whole_frames_where_chunks_are_tall(folder: Path, kind: str, whole: bool) -> None:
    stack = stored(folder / "whole.h5", an_array("u2"), **STORAGE[kind][0])
    assert stack.whole_frames is whole


def test_reads_behind_a_user_block(folder: Path) -> None:
    array = an_array("u2")
    for storage in ({}, {"chunks": (1, ROWS, COLUMNS)}):
        with h5py.File(folder / "block.h5", "w", userblock_size=1024) as file:
            file.create_dataset("data", data=array, **storage)
        with Tree(folder / "block.h5") as tree:
            stack = stack_of(tree, tree.dataset("/data"))
        assert isinstance(stack, RawFrames)
        np.testing.assert_array_equal(stack.read(slice(None), slice(None)), array)


def test_runs_are_long(folder: Path) -> None:
    stack = stored(folder / "long.h5", an_array("u2"))
    assert isinstance(stack, RawFrames)
    assert len(list(stack._runs(0, FRAMES, range(ROWS), 0))) == 1, "all rows of all frames are one read"
    assert len(list(stack._runs(2, 9, range(1, 4), 0))) == 7, "some rows are one read per frame"
    assert len(list(stack.take(np.array([1, 2, 3, 6, 7]))._runs(0, 5, range(ROWS), 0))) == 2


def test_odd_precision_goes_through_hdf5(folder: Path) -> None:
    array = an_array("u2") % 100
    with h5py.File(folder / "odd.h5", "w") as file:
        twelve = h5py.h5t.STD_U16LE.copy()
        twelve.set_precision(12)
        twelve.set_offset(4)
        space = h5py.h5s.create_simple(array.shape)
        h5py.h5d.create(file.id, b"data", twelve, space)
        file["data"][...] = array
    with Tree(folder / "odd.h5") as tree:
        stack = stack_of(tree, tree.dataset("/data"))
    assert isinstance(stack, DecodedFrames)
    np.testing.assert_array_equal(stack.read(slice(2, 5), slice(1, 8, 3)), array[2:5, 1:8:3])


def test_never_written_frames_are_known(folder: Path) -> None:
    for name, storage in (("raw", {}), ("gzip", {"compression": "gzip"})):
        with h5py.File(folder / f"{name}_part.h5", "w") as file:
            data = file.create_dataset("data", (10, 4, 6), "u2", chunks=(2, 4, 6), **storage)
            data[:6] = 1
        with Tree(folder / f"{name}_part.h5") as tree:
            stack = stack_of(tree, tree.dataset("/data"))
        assert stack.unwritten().tolist() == [6, 7, 8, 9]
        assert stack.take(np.array([5, 8, 9])).unwritten().tolist() == [1, 2]
        assert stack.take(np.arange(6)).read(slice(None), slice(None)).sum() == 6 * 24
    with h5py.File(folder / "late.h5", "w") as file:
        file.create_dataset("data", (10, 4, 6), "u2")
    with Tree(folder / "late.h5") as tree, pytest.raises(InputError, match="was ever written"):
        stack_of(tree, tree.dataset("/data"))


def test_truncated_while_reading(folder: Path) -> None:
    stack = stored(folder / "cut.h5", an_array("u2"))
    path = folder / "cut.h5"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(InputError, match="truncated"):
        stack.read(slice(None), slice(None))
    path.unlink()
    with pytest.raises(InputError, match="can't be read"):
        stack.read(slice(None), slice(None))


def test_a_damaged_chunk_is_named(folder: Path) -> None:
    path = folder / "damaged.h5"
    stored(path, an_array("f8"), chunks=(1, ROWS, COLUMNS), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        info = file["data"].id.get_chunk_info(5)
    with path.open("r+b") as file:
        file.seek(info.byte_offset + 10)
        file.write(b"\xff\x00\xff\x00\xff")
    with Tree(path) as tree:
        stack = stack_of(tree, tree.dataset("/data"))
    with pytest.raises(InputError, match=r"/data in .*damaged\.h5: frames 5 to 5 can't be decoded"):
        stack.read(slice(5, 6), slice(None))


@pytest.mark.parametrize("strange", [np.zeros((2, 3), "c8"), np.zeros(4), np.zeros((0, 3, 3)), np.zeros((2, 2, 2, 2))])
def test_what_is_no_stack_of_images(folder: Path, strange: NDArray[Any]) -> None:
    with pytest.raises(InputError, match=r"stack of images|is empty"):
        stored(folder / "strange.h5", strange)


def test_joined_and_memory() -> None:
    a, b = an_array("u2"), an_array("f4")[:3]
    both = Joined([Memory(a), Memory(b)])
    expected = np.concatenate([a, b])
    for cut in (slice(0, 4), slice(9, 13), slice(12, 14), slice(3, 3)):
        np.testing.assert_array_equal(both.read(cut, slice(1, 8, 2)), expected[cut, 1:8:2])
    assert (Memory.constant(5, (2, 3)).read(slice(None), slice(None)) == 5).all()


def test_wrong_calls_are_refused() -> None:
    stack = Memory(an_array("u2"))
    with pytest.raises(ValueError, match="step 1"):
        stack.read(slice(0, 4, 2), slice(None))
    with pytest.raises(ValueError, match="step"):
        stack.read(slice(0, 4), slice(None, None, -1))
    with pytest.raises(ValueError, match="out is"):
        stack.read(slice(0, 4), slice(None), np.empty((3, ROWS, COLUMNS), "u2"))
    with pytest.raises(ValueError, match="out is"):
        stack.read(slice(0, 3), slice(None), np.empty((3, ROWS, COLUMNS), "f4"))


@pytest.mark.parametrize("storage", [{}, {"chunks": (1, ROWS, COLUMNS), "compression": "gzip"}])
def test_a_virtual_dataset_decodes_what_its_sources_do(folder: Path, storage: dict[str, Any]) -> None:
    array = an_array("u2")
    layout = h5py.VirtualLayout(array.shape, "u2")
    for name, cut, kept in (("plain", slice(0, 6), {}), ("packed", slice(6, FRAMES), storage)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset("data", data=array[cut], **kept)
        layout[cut] = h5py.VirtualSource(f"{name}.h5", "data", array[cut].shape)
    with h5py.File(folder / "mixed.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    with Tree(folder / "mixed.h5") as tree, stack_of(tree, tree.dataset("/data")) as stack:
        assert stack.whole_frames is bool(storage)
        np.testing.assert_array_equal(stack.read(slice(None), slice(None)), array)


def test_virtual_datasets(folder: Path) -> None:
    array = an_array("u2")
    for name, part in (("a", array[0::2]), ("b", array[1::2])):
        with h5py.File(folder / f"part_{name}.h5", "w") as file:
            file["deep/data"] = part
    layout = h5py.VirtualLayout(array.shape, "u2")
    for start, name in enumerate("ab"):
        shape = array[start::2].shape
        layout[start::2] = h5py.VirtualSource(f"part_{name}.h5", "deep/data", shape)
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("data", layout)

    def opened() -> tuple[Stack, list[str]]:
        with Tree(folder / "virtual.h5") as tree:
            return stack_of(tree, tree.dataset("/data")), [path.name for path in tree.files]

    stack, files = opened()
    assert files == ["virtual.h5", "part_a.h5", "part_b.h5"]
    np.testing.assert_array_equal(stack.read(slice(3, 9), slice(1, 7, 2)), array[3:9, 1:7:2])
    assert not stack.unwritten().size
    stack.close()
    with h5py.File(folder / "part_b.h5", "w") as file:
        file["deep/data"] = array[1:7:2]
    assert opened()[0].unwritten().tolist() == list(range(1, FRAMES, 2)), "a source that is too short"
    layout[1::2] = h5py.VirtualSource("part_b.h5", "deep/data", (5, ROWS, COLUMNS))[0:5]
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    assert opened()[0].unwritten().tolist() == list(range(1, FRAMES, 2)), "the same by a selection"
    with h5py.File(folder / "part_b.h5", "w") as file:
        file["deep/other"] = array[1::2]
    with pytest.raises(InputError, match="made of deep/data"):
        opened()
    (folder / "part_b.h5").unlink()
    with pytest.raises(InputError, match=r"part_b\.h5, and there is no such file"):
        opened()
