"""Large files past the page cache, where the system allows it: bytes go between memory and disk without a copy.

Copying gigabytes into pages that have to be made first takes a core away from what computes, and pages
that must be safe at once gain nothing from waiting there. What doesn't fit the system's rules (whole pages,
at addresses of whole pages) goes the ordinary way, and all of it where the file system refuses.
"""

from __future__ import annotations

import errno
import hashlib
import math
import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Memory, file offsets and lengths are multiples of this: larger than the blocks of all usual disks.
PAGE = max(4096, mmap.PAGESIZE)
#: Fewer bytes than this are faster by way of the page cache.
WORTH = 1 << 20
#: Bytes of data at another address that are copied to whole pages at once.
BOUNCE = 8 << 20
#: Bytes that are read at once for a checksum, while as many are summed.
PIECE = 32 << 20
_FLAG = getattr(os, "O_DIRECT", 0)
_REFUSED = (errno.EINVAL, errno.EOPNOTSUPP)


def page_aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Give an array, not initialised, that begins with a page."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + PAGE, np.uint8)
    start = -raw.ctypes.data % PAGE
    return raw[start : start + size].view(dtype).reshape(shape)


class DirectWriter:
    """Writes an open file; one thread at a time.

    Parameters
    ----------
    path : Path
        The file.
    descriptor : int
        The same file, open for writing: the ordinary way. It stays open.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._ordinary = descriptor
        self._direct = _open(path, os.O_WRONLY)
        self._bounce: NDArray[Any] | None = None

    @property
    def direct(self) -> bool:
        """Whether the file system has allowed it so far."""
        return self._direct is not None

    def write(self, data: NDArray[Any], offset: int) -> None:
        """Write an array of contiguous data at an offset of the file. It is not synced.

        Raises
        ------
        OSError
            If it can't be written.
        """
        flat = data.reshape(-1).view(np.uint8)
        first = min(-offset % PAGE, len(flat))
        last = max(first, (offset + len(flat)) // PAGE * PAGE - offset)
        if self._direct is None or last - first < WORTH:
            first = last = 0
        _write(self._ordinary, flat[:first], offset)
        done = self._write_pages(flat[first:last], offset + first)
        _write(self._ordinary, flat[first + done :], offset + first + done)

    def _write_pages(self, pages: NDArray[np.uint8], offset: int) -> int:
        """Write whole pages; gives how many bytes were: fewer where the file system refuses."""
        done = 0
        try:
            while self._direct is not None and done < len(pages):
                written = os.pwrite(self._direct, self._at_a_page(pages[done:]).data, offset + done)
                if written < PAGE:
                    break
                done += written // PAGE * PAGE
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self.close()
        return done

    def _at_a_page(self, pages: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give the same bytes where they may be written from: a copy of the first of them, if need be."""
        if pages.ctypes.data % PAGE == 0:
            return pages
        if self._bounce is None:
            self._bounce = page_aligned((BOUNCE,), np.uint8)
        some = self._bounce[: len(pages)]
        some[...] = pages[: len(some)]
        return some

    def close(self) -> None:
        """Go on the ordinary way."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file as hex digits, read from the disk: one piece is read while another is summed.

    Raises
    ------
    OSError
        If the file can't be read.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(1, "checksum") as ahead:
        size = os.fstat(file.fileno()).st_size
        direct = _open(path, os.O_RDONLY) if size >= WORTH else None
        pieces = [page_aligned((min(PIECE, (size // PAGE + 1) * PAGE),), np.uint8) for _ in range(2)]
        try:
            at, coming = 0, ahead.submit(_read, direct, file.fileno(), pieces[0], 0)
            while count := coming.result():
                at += count
                piece = pieces[0][:count]
                pieces.reverse()
                coming = ahead.submit(_read, direct, file.fileno(), pieces[0], at)
                digest.update(piece.data)
        finally:
            ahead.shutdown()
            if direct is not None:
                os.close(direct)
    return digest.hexdigest()


def _open(path: Path, flags: int) -> int | None:
    """Open a file past the page cache; None where that isn't allowed."""
    if not _FLAG:
        return None
    try:
        return os.open(path, flags | _FLAG)
    except OSError:
        return None


def _read(direct: int | None, ordinary: int, into: NDArray[np.uint8], offset: int) -> int:
    """Read up to a whole array; gives how many bytes."""
    if direct is not None and offset % PAGE == 0:
        try:
            return os.preadv(direct, [into.data], offset)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
    return os.preadv(ordinary, [into.data], offset)


def _write(descriptor: int, data: NDArray[np.uint8], offset: int) -> None:
    view = data.data
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
