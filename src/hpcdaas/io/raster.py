"""A dataset of frames on a raster, (scan row, scan column, row, column), as one stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Stack, Storage
from hpcdaas.io.hdf5 import Tree, open_file
from hpcdaas.io.hdf5_frames import ENDLESS, beyond, source_of, stack_of
from hpcdaas.io.raw import RawFrames


class RasterFrames(Stack):
    """Frames of a 4-D dataset that only HDF5 can read, scan rows one after the other.

    Parameters
    ----------
    dataset : Dataset
        (scan row, scan column, row, column), of an open file.
    storage : Storage
        How it is stored.
    unwritten : ndarray
        Frames that have no data.
    """

    def __init__(self, dataset: h5py.Dataset, storage: Storage, unwritten: NDArray[np.intp]) -> None:
        down, self._across, rows, columns = dataset.shape
        super().__init__((down * self._across, rows, columns), dataset.dtype, storage, storage.kind == "compressed")
        self.path = Path(dataset.file.filename)
        self.name: str = dataset.name
        self._unwritten = unwritten
        self._file: h5py.File | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def unwritten(self) -> NDArray[np.intp]:
        """See `Stack.unwritten`."""
        return self._unwritten

    def close(self) -> None:
        """See `Stack.close`."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        if self._file is None:
            self._file = open_file(self.path)
        start = first
        while start < stop:
            line, begin = divmod(start, self._across)
            end = min(self._across, begin + stop - start)
            try:
                read = self._file[self.name][line, begin:end, rows.start : rows.stop : rows.step]
            except (OSError, KeyError, RuntimeError) as error:
                raise InputError(
                    f"{self.name} in {self.path}: frames {start} to {start + end - begin - 1} can't be decoded "
                    "(the file is damaged or truncated).",
                    "Copy it again; 'h5dump -d' shows what HDF5 says.",
                ) from error
            out[start - first : start - first + end - begin] = read
            start += end - begin


def views_of(tree: Tree, dataset: h5py.Dataset) -> tuple[Stack, tuple[int, int]]:
    """Give a dataset of diffraction frames as a stack, and the raster in which they stand.

    Parameters
    ----------
    tree : Tree
        The open file; learns which files hold the frames.
    dataset : Dataset
        (frame, row, column) or (scan row, scan column, row, column).

    Returns
    -------
    frames : Stack
        (frame, row, column).
    grid : tuple of int
        (scan rows, scan columns); (1, frames) where there is no raster.

    Raises
    ------
    InputError
        If it is neither, or there are no frames.
    """
    where = f"{dataset.name} in {dataset.file.filename}"
    if not dataset.size:
        raise InputError(f"{where} holds no frames: its shape is {dataset.shape}.")
    if dataset.ndim == 3 or dataset.dtype.kind not in "iuf":
        stack = stack_of(tree, dataset)
        return stack, (1, stack.shape[0])
    if dataset.ndim != 4:
        raise InputError(
            f"{where} has the shape {dataset.shape}; frames are (frame, row, column) or "
            "(scan row, scan column, row, column)."
        )
    tree.use(Path(dataset.file.filename))
    grid = (int(dataset.shape[0]), int(dataset.shape[1]))
    shape = (grid[0] * grid[1], int(dataset.shape[2]), int(dataset.shape[3]))
    plist = dataset.id.get_create_plist()
    if dataset.external:
        raise InputError(
            f"{where} is a raster in files of bytes, which isn't read.", "Give it as (frame, row, column)."
        )
    if dataset.is_virtual:
        return RasterFrames(dataset, Storage("virtual"), _missing(tree, dataset)), grid
    if plist.get_layout() == h5py.h5d.CONTIGUOUS:
        offset = dataset.id.get_offset()
        if offset is None:
            raise InputError(f"{where} has room for {shape[0]} frames, but none was ever written.")
        if dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype):
            return RawFrames.contiguous(Path(dataset.file.filename), offset, shape, dataset.dtype), grid
    chunk = dataset.chunks
    for number in range(plist.get_nfilters()):
        code = plist.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            raise InputError(f"{where} is compressed with the HDF5 filter {code}, which isn't known here.")
    kind = "compressed" if plist.get_nfilters() else "chunked" if chunk else "contiguous"
    storage = Storage(kind, (chunk[0] * chunk[1], *chunk[2:]) if chunk else None)
    return RasterFrames(dataset, storage, _unwritten(dataset)), grid


def _unwritten(dataset: h5py.Dataset) -> NDArray[np.intp]:
    """Indices of frames of which a chunk was never written."""
    chunk = dataset.chunks
    if chunk is None:
        return np.empty(0, np.intp)
    counts = [-(-size // part) for size, part in zip(dataset.shape, chunk, strict=True)]
    if dataset.id.get_num_chunks() == np.prod(counts):
        return np.empty(0, np.intp)
    pieces = np.zeros(counts[:2], np.int64)

    def note(info: Any) -> None:
        pieces[info.chunk_offset[0] // chunk[0], info.chunk_offset[1] // chunk[1]] += 1

    dataset.id.chunk_iter(note)
    whole = np.repeat(np.repeat(pieces == counts[2] * counts[3], chunk[0], axis=0), chunk[1], axis=1)
    return np.flatnonzero(~whole[: dataset.shape[0], : dataset.shape[1]].ravel())


def _missing(tree: Tree, dataset: h5py.Dataset) -> NDArray[np.intp]:
    """Indices of frames that a virtual dataset lacks; HDF5 would read them as zeros."""
    pixels = dataset.shape[2] * dataset.shape[3]
    written = np.zeros(dataset.shape[:2], np.int64)
    for source in dataset.virtual_sources():
        known = source_of(tree, dataset, source.file_name.replace("%b", "0"), source.dset_name.replace("%b", "0"))
        if not known.written or beyond(source, known.shape):
            continue
        lines = [_shown(source.vspace, axis, size) for axis, size in enumerate(dataset.shape[:2])]
        if (
            lines[0] is None or lines[1] is None
        ):  # a mapping without end: HDF5 itself takes the extent from what is there
            written[:] = pixels
        else:
            views = max(1, len(lines[0]) * len(lines[1]))
            written[np.ix_(lines[0], lines[1])] += source.vspace.get_select_npoints() // views
    return np.flatnonzero(written.ravel() < pixels)


def _shown(space: h5py.h5s.SpaceID, axis: int, size: int) -> NDArray[np.intp] | None:
    """Indices along an axis that a mapping fills, or None where it has no end."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return np.arange(size)
    if space.is_regular_hyperslab():
        start, stride, count, block = (values[axis] for values in space.get_regular_hyperslab())
        if max(count, block) >= ENDLESS:
            return None
        index: NDArray[np.intp] = (start + stride * np.arange(count)[:, None] + np.arange(block)).ravel()
        return index[index < size]
    low, high = space.get_select_bounds()
    return np.arange(low[axis], min(high[axis] + 1, size))
