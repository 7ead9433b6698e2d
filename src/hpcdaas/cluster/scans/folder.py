"""The watched folders are listed again and again: events don't cross the nodes of a shared file system."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from hpcdaas.cluster.scans.child import Child, LostError, wait_for
from hpcdaas.cluster.site.rule import Rule

#: Files of those that are known that a poll asks for size and time, in turns.
STATS = 500
#: Folders within folders; links to folders aren't followed, and so there are no circles.
DEPTH = 32
#: How late time stamps of files may be, seconds: clocks of file servers differ from this host's.
LAG = 300.0
#: Seconds: the shortest and the longest pause after a folder hung.
SOON, LATE = 10.0, 600.0


@dataclass(frozen=True)
class Seen:
    """A file that is a scan by its name, and the rule that says so."""

    path: Path
    rule: Rule


@dataclass
class Changes:
    """What a poll found.

    Attributes
    ----------
    new, changed : list of Seen
        Scans that are there for the first time, and those that were replaced or rewritten.
    doubtful : list of Seen
        Scans that may have been rewritten: they came back, or were changed while nobody looked.
    gone : list of Path
        Scans that were there before.
    refused : list of (Path, reason)
        Links to files outside of the allowed folders.
    errors : list of (folder, reason)
        Folders that can't be listed; those below are tried again with the next poll.
    """

    new: list[Seen] = field(default_factory=list)
    changed: list[Seen] = field(default_factory=list)
    doubtful: list[Seen] = field(default_factory=list)
    gone: list[Path] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    errors: list[tuple[Path, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.new, self.changed, self.doubtful, self.gone, self.refused, self.errors))

    def add(self, other: Changes) -> None:
        """Take in the changes of another folder."""
        for name in ("new", "changed", "doubtful", "gone", "refused", "errors"):
            getattr(self, name).extend(getattr(other, name))


@dataclass
class _Listing:
    """What is known of one folder: all names with their inodes, those that are folders, those that are scans."""

    names: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    scans: dict[str, Rule] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)  # links that lead nowhere yet


class Folder:
    """A watched folder with all that is below it.

    A poll lists names with their inodes and compares them with the last listing as a whole; a file is
    looked at by itself only when it is new. A file that was rewritten in place keeps its inode: so some
    hundred known scans are asked for their size and time in each poll, in turns.

    Parameters
    ----------
    root : Path
        The folder.
    rules : sequence of Rule
        The first one that matches a file counts.
    roots : iterable of Path, optional
        Folders under which all files must lie, links resolved. Default: anywhere.

    Attributes
    ----------
    since : float
        When somebody looked last, before the first poll; seconds since 1970. Infinite: nobody did.
    """

    def __init__(self, root: Path, rules: Sequence[Rule], roots: Iterable[Path] = ()) -> None:
        self.root, self._rules, self._roots = root.absolute(), tuple(rules), tuple(roots)
        self.since = math.inf
        self._listed, self._unasked = False, set[str]()  # of the first listing: not yet asked for their times
        self._listings: dict[str, _Listing] = {}
        self._turn: deque[str] = deque()
        self._stats: dict[str, tuple[int, int] | None] = {}

    def poll(self) -> Changes:
        """Say what has changed since the last poll; the first one names everything."""
        changes = Changes()
        if not self._allowed(self.root):
            changes.errors.append((self.root, "it lies outside of the allowed folders"))
            return changes
        listed: set[str] = set()
        kept: list[str] = []
        waiting = [""]
        while waiting:
            relative = waiting.pop()
            try:
                below = self._list(relative, changes)
            except OSError as error:
                if relative and isinstance(error, FileNotFoundError | NotADirectoryError):
                    continue  # it went away between two listings
                kept.append(relative)  # what can't be listed now may still be there
                changes.errors.append((self._path(relative), error.strerror or str(error)))
                continue
            listed.add(relative)
            if relative.count("/") < DEPTH:
                waiting += below
        for relative in self._listings.keys() - listed:
            if not any(not bad or relative == bad or relative.startswith(f"{bad}/") for bad in kept):
                self._forget(relative, changes)
        if self._listed:
            changes.doubtful += changes.new
        elif "" in listed:
            self._listed, self._unasked = True, set(self._stats)
        self._ask_some(changes)
        return changes

    def _path(self, relative: str) -> Path:
        return self.root / relative if relative else self.root

    def _list(self, relative: str, changes: Changes) -> list[str]:
        """List one folder; give the folders in it."""
        listing = self._listings.setdefault(relative, _Listing())
        with os.scandir(self._path(relative)) as entries:
            found = list(entries)
        names = {entry.name: entry.inode() for entry in found}
        prefix = f"{relative}/" if relative else ""
        if names != listing.names or listing.unsettled:
            for name in listing.names.keys() - names.keys():
                listing.folders.discard(name)
                listing.unsettled.discard(name)
                if listing.scans.pop(name, None):
                    self._drop(prefix + name, changes)
            other = {name for name, _ in names.items() - listing.names.items()} | listing.unsettled
            listing.names = names
            for entry in sorted((entry for entry in found if entry.name in other), key=lambda entry: entry.name):
                self._settle(prefix + entry.name, entry, listing, changes)
        return [prefix + name for name in listing.folders]

    def _settle(self, relative: str, entry: os.DirEntry[str], listing: _Listing, changes: Changes) -> None:
        """Find out what a new name is."""
        listing.unsettled.discard(entry.name)
        listing.folders.discard(entry.name)
        known = listing.scans.pop(entry.name, None) is not None
        rule = self._rule(relative, entry, listing, changes)
        if rule is None:
            if known:
                self._drop(relative, changes)
            return
        listing.scans[entry.name] = rule
        if relative not in self._stats:
            self._turn.append(relative)
        self._stats[relative] = None
        (changes.changed if known else changes.new).append(Seen(self._path(relative), rule))

    def _rule(self, relative: str, entry: os.DirEntry[str], listing: _Listing, changes: Changes) -> Rule | None:
        """Give the rule of a scan; None for all else, of which folders and open links are remembered."""
        folder = entry.is_dir(follow_symlinks=False)
        rule = next((rule for rule in self._rules if rule.matches(relative, folder)), None)
        if folder:
            if rule is None and not entry.name.startswith(".") and not entry.name.endswith(".partial"):
                listing.folders.add(entry.name)
            return rule
        if rule is None:
            return None
        if not entry.is_file():
            if entry.is_symlink():
                listing.unsettled.add(entry.name)
            return None
        if entry.is_symlink() and not self._allowed(self._path(relative)):
            changes.refused.append((self._path(relative), "it is a link that leads out of the allowed folders"))
            return None
        return rule

    def _allowed(self, path: Path) -> bool:
        if not self._roots:
            return True
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(os.path.realpath(root)) for root in self._roots)

    def _drop(self, relative: str, changes: Changes) -> None:
        self._stats.pop(relative, None)
        changes.gone.append(self._path(relative))

    def _forget(self, relative: str, changes: Changes) -> None:
        """Drop a folder that is no more."""
        prefix = f"{relative}/" if relative else ""
        for name in self._listings.pop(relative).scans:
            self._drop(prefix + name, changes)

    def _ask_some(self, changes: Changes) -> None:
        """Ask some known scans for their size and time."""
        for _ in range(min(STATS, len(self._turn))):
            relative = self._turn.popleft()
            if relative not in self._stats:
                continue
            self._turn.append(relative)
            try:
                status = self._path(relative).stat()
            except OSError:
                continue  # the next listing says so
            now, before = (status.st_size, status.st_mtime_ns), self._stats[relative]
            self._stats[relative] = now
            folder, _, name = relative.rpartition("/")
            seen = Seen(self._path(relative), self._listings[folder].scans[name])
            if relative in self._unasked:
                self._unasked.remove(relative)
                if status.st_ctime > self.since - LAG:
                    changes.doubtful.append(seen)
            elif before is not None and now != before:
                changes.changed.append(seen)


class Folders:
    """Several watched folders, each polled by a process of its own: one that hangs stalls none of the others.

    Not to be used by several threads at once. A process that was lost is replaced, and then names all
    scans of its folder as new again, and as doubtful those that were changed since it answered last.

    Parameters
    ----------
    folders : sequence of Path
    rules : sequence of Rule
    roots : iterable of Path, optional
        See `Folder`.
    timeout : float, optional
        Seconds that a poll may take.
    since : float, optional
        When an earlier process looked last, seconds since 1970. Default: none did.
    """

    def __init__(
        self, folders: Sequence[Path], rules: Sequence[Rule], roots: Iterable[Path] = (), timeout: float = 60.0,
        since: float = math.inf,
    ) -> None:  # fmt: skip
        roots = tuple(roots)
        self._polled = [_Polled(Folder(folder, rules, roots), timeout, since) for folder in folders]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def processes(self) -> tuple[int, ...]:
        """Numbers of the processes."""
        return tuple(polled.child.process.pid for polled in self._polled if polled.child)

    def ask(self) -> None:
        """Begin a poll of each folder that isn't busy with one. Never blocks."""
        for polled in self._polled:
            polled.ask()

    def answers(self, wait: float = 0.0) -> Changes:
        """Give what the polls found that have ended.

        Parameters
        ----------
        wait : float, optional
            Seconds to wait until all folders have answered.
        """
        until = time.monotonic() + wait
        changes = Changes()
        while True:
            for polled in self._polled:
                polled.collect(changes)
            busy = [polled.child for polled in self._polled if polled.child and polled.child.busy]
            left = until - time.monotonic()
            if not busy or left <= 0:
                return changes
            wait_for(busy, min(left, 0.25))

    def poll(self, wait: float = 1.0) -> Changes:
        """Poll all folders, and give what has been found within some seconds; the rest comes with `answers`."""
        self.ask()
        return self.answers(wait)

    def close(self) -> None:
        """End all processes."""
        for polled in self._polled:
            polled.close()


