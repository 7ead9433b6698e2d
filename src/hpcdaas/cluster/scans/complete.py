"""The proof that a scan is complete: a look at its files, and what several looks show together."""

from __future__ import annotations

import hashlib
import os
import stat
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.cluster.scans.lookers import Hung
from hpcdaas.cluster.site.rule import Rule
from hpcdaas.errors import InputError
from hpcdaas.io.detect import find as find_frames
from hpcdaas.io.found import Found
from hpcdaas.io.frames import Stack
from hpcdaas.io.hdf5 import SWMR_WRITER, WRITER, Tree, is_hdf5, text, writer_flags
from hpcdaas.io.ptycho import PtychoFound
from hpcdaas.scan import ScanTable

#: Seconds: the shortest pause between two looks at a scan that waits, the usual first one, and the longest.
BRIEF, SOON, LATE = 0.05, 0.5, 60.0
#: Where an Eiger's master says how many frames will come: their product.
EIGER = tuple(f"/entry/instrument/detector/detectorSpecific/{name}" for name in ("nimages", "ntrigger"))


@dataclass(frozen=True)
class Look:
    """What was seen of a scan at one moment.

    Attributes
    ----------
    state : str
        ``whole``: nothing is missing, at this moment. ``waiting``: something is. ``gone``: no such file.
        ``result``: a result of ours, and no scan.
        `Proof.add` turns these into ``complete``, ``waiting``, ``partial``, ``gone`` or ``result``.
    reason : str
        What is missing, one line.
    found, expected : int or None
        Frames that are there and that there should be, where that is known.
    files : tuple of Path
        All files that hold the scan's data, link targets too, as far as they are known.
    signature : str
        Stands for size, inode and time of change of these files.
    content : int
        Stands for the frames that were looked at: it grows where sizes and times don't.
    taken : float
        When the look began, ``time.monotonic()``, which is the same for all processes of a host.
    """

    state: str
    reason: str = ""
    found: int | None = None
    expected: int | None = None
    files: tuple[Path, ...] = ()
    signature: str = ""
    content: int = 0
    taken: float = 0.0


class Proof:
    """What the looks at one scan show together.

    A scan is complete if a look finds it whole, and neither its files nor its frames have changed for
    `Rule.quiet` seconds of this host's own clock: time stamps of shared file systems are late.

    Parameters
    ----------
    rule : Rule
        How long to be quiet, and when to give up.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.due = time.monotonic()
        self._seen: tuple[object, ...] | None = None
        self._since = 0.0
        self._hung = 0

    def add(self, look: Look | Hung | Exception) -> Look:
        """Take in a look, or what came in its place; say what is known now, and set when to look again (`due`)."""
        if not isinstance(look, Look):  # says nothing about the scan, however long it lasts
            self._hung += 1
            self.due = time.monotonic() + min(LATE * 10, LATE / 4 * 2**self._hung)
            return Look("waiting", look.reason if isinstance(look, Hung) else str(look))
        self._hung = 0
        # Why it waits counts, too: of a master whose files come one after the other only that changes.
        seen = (look.signature, look.found, look.content, look.reason)
        if seen != self._seen:
            self._seen, self._since = seen, look.taken
        if look.state in ("gone", "result"):
            return look
        still = look.taken - self._since
        if look.state == "whole" and still >= self.rule.quiet:
            return replace(look, state="complete", reason="")
        if look.state == "waiting" and still >= self.rule.give_up:
            return replace(look, state="partial", reason=f"nothing changed for {still:.0f} s: {look.reason}")
        self.due = look.taken + self._pause(look, still)
        if look.state == "whole":
            return replace(look, state="waiting", reason=f"whole; unchanged for {still:.1f} of {self.rule.quiet:g} s")
        return look

    def _pause(self, look: Look, still: float) -> float:
        """Seconds from a look to the next: as soon as something can be shown, later where nothing happens."""
        if look.state == "whole":
            return self.rule.quiet - still
        pause = min(LATE, max(BRIEF, min(SOON, self.rule.quiet), still / 4))
        return min(pause, max(self.rule.give_up - still, 0.01))


def look(path: Path, rule: Rule) -> Look:
    """Look at a scan: everything that can be seen at one moment.

    Parameters
    ----------
    path : Path
        A file, or a folder with a TIFF series.
    rule : Rule
        Of its detector.

    Returns
    -------
    Look
        ``whole`` if the rule's file is there, all frames and those of all linked files have room, were
        written, are as many as expected, nobody has a file open for writing (as far as HDF5's flags and
        this host's locks tell), and the last frame isn't empty. No error is raised: what can't be opened
        now may be opened later.
    """
    taken = time.monotonic()
    files: tuple[Path, ...] = (path,)
    try:
        if not _exists(path):
            return Look("gone", f"{path} isn't there", taken=taken)
        with _frames(path, rule) as (found, expected):
            files = tuple(found.files)
            seen = replace(_judge(found, expected, rule), files=files, signature=signature_of(files), taken=taken)
        writer = "" if seen.state != "whole" else _writer(files)
        if writer:
            return replace(seen, state="waiting", reason=writer)
        return seen if rule.finished(path) else replace(seen, state="waiting", reason=f"no file {rule.done} yet")
    except InputError as error:
        if path.is_file() and _is_result(path):  # opening anything else could block
            return Look("result", f"{path} is a result of hpcdaas", taken=taken)
        return Look("waiting", error.message, files=files, signature=_signature_or_none(files), taken=taken)
    except Exception as error:  # HDF5 and tifffile raise whatever they like while a file is being written
        reason = f"{path} can't be read yet: {type(error).__name__}: {error}".splitlines()[0]
        return Look("waiting", reason, files=files, signature=_signature_or_none(files), taken=taken)


def signature_of(files: Iterable[Path]) -> str:
    """Give a text that changes when one of the files is rewritten, replaced, or cut.

    Raises
    ------
    OSError
        If one can't be looked at.
    """
    lines = []
    for path in files:
        s = path.stat()
        lines.append(f"{os.fspath(path)!r} {s.st_size} {s.st_ino} {s.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _signature_or_none(files: tuple[Path, ...]) -> str:
    try:
        return signature_of(files)
    except OSError:
        return ""


def _exists(path: Path) -> bool:
    """Say whether there is a file or a folder; one of another kind is refused before it is opened."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is neither a file nor a folder.")
    return True


