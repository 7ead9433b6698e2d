"""The state folder: the ledger, the watcher's lease, and a folder for each run with its recipe, script, log and end."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcdaas.errors import Busy, HpcdaasError, InputError
from hpcdaas.lease import EXPIRED, Held, Lease, read_holder
from hpcdaas.safely import write_safely


def default_folder() -> Path:
    """Say where an account's own state is: ``$XDG_STATE_HOME/hpcdaas``."""
    home = Path(os.environ.get("XDG_STATE_HOME") or "-")
    return (home if home.is_absolute() else Path.home() / ".local/state") / "hpcdaas"


class StateFolder:
    """What a watcher remembers on disk.

    Parameters
    ----------
    path : Path
        The folder; it is made.

    Raises
    ------
    InputError
        If it can't be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lease: Lease | None = None
        try:
            # job logs and recipes are the account's own
            (self.path / "runs").mkdir(parents=True, exist_ok=True, mode=0o2770)
        except OSError as error:
            raise InputError(f"The state folder {path} can't be made: {error.strerror}.", "Give --state.") from error

    def take(self) -> Lease:
        """Become the one who moves the runs of this folder.

        Raises
        ------
        Busy
            If another process is.
        """
        try:
            self._lease = Lease(self.path / "lease")
        except Held as held:
            raise Busy(
                f"{self.path} is looked after by {held}.",
                "One watcher is enough; another one needs a --state of its own.",
            ) from None
        return self._lease

    def check(self) -> None:
        """Make sure that nobody else has become the one: this host may have stood still, and counted as dead.

        Raises
        ------
        HpcdaasError
            If somebody has.
        """
        holder = read_holder(self.path / "lease")
        if self._lease and holder and holder.get("token") != self._lease.token:
            who = f"process {holder.get('pid', '?')} on {holder.get('host', 'another host')}"
            raise HpcdaasError(f"{self.path} is looked after by {who} now.", "This one ends, and leaves it to that.")

    def holder(self) -> dict[str, Any] | None:
        """Say who looks after the folder and how long ago it gave a sign of life, or None where nobody does."""
        path = self.path / "lease"
        found = read_holder(path)
        if not found or found.get("ended"):
            return None
        with suppress(OSError):
            age = time.time() - path.stat().st_mtime
            here = found.get("host") == os.uname().nodename
            # after a while the number of a process that died is another one's
            alive = age < EXPIRED and (not here or Path(f"/proc/{found.get('pid')}").exists())
            return {**found, "age": age} if alive else None
        return None

    def ask_to_drain(self) -> None:
        """Ask whoever looks after the folder to end."""
        (self.path / "drain").touch()

    def drains(self) -> bool:
        """Say whether somebody asked so."""
        return (self.path / "drain").exists()

    def drained(self) -> None:
        """Forget that somebody asked: it has been done."""
        (self.path / "drain").unlink(missing_ok=True)

    def run_folder(self, run: str) -> Path:
        """Give the folder of a run; it is made."""
        folder = self.path / "runs" / run[:16]
        folder.mkdir(exist_ok=True, mode=0o2770)
        return folder

    def write(self, run: str, name: str, text: str) -> Path:
        """Write a small file of a run, whole or not at all."""
        path = self.run_folder(run) / name
        write_safely(path, text.encode("utf-8", "surrogateescape"))
        return path

    def ended(self, run: str) -> int | None:
        """Give the exit code that a run's job has left, or None."""
        try:
            return int((self.path / "runs" / run[:16] / "ended").read_text())
        except (OSError, ValueError):
            return None

    def sweep(self, age: float, used: Collection[str]) -> None:
        """Remove folders of runs, and logs of job arrays, to which nothing was added for a time.

        Parameters
        ----------
        age : float
            Seconds.
        used : collection of str
            Runs that aren't at their end: theirs stay.
        """
        before, kept = time.time() - age, {run[:16] for run in used}
        for name in ("runs", "arrays"):
            with suppress(FileNotFoundError), os.scandir(self.path / name) as found:
                for entry in found:
                    if entry.name in kept or entry.stat(follow_symlinks=False).st_mtime > before:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        Path(entry.path).unlink(missing_ok=True)