class _Polled:
    """A folder and the process that polls it."""

    def __init__(self, folder: Folder, timeout: float, since: float) -> None:
        self._folder, self._timeout = folder, timeout
        self._folder.since = self._asked = since
        self.child: Child | None = None
        self._left: Child | None = None
        self._not_before, self._failures = 0.0, 0

    def ask(self) -> None:
        if self._left is not None and self._left.gone():
            self._left = None
        if self._left is not None or time.monotonic() < self._not_before:
            return
        if self.child is None:
            self.child = Child(self._folder.poll)
        if not self.child.busy:
            self._asked = time.time()
            self.child.ask()

    def collect(self, changes: Changes) -> None:
        """Take in the answer, or find out that there will be none."""
        if self.child is None:
            return
        try:
            answer = self.child.answer()
        except LostError as error:
            self._lose(f"the process that lists it ended: {error.message}", changes)
            return
        if answer is None:
            if self.child.late(self._timeout):
                self._lose(f"it doesn't answer within {self._timeout:g} s", changes)
            return
        value, failure = answer
        if failure is not None:
            changes.errors.append((self._folder.root, str(failure)))
            return
        self._failures = 0
        self._folder.since = self._asked  # for a process that takes this one's place
        changes.add(value)

    def _lose(self, reason: str, changes: Changes) -> None:
        """Replace a process, the later the more often that happened."""
        changes.errors.append((self._folder.root, reason))
        if self._failures:
            self._not_before = time.monotonic() + min(LATE, SOON * 2 ** (self._failures - 1))
        self._failures += 1
        if self.child is not None:
            self.child.kill()
            if not self.child.gone(wait=0.05):
                self._left = self.child
        self.child = None

    def close(self) -> None:
        for child in (self.child, self._left):
            if child is not None:
                child.kill()
                child.gone(wait=1.0)
        self.child = self._left = None
