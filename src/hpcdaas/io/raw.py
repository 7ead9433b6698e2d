"""Frames that lie in files as they are in memory, read straight into place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.io.frames import Stack, Storage

#: Bytes asked for in one system call: large enough for full speed, small enough for Ctrl-C to be heard.
CALL = 64 << 20


class RawFrames(Stack):
    """Frames whose bytes lie in files as they are in memory: read by ``preadv`` straight into place.

    Nothing stays open between reads, so that an instance can be pickled and used by any thread;
    neither the GIL nor HDF5's lock is held while the system copies.

    Parameters
    ----------
    files : sequence of Path
        The files.
    source : ndarray, (frames,), int
        In which of the files a frame lies.
    offsets : ndarray, (frames, bands), int64
        Where a band of `band` rows of a frame begins, in bytes; −1 where it was never written.
    shape, dtype, storage
        See `Stack`; `dtype` in the byte order of the file.
    band : int, optional
        Rows that lie together; the last band may hold fewer. Default: all.
    """

    def __init__(
        self,
        files: Sequence[Path],
        source: NDArray[np.integer[Any]],
        offsets: NDArray[np.int64],
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        storage: Storage,
        band: int | None = None,
    ) -> None:
        super().__init__(shape, dtype, storage)
        self.files = tuple(files)
        self._stored = dtype
        self._source = source
        self._offsets = offsets
        self._band = band or shape[1]

    @classmethod
    def contiguous(cls, path: Path, offset: int, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> RawFrames:
        """Give frames that lie one after the other in one file.

        Raises
        ------
        InputError
            If the file ends before the last frame does.
        """
        offsets = offset + np.arange(shape[0], dtype=np.int64)[:, None] * (shape[1] * shape[2] * dtype.itemsize)
        stack = cls([path], np.zeros(shape[0], np.int32), offsets, shape, dtype, Storage("contiguous"))
        stack.check_size()
        return stack

    def check_size(self) -> None:
        """Refuse files that end before their last frame does.

        Raises
        ------
        InputError
            If one does.
        """
        tail = self.shape[1] - (self._offsets.shape[1] - 1) * self._band
        for number, path in enumerate(self.files):
            offsets = self._offsets[self._source == number]
            if offsets.size:
                last = int(np.argmax(offsets.max(axis=0)))
                rows = tail if last == self._offsets.shape[1] - 1 else self._band
                end = int(offsets.max()) + rows * self.shape[2] * self._stored.itemsize
                size = path.stat().st_size
                if end > size:
                    raise truncated(path, end, size)

    def take(self, index: NDArray[np.intp]) -> Stack:
        """See `Stack.take`: costs nothing later, since only the offsets are picked."""
        shape = (len(index), *self.shape[1:])
        return RawFrames(
            self.files, self._source[index], self._offsets[index], shape, self._stored, self.storage, self._band
        )

    def rows_as_frames(self) -> RawFrames:
        """Give the rows of the only frame as frames of one row: a sinogram as projections."""
        _, rows, columns = self.shape
        offsets = self._offsets[0, 0] + np.arange(rows, dtype=np.int64)[:, None] * columns * self._stored.itemsize
        shape = (rows, 1, columns)
        return RawFrames(self.files, np.repeat(self._source, rows), offsets, shape, self._stored, self.storage)

    def unwritten(self) -> NDArray[np.intp]:
        """See `Stack.unwritten`."""
        return np.flatnonzero((self._offsets < 0).any(axis=1))

    def _fill(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        if self._close_rows(rows):
            self._fill_dense(first, stop, rows, out)
        elif not out[0].flags.c_contiguous:
            out[...] = self.read(slice(first, stop), slice(rows.start, rows.stop, rows.step))
        else:
            self._copy(first, stop, rows, out)
            if self._stored != self.dtype:
                out.byteswap(inplace=True)

    def _copy(self, first: int, stop: int, rows: range, out: NDArray[Any]) -> None:
        """Copy bytes from the files to `out`, each of whose frames is contiguous."""
        frame = len(rows) * self.shape[2] * self._stored.itemsize
        together = out.flags.c_contiguous
        views = [_bytes_of(out)] if together else [_bytes_of(part) for part in out]
        current, descriptor = -1, -1
        try:
            for source, offset, start, length in self._runs(first, stop, rows, 0 if together else frame):
                if source != current:
                    if descriptor >= 0:
                        os.close(descriptor)
                        descriptor = -1
                    descriptor, current = os.open(self.files[source], os.O_RDONLY | os.O_CLOEXEC), source
                which, where = (0, start) if together else divmod(start, frame)
                _read_into(descriptor, views[which][where : where + length], offset, self.files[source])
        except OSError as error:
            raise InputError(f"{self.files[max(current, 0)]} can't be read: {error.strerror}.") from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _runs(self, first: int, stop: int, rows: range, frame: int) -> Iterator[tuple[int, int, int, int]]:
        """Give (file, offset, place in the output, bytes) of all that lies together, in the order of the output.

        With `frame`, the bytes of an output frame, no run crosses from a frame to the next.
        """
        row = self.shape[2] * self._stored.itemsize
        if rows.step == 1:
            edges = range((rows.start // self._band + 1) * self._band, rows.stop, self._band)
            lower = np.array([rows.start, *edges], np.int64)
            lengths = np.diff([*lower, rows.stop]) * row
        else:
            lower = np.arange(rows.start, rows.stop, rows.step, dtype=np.int64)
            lengths = np.full(len(lower), row)
        band = lower // self._band
        offsets = (self._offsets[first:stop][:, band] + (lower - band * self._band) * row).ravel()
        if (self._offsets[first:stop][:, band] < 0).any():
            raise InputError(f"{self.files[0]} lacks frames that were never written.")
        sources = np.repeat(self._source[first:stop], len(lower))
        sizes = np.tile(lengths, stop - first)
        places = np.cumsum(sizes) - sizes
        apart = (offsets[1:] != offsets[:-1] + sizes[:-1]) | (sources[1:] != sources[:-1])
        if frame:
            apart |= places[1:] % frame == 0
        begin = np.flatnonzero(np.concatenate(([True], apart)))
        total = np.add.reduceat(sizes, begin)
        yield from zip(
            sources[begin].tolist(), offsets[begin].tolist(), places[begin].tolist(), total.tolist(), strict=True
        )


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _read_into(descriptor: int, view: memoryview, offset: int, path: Path) -> None:
    """Fill `view` from a place in a file; the system may give fewer bytes than asked for."""
    done = 0
    while done < len(view):
        got = os.preadv(descriptor, [view[done : done + CALL]], offset + done)
        if not got:
            raise truncated(path, offset + len(view), offset + done)
        done += got


def truncated(path: Path, needed: int, size: int) -> InputError:
    """Say that a file is too short."""
    return InputError(
        f"{path} is truncated: its data end at byte {needed}, the file at byte {size}.",
        "Copy it again, or wait until it is written.",
    )