@contextmanager
def _frames(path: Path, rule: Rule) -> Iterator[tuple[Found | PtychoFound, int | None]]:
    """Open a scan without what only a recipe can say, and read how many frames are expected."""
    table = ScanTable.model_validate({"paths": {"data": rule.data} if rule.data else {}})
    if path.is_file() and not path.stat().st_size:
        raise InputError(f"{path} is empty.")
    found = find_frames(path, table)
    with closing(found.frames):
        yield found, _expected(path, found, rule)


def _expected(path: Path, found: Found | PtychoFound, rule: Rule) -> int | None:
    if isinstance(rule.frames, int):
        return rule.frames
    places = EIGER if rule.frames is None and found.format == "csaxs" else (rule.frames,)
    if places == (None,):
        return None
    if path.is_dir() or not is_hdf5(path):
        raise InputError(f"{path} is no HDF5 file: the number of its frames can't be read at {rule.frames}.")
    with Tree(path) as tree:
        numbers = [_number(tree, place) for place in places if place is not None]
        known = [number for number in numbers if number is not None]
        if not known and rule.frames is not None:
            raise InputError(f"{path} has no number of frames at {rule.frames} yet.")
        return int(np.prod(known)) if numbers[0] is not None else None


def _number(tree: Tree, place: str) -> int | None:
    dataset = tree.dataset(place)
    if dataset is None or dataset.dtype.kind not in "iu" or dataset.size != 1:
        return None
    return int(np.ravel(dataset[()])[0])


def _judge(found: Found | PtychoFound, expected: int | None, rule: Rule) -> Look:
    """Count the frames, and look at the last one."""
    frames = found.frames
    total = frames.shape[0]
    gone = frames.unwritten()
    there = total - len(gone)
    wanted = max(total, expected or 0)
    counted = Look("waiting", found=there, expected=wanted)
    if there < wanted:
        first = int(gone[0]) if gone.size else total
        return replace(counted, reason=f"{there} of {wanted} frames are there; number {first} is the first that isn't")
    for what, stack in _apart(found):
        missing = stack.unwritten()
        if missing.size:
            return replace(counted, reason=f"{len(missing)} of {stack.shape[0]} {what} aren't written")
    last = _frame(frames, total - 1)
    counted = replace(counted, content=zlib.crc32(last.tobytes()))
    if not rule.blank and _blank(last, found.files):
        filled = _filled(frames, found.files)
        return replace(counted, found=filled, reason=f"the last frame is empty; {filled} of {wanted} look filled")
    return replace(counted, state="whole")


def _apart(found: Found | PtychoFound) -> list[tuple[str, Stack]]:
    if isinstance(found, PtychoFound):
        return []
    return [*(("flats", stack) for stack, _ in found.flats), *(("darks", stack) for stack in found.darks)]


def _frame(frames: Stack, number: int) -> NDArray[Any]:
    return frames.read(slice(number, number + 1), slice(None)).reshape(frames.shape[1:])


def _blank(frame: NDArray[Any], files: Iterable[Path]) -> bool:
    """Say whether a frame holds nothing but zeros, or a fill value of its file."""
    value = frame.ravel()[0]
    if not np.array_equal(frame, np.broadcast_to(value, frame.shape), equal_nan=frame.dtype.kind == "f"):
        return False
    return bool(value == 0 or value != value or any(value == fill for fill in _fills(files)))


def _fills(files: Iterable[Path]) -> Iterator[float]:
    """Fill values of all stacks in the files; asked for only where a frame is suspicious."""
    for path in files:
        if path.is_file() and is_hdf5(path):
            with Tree(path) as tree:
                for node in tree.nodes.values():
                    if getattr(node, "ndim", 0) >= 3 and node.dtype.kind in "iuf":  # type: ignore[union-attr]
                        yield node.fillvalue  # type: ignore[union-attr]


def _filled(frames: Stack, files: list[Path]) -> int:
    """How many frames come before the empty ones at the end, by halving: they are filled in their order."""
    low, high = 0, frames.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if _blank(_frame(frames, middle), files):
            high = middle
        else:
            low = middle + 1
    return low


def _writer(files: Iterable[Path]) -> str:
    """Say which file is open for writing, as far as can be seen without a lock of our own, or ""."""
    locked = _locked()
    for path in files:
        if writer_flags(path) & (WRITER | SWMR_WRITER):
            return f"{path} is still open for writing, or its writer died ('h5clear -s' mends it)"
        s = path.stat()
        if f"{os.major(s.st_dev):02x}:{os.minor(s.st_dev):02x}:{s.st_ino}" in locked:
            return f"{path} is locked by its writer"
    return ""


def _locked() -> set[str]:
    """Files on which processes of this host hold a lock for writing.

    A lock of our own, even a shared one, could make a detector's writer fail; so the kernel's list is read.
    """
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return set()
    words = [line.split() for line in lines if " -> " not in line]
    return {word[5] for word in words if len(word) > 5 and word[3] == "WRITE"}


def _is_result(path: Path) -> bool:
    try:
        with Tree(path) as tree:
            return bool(text(tree.peek("/entry/process/run")))
    except (InputError, OSError, RuntimeError):
        return False
