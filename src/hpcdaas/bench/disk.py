"""What a folder's file system does with results: written in our layout and synced, read again from the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from hpcdaas.bench.rounds import Task, timed
from hpcdaas.direct import page_aligned
from hpcdaas.errors import InputError
from hpcdaas.io.nexus_result import Layout, VolumeFile
from hpcdaas.io.partial import Partial
from hpcdaas.io.raw import RawFrames
from hpcdaas.safely import write_safely
from hpcdaas.tomo.plan import BATCH

WRITE, READ, SYNC = "a byte written and synced", "a byte read from the disk", "a small file written and synced"
#: Small files of a run.
FILES = 20


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Give a folder of its own below one, which is removed again.

    Raises
    ------
    InputError
        If it can't be made.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="hpcdaas-bench-", dir=folder)
    except OSError as error:
        raise InputError(f"{folder} can't be used: {error.strerror}.", "Name another folder with --scratch.") from error
    with made as name:
        yield Path(name)


def file_system(folder: Path) -> str:
    """Name the kind of file system that a folder is on."""
    here, best, kind = folder.resolve(), Path("/"), "unknown"
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return kind
    for place, name in mounts:
        at = Path(place.replace("\\040", " "))
        if here.is_relative_to(at) and len(at.parts) >= len(best.parts):
            best, kind = at, name
    return kind


class Disk:
    """A result in the making in a folder.

    A byte is written as `hpcdaas reconstruct` does it: a contiguous dataset that HDF5 has laid out, 16 slices at an
    offset past the page cache, synced, noted in the journal. It is read as scans are, and the system has forgotten it
    before.

    Parameters
    ----------
    folder : Path
        Its own; emptied by who made it.
    quick : bool
        Tiny sizes: only to see that it works.
    """

    def __init__(self, folder: Path, quick: bool = False) -> None:
        size, self._batches = (64, 1) if quick else (1024, 4)
        self._folder = folder
        self._slices = page_aligned((BATCH, size, size), np.float32)
        self._slices[...] = np.random.default_rng(0).random(self._slices.shape, np.float32)
        self._layout = Layout((self._batches * BATCH, size, size), "float32")
        self._partial = Partial(folder / "written.h5", "0" * 64)
        self._file = VolumeFile(self._partial, self._layout, new=True)
        with h5py.File(self._partial.data, "r", locking=False) as file:
            offset: int = file["entry/data/data"].id.get_offset()
        self._frames = RawFrames.contiguous(self._partial.data, offset, self._layout.shape, np.dtype(np.float32))

    def tasks(self) -> dict[str, Task]:
        """Give what answers with the seconds of a byte, and of a small file."""
        return {WRITE: self.write, READ: self.read, SYNC: self.sync}

    def write(self) -> float:
        """Write and sync; the whole is on the disk from the first time on."""
        return timed(self._write)() / self._layout.bytes

    def _write(self) -> None:
        for i in range(self._batches):
            self._file.put(i * BATCH, self._slices, {})

    def read(self) -> float:
        """Read what was written, which the system has forgotten."""
        descriptor = os.open(self._partial.data, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        return timed(self._read)() / self._layout.bytes

    def _read(self) -> None:
        for first in range(0, self._layout.shape[0], BATCH):
            self._frames.read(slice(first, first + BATCH), slice(None), self._slices)

    def sync(self) -> float:
        """Write small files, each safe before the next, as records and ledgers are."""
        numbered = [self._folder / f"small{i}" for i in range(FILES)]
        return timed(lambda: _write_all(numbered))() / FILES

    def close(self) -> None:
        """Close the file and give the lease back."""
        self._file.close()
        self._partial.release()


def _write_all(files: list[Path]) -> None:
    for path in files:
        write_safely(path, b"{}" * 2048)
