"""Errors that people see: what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class HpcdaasError(Exception):
    """A failure with a message for people.

    Parameters
    ----------
    message : str
        What is wrong and where, one line.
    hint : str, optional
        What to do next, one line.
    """

    exit_code = 1
    code = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(HpcdaasError):
    """The file, the recipe or the arguments are wrong (exit code 2)."""

    exit_code = 2
    code = "input"


class Busy(InputError):
    """Another process is at work on the same result."""

    code = "busy"


class Rewritten(InputError):
    """The scan is no longer the one that was asked for."""

    code = "rewritten"


class NoRoom(InputError):
    """The disk has no room for the result: refused before work starts."""

    code = "room"


class DiskFull(HpcdaasError):
    """The disk became full, or the quota used up, while a run was at work: what it has done stays."""

    code = "room"


#: Errors of the system that say so.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def unwritable(place: object, error: OSError) -> InputError:
    """Say why a place for results can't be written."""
    kind = NoRoom if error.errno in NO_ROOM else InputError
    hint = "Make room, or choose another -o." if kind is NoRoom else "Choose another -o."
    return kind(f"{place} can't be written: {error.strerror or error}.", hint)


class Interrupted(HpcdaasError):
    """Stopped with a checkpoint; the same command goes on (exit code 3)."""

    exit_code = 3
    code = "interrupted"


def for_people(error: BaseException) -> HpcdaasError:
    """Say in one or two lines what happened, whatever it was."""
    if isinstance(error, HpcdaasError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return HpcdaasError("Stopped.")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return DiskFull(f"{error.filename or 'The disk'}: {error.strerror}.", "Make room; the same command goes on.")
    if isinstance(error, PermissionError):
        return InputError(f"{error.filename or 'A file'}: {error.strerror}.", "Ask the owner, or use another account.")
    if isinstance(error, MemoryError):
        return HpcdaasError("There is not enough memory.", "Give a smaller --memory, or more to the job.")
    return HpcdaasError(f"{type(error).__name__}: {error}", "This is a fault of hpcdaas: --debug shows where.")


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name is meant, as a hint for an error.

    Parameters
    ----------
    name : str
        The unknown name.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        A sentence: the nearest known name, or all of them where none is near.
    """
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1)
    return f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(choices)}."
