"""A dataset as a stack of frames: raw bytes where the storage allows it, through HDF5 where it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Memory, Stack, Storage
from hpcdaas.io.hdf5 import DanglingError, Tree, linked_file, open_file
from hpcdaas.io.raw import RawFrames

#: Bytes asked of HDF5 in one call, rounded to whole chunks.
CALL = 64 << 20
#: A layer of chunks up to this size stays decoded between reads that don't end where chunks do.
CACHE = 64 << 20


class DecodedFrames(Stack):
    """Frames that only HDF5 can read: filtered chunks, virtual datasets, uncommon types.

    The file is opened at the first read and stays open until `close`.

    Parameters
    ----------
    dataset : Dataset
        (frame, row, column), of an open file.
    storage : Storage
        How it is stored.
    unwritten : ndarray
        Frames that have no data.
    whole_frames : bool, optional
        Whether every read decodes whole frames, where the chunks of `storage` don't say so.
    """

    def __init__(
        self, dataset: h5py.Dataset, storage: Storage, unwritten: NDArray[np.intp], whole_frames: bool = False
    ) -> None:
        chunk = storage.chunk
        tall = chunk is not None and chunk[1] > dataset.shape[1] // 4
        whole = whole_frames or (storage.kind == "compressed" and tall)
        super().__init__(dataset.shape, dataset.dtype, storage, whole)
        self.path = Path(dataset.file.filename)
        self.name: str = dataset.name
        self._unwritten = unwritten
        self._file: h5py.File | None = None
        self._dataset: h5py.Dataset | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_dataset": None}

    def unwritten(self) -> NDArray[np.intp]:
        """See `Stack.unwritten`."""
        return self._unwritten

    def close(self) -> None:
        """See `Stack.close`."""
        if self._file is not None:
            self._file.close()
        self._file = self._dataset = None

    def _opened(self) -> h5py.Dataset:
        if self._dataset is None:
            self._file = open_file(self.path)
            access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
            chunk = self.storage.chunk
            if self.storage.kind == "compressed" and chunk is not None:
                across = -(-self.shape[1] // chunk[1]) * -(-self.shape[2] // chunk[2])
                layer = across * int(np.prod(chunk)) * self.dtype.itemsize
                # One frame per chunk is never decoded twice, and a cache would only copy it once more.
                access.set_chunk_cache(1 + 100 * across, layer if chunk[0] > 1 and layer <= CACHE else 0, 1.0)
            name = self.name.encode("utf-8")
            self._dataset = h5py.Dataset(h5py.h5d.open(self._file.id, name, access))
        return self._dataset

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        if self._close_rows(rows):  # HDF5 takes long over many short pieces
            self._fill_dense(first, stop, rows, out)
            return
        deep = self.storage.chunk[0] if self.storage.chunk else 1
        frame = len(rows) * self.shape[2] * self.dtype.itemsize
        batch = max(1, CALL // frame // deep) * deep
        start = first
        while start < stop:
            end = min(stop, (start // batch + 1) * batch)
            part = out[start - first : end - first]
            target = part if part.flags.c_contiguous else np.empty(part.shape, part.dtype)
            try:
                self._opened().read_direct(target, np.s_[start:end, rows.start : rows.stop : rows.step])
            except (OSError, KeyError, RuntimeError) as error:
                raise InputError(
                    f"{self.name} in {self.path}: frames {start} to {end - 1} can't be decoded "
                    "(the file is damaged or truncated).",
                    "Copy it again; 'h5dump -d' shows what HDF5 says.",
                ) from error
            if target is not part:
                part[...] = target
            start = end


def stack_of(tree: Tree, dataset: h5py.Dataset) -> Stack:
    """Give a dataset as a stack of frames, in the fastest way that its storage allows.

    Parameters
    ----------
    tree : Tree
        The open file; learns which files hold the frames.
    dataset : Dataset
        (frame, row, column) or one frame (row, column), integers or reals.

    Raises
    ------
    InputError
        If it is no stack of images, a file is truncated or missing, or a filter isn't known here.
    """
    where = f"{dataset.name} in {dataset.file.filename}"
    if dataset.ndim not in (2, 3) or dataset.dtype.kind not in "uif" or dataset.dtype.itemsize > 8:
        raise InputError(f"{where} is no stack of images: shape {dataset.shape}, type {dataset.dtype}.")
    if not dataset.size:
        raise InputError(f"{where} is empty: its shape is {dataset.shape}.")
    path = Path(dataset.file.filename)
    tree.use(path)
    if dataset.is_virtual:
        return _virtual(tree, dataset)
    plist = dataset.id.get_create_plist()
    layout = plist.get_layout()
    if dataset.external:
        for name, _, _ in dataset.external:
            file = linked_file(path, name)
            if file is None:
                raise DanglingError(f"{where} is stored in {name}, and there is no such file.")
            tree.use(file)
    elif layout == h5py.h5d.CONTIGUOUS:
        offset = dataset.id.get_offset()
        if offset is None:
            raise InputError(f"{where} has room for {dataset.shape[0]} frames, but none was ever written.")
        if _plain(dataset):
            shape = dataset.shape if dataset.ndim == 3 else (1, *dataset.shape)
            return RawFrames.contiguous(path, offset, shape, dataset.dtype)
    elif layout == h5py.h5d.CHUNKED and dataset.ndim == 3:
        return _chunked(dataset, path, _filters(plist, where))
    if dataset.ndim == 2 or layout == h5py.h5d.COMPACT:
        array = dataset[()]
        return Memory(array.reshape(-1, *array.shape[-2:]).astype(array.dtype.newbyteorder("="), copy=False))
    return DecodedFrames(dataset, Storage("contiguous"), np.empty(0, np.intp))


def _plain(dataset: h5py.Dataset) -> bool:
    """Say whether the bytes in the file are those of a NumPy array (no odd precision or offset of bits)."""
    return bool(dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype))


def _filters(plist: h5py.h5p.PropDCID, where: str) -> tuple[str, ...]:
    """Names of a dataset's filters; an unknown one is refused now rather than in the middle of a run."""
    names = []
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        label = name.decode("utf-8", "replace").split(";")[0].strip() or str(code)
        if not h5py.h5z.filter_avail(code):
            raise InputError(f"{where} is compressed with the HDF5 filter {code} ({label}), which isn't known here.")
        names.append(label)
    return tuple(names)


