"""A result in the making: its folder, the lease on it, the journal of what is safe, the checkpoint."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hpcdaas.errors import Busy, HpcdaasError, InputError, unwritable
from hpcdaas.io import pieces
from hpcdaas.lease import Held, Lease, read_holder
from hpcdaas.safely import sync_folder, write_safely


class Partial:
    """The folder ``RESULT.partial``, held by one process at a time.

    The lease is a file that is locked (a lock ends with its process, however that ends) and says who
    holds it; its time is renewed, so that processes on other hosts can tell whether it is alive where
    locks don't reach them.

    Parameters
    ----------
    result : Path
        The final name.
    run : str
        Identity of the run: a checkpoint of another one counts as none.

    Raises
    ------
    InputError
        If the place can't be written, or another process is at work on the same result.
    """

    def __init__(self, result: Path, run: str) -> None:
        self._name(result, run, uuid.uuid4().hex, "journal")
        try:
            self.lease = self._take()
        except OSError as error:
            raise unwritable(result.parent, error) from error

    def _name(self, result: Path, run: str, token: str, journal: str) -> None:
        self.result, self.run, self.token = result, run, token
        self.folder = result.with_name(result.name + ".partial")
        self.data = self.folder / "result.h5"
        self._journal = self.folder / journal
        self._checkpoint = self.folder / "checkpoint.json"
        self._structure = self.folder / "structure"
        self._arrays = self.folder / pieces.FIRST

    def _take(self) -> Lease:
        while True:
            self.folder.mkdir(mode=0o2770, exist_ok=True)
            with suppress(FileNotFoundError):  # the folder was finished by another process just now
                try:
                    return Lease(self.folder / "lease", self.token)
                except Held as held:
                    raise Busy(
                        f"{self.result} is being made by {held}.", "Wait for it, or choose another -o."
                    ) from None

    def held(self) -> bool:
        """Say whether the lease is still ours."""
        return bool(read_holder(self.folder / "lease").get("token") == self.token)

    def _check_lease(self) -> None:
        if not self.held():
            raise HpcdaasError(f"Another process took over {self.result}.", "This one ends; look at the other's log.")

    @property
    def begun(self) -> bool:
        """Whether an attempt left something to go on from."""
        return self.data.exists() or self._arrays.exists()

    def checkpoint(self) -> dict[str, Any] | None:
        """Give what was saved of this run before, arrays under ``pieces``, or None."""
        if self._arrays.exists():
            return self._array_checkpoint()
        try:
            saved = json.loads(_read(self._checkpoint))
        except ValueError:
            return None
        right = isinstance(saved, dict) and saved.get("run") == self.run
        return saved if right and self.data.exists() and self._structure.exists() else None

    def save_checkpoint(self, content: Mapping[str, Any]) -> None:
        """Save what an attempt after this one needs to go on."""
        write_safely(self._checkpoint, json.dumps({"run": self.run, **content}).encode())

    def save_arrays(self, content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], generation: str) -> None:
        """Save what an attempt after this one needs to go on, where that is arrays: whole or not at all.

        Of many ranks rank 0 is the last to do this: with its file the checkpoint is whole.

        Parameters
        ----------
        content : mapping
            JSON-able; with ``generation`` and the number of ``ranks``.
        arrays : mapping
        generation : str
            Tells this checkpoint from those before.

        Raises
        ------
        HpcdaasError
            If the lease was lost: the checkpoint is another process's now.
        """
        self._write_arrays(self._arrays, {"run": self.run, **content}, arrays)
        pieces.sweep(self.folder, generation)

    def _write_arrays(self, path: Path, content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        with temporary.open("wb") as file:
            pieces.write(file, content, arrays)
            file.flush()
            os.fsync(file.fileno())
        self._check_lease()
        temporary.replace(path)
        sync_folder(self.folder)

    def _array_checkpoint(self) -> dict[str, Any] | None:
        saved = pieces.read(self.folder)
        return saved if saved is not None and saved.get("run") == self.run else None

    def done(self) -> list[dict[str, Any]]:
        """Read the journals: ``first``, ``count`` and ``tally`` of slices whose data is safe.

        A torn line counts as none; of several lines about the same slices the last one counts.
        """
        entries = {}
        for journal in sorted(self.folder.glob("journal*")):  # one of each rank
            for line in _read(journal).split(b"\n"):
                with suppress(ValueError):
                    entry = json.loads(line)
                    entries[entry["first"]] = entry
        return list(entries.values())

    def keep(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Forget all entries of the journals but these: what will be done again must not be counted twice."""
        several = list(self.folder.glob("journal*"))
        write_safely(self._journal, "".join(f"{json.dumps(entry)}\n" for entry in entries).encode())
        for journal in several:
            if journal != self._journal:
                journal.unlink(missing_ok=True)

    def note(self, first: int, count: int, tally: Mapping[str, int]) -> None:
        """Add slices to the journal; their data must be synced already.

        Raises
        ------
        HpcdaasError
            If the lease was lost: the journal is another process's now.
        """
        self._check_lease()
        entry = json.dumps({"first": first, "count": count, "tally": dict(tally)})
        line = f"\n{entry}\n".encode()  # apart from a torn line before it
        descriptor = os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o660)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def keep_structure(self, offset: int, size: int) -> None:
        """Keep all of the data file but its bulk, `size` bytes at `offset`: what HDF5 writes later may be cut short."""
        with self.data.open("rb") as file:
            head = file.read(offset)
            file.seek(offset + size)
            tail = file.read()
        write_safely(self._structure, b"%d %d\n" % (offset, size) + head + tail)

    def restore_structure(self) -> None:
        """Make the data file as it was when its structure was kept, but for the bulk that was written since."""
        first, _, kept = _read(self._structure).partition(b"\n")
        offset, size = map(int, first.split())
        with self.data.open("r+b") as file:
            file.write(kept[:offset])
            file.seek(offset + size)
            file.write(kept[offset:])
            file.truncate()

    def clear(self) -> None:
        """Forget an earlier attempt: its data, journal and checkpoint."""
        several = [path for name in ("journal*", "checkpoint*", ".checkpoint*") for path in self.folder.glob(name)]
        for path in (self._structure, self.data, *several):
            path.unlink(missing_ok=True)

    def finish(self, mode: int = 0o660, group: int | None = None) -> None:
        """Give the data its final name and end.

        Parameters
        ----------
        mode : int
            Permissions.
        group : int, optional
            Number of the group that it shall belong to. Default: the folder's, as it was made.

        Raises
        ------
        HpcdaasError
            If the lease was lost meanwhile.
        """
        if group is not None and self.data.stat().st_gid != group:
            os.chown(self.data, -1, group)
        self.data.chmod(mode)
        descriptor = os.open(self.data, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._check_lease()
        self.data.replace(self.result)
        sync_folder(self.result.parent)
        self.discard()

    def discard(self) -> None:
        """Remove the folder and give the lease back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Give the lease back and leave the folder for an attempt that goes on."""
        self.lease.release()


def sweep(result: Path) -> None:
    """Remove the folder of a finished result whose process was killed before it could do that."""
    folder = result.with_name(result.name + ".partial")
    if folder.is_dir() and not (folder / "result.h5").exists():
        with suppress(InputError):
            Partial(result, "").discard()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