def _chunked(dataset: h5py.Dataset, path: Path, filters: tuple[str, ...]) -> Stack:
    frames, rows, columns = dataset.shape
    chunk = dataset.chunks
    storage = Storage("compressed" if filters else "chunked", chunk, filters)
    bands = -(-rows // chunk[1])
    raw = not filters and chunk[2] == columns and _plain(dataset)
    written = dataset.id.get_num_chunks()
    if not raw and written == -(-frames // chunk[0]) * bands * -(-columns // chunk[2]):
        return DecodedFrames(dataset, storage, np.empty(0, np.intp))
    offsets = np.full((-(-frames // chunk[0]), bands), -1, np.int64)
    pieces = np.zeros(offsets.shape, np.int64)

    def note(info: Any) -> None:
        where = (info.chunk_offset[0] // chunk[0], info.chunk_offset[1] // chunk[1])
        offsets[where] = info.byte_offset
        pieces[where] += 1

    dataset.id.chunk_iter(note)
    if not raw:
        whole = (pieces == -(-columns // chunk[2])).all(axis=1)
        return DecodedFrames(dataset, storage, np.flatnonzero(~np.repeat(whole, chunk[0])[:frames]))
    each = chunk[1] * columns * dataset.dtype.itemsize
    within = (np.arange(frames) % chunk[0])[:, None] * each
    layer = np.repeat(offsets, chunk[0], axis=0)[:frames]
    places = np.where(layer < 0, -1, layer + within)
    stack = RawFrames([path], np.zeros(frames, np.int32), places, dataset.shape, dataset.dtype, storage, chunk[1])
    stack.check_size()
    return stack


def _virtual(tree: Tree, dataset: h5py.Dataset) -> Stack:
    """Open a virtual dataset after a look at all its sources: HDF5 reads what is missing as zeros."""
    where = f"{dataset.name} in {dataset.file.filename}"
    if dataset.ndim != 3:
        raise InputError(f"{where} is a virtual dataset of shape {dataset.shape}; (frame, row, column) is needed.")
    pixels = dataset.shape[1] * dataset.shape[2]
    written = np.zeros(dataset.shape[0], np.int64)
    checked: dict[tuple[str, str], Source] = {}
    for source in dataset.virtual_sources():
        key = (source.file_name.replace("%b", "0"), source.dset_name.replace("%b", "0"))
        if key not in checked:
            checked[key] = source_of(tree, dataset, *key)
        known = checked[key]
        shown = _frames_of(source.vspace, dataset.shape[0])
        if shown is None:  # a mapping without end: HDF5 itself takes the extent from what is there
            written[:] = pixels
        elif known.written and not beyond(source, known.shape):
            written[shown] += source.vspace.get_select_npoints() // max(1, len(shown))
    gone = np.flatnonzero(written < pixels)
    return DecodedFrames(dataset, Storage("virtual"), gone, any(known.whole_frames for known in checked.values()))


def _frames_of(space: h5py.h5s.SpaceID, frames: int) -> NDArray[np.intp] | None:
    """Frames that a mapping fills, or None where it has no end."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return np.arange(frames)
    if space.is_regular_hyperslab():
        start, stride, count, block = (axis[0] for axis in space.get_regular_hyperslab())
        if max(count, block) >= ENDLESS:
            return None
        index: NDArray[np.intp] = (start + stride * np.arange(count)[:, None] + np.arange(block)).ravel()
        return index[index < frames]
    low, high = space.get_select_bounds()
    return np.arange(low[0], min(high[0] + 1, frames))


def beyond(mapping: Any, shape: tuple[int, ...]) -> bool:
    """Say whether a mapping takes more from its source than the source, of this shape, holds."""
    space = mapping.src_space
    if space.get_select_type() == h5py.h5s.SEL_ALL:  # such a space knows no extent
        return bool(mapping.vspace.get_select_npoints() > np.prod(shape))
    return any(last >= there for last, there in zip(space.get_select_bounds()[1], shape, strict=False))


ENDLESS = 2**62


class Source(NamedTuple):
    """A virtual dataset's source: its shape, whether all was written, whether reads decode whole frames."""

    shape: tuple[int, ...]
    written: bool
    whole_frames: bool


def source_of(tree: Tree, dataset: h5py.Dataset, file_name: str, name: str) -> Source:
    """Look at a source of a virtual dataset."""
    where = f"{dataset.name} in {dataset.file.filename}"
    parent = Path(dataset.file.filename)
    path = parent if file_name == "." else linked_file(parent, file_name)
    if path is None:
        raise DanglingError(
            f"{where} is made of {file_name}, and there is no such file: its frames would read as zeros.",
            "Put the file beside it, as the virtual dataset says.",
        )
    with Tree(path) as inside:
        target = inside.dataset(name)
        if target is None:
            raise DanglingError(f"{where} is made of {name} in {path}, and there is nothing.")
        if target.ndim not in (2, 3):
            tree.use(*inside.files, Path(target.file.filename))
            return Source(target.shape, written=True, whole_frames=False)
        stack = stack_of(inside, target)
        tree.use(*inside.files)
        return Source(target.shape, not stack.unwritten().size, stack.whole_frames)
