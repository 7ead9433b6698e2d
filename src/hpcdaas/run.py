"""The identity of a run: what was measured, and what is done with it."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcdaas.errors import InputError

BLOCK = 64 * 1024
BLOCKS = 64


def file_identity(path: Path) -> str:
    """Give the identity of one file's content.

    SHA-256 of the size in bytes (decimal, ASCII, and a newline) followed by 64 blocks of
    64 KiB; block k starts at ``k (size - 65536) // 63``, so the first and the last byte are in.
    A file of up to 64 x 64 KiB = 4 MiB goes in whole.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        64 hex digits.

    Raises
    ------
    InputError
        If the file can't be read, or shrinks meanwhile.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            digest = hashlib.sha256(b"%d\n" % size)
            if size <= BLOCK * BLOCKS:
                pieces = [(start, min(BLOCK, size - start)) for start in range(0, size, BLOCK)]
            else:
                pieces = [(k * (size - BLOCK) // (BLOCKS - 1), BLOCK) for k in range(BLOCKS)]
            for start, length in pieces:
                digest.update(_read(stream.fileno(), start, length, path))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    return digest.hexdigest()


def _read(descriptor: int, start: int, length: int, path: Path) -> bytes:
    """Read exactly `length` bytes: a read from a network file system may give fewer."""
    parts = b""
    while len(parts) < length:
        part = os.pread(descriptor, length - len(parts), start + len(parts))
        if not part:
            raise InputError(f"{path} became shorter while it was read.", "Is it still being written?")
        parts += part
    return parts


def raw_identity(files: Sequence[Path]) -> str:
    """Give the identity of a scan's raw data, the same for every copy of it.

    SHA-256 of one line per file (64 hex digits of `file_identity` and a newline): the file that
    is opened first, then the others sorted by their digits. Neither path nor time enters, and a
    file named twice enters once.

    Parameters
    ----------
    files : sequence of Path
        `hpcdaas.scan.Scan.files`: the file that was opened, then what its links reach.

    Returns
    -------
    str
        64 hex digits.

    Raises
    ------
    InputError
        If a file can't be read, or its name isn't UTF-8: neither results nor catalogues take it.
    """
    for path in files:
        try:
            os.fsencode(path).decode()
        except UnicodeDecodeError:
            raise InputError(f"The name {str(path)!r} isn't UTF-8.", "Rename it.") from None
    distinct = list(dict.fromkeys(Path(os.path.realpath(path)) for path in files))
    first, *others = [file_identity(path) for path in distinct]
    lines = [first, *sorted(others)]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("ascii")).hexdigest()


def canonical(value: Any) -> bytes:
    """Write a value as canonical JSON: sorted keys, no spaces, UTF-8, floats by ``repr``.

    Raises
    ------
    ValueError
        If it holds NaN or an infinity.
    TypeError
        If it holds something that JSON doesn't know.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def run_identity(raw_identity: str, resolved: Mapping[str, Any], attempt: int = 1) -> str:
    """Give the identity of a run: one scan and one resolved recipe.

    SHA-256 of the canonical JSON of ``{"raw": ..., "recipe": ...}``, with ``"attempt": n`` where
    n is not 1.

    Parameters
    ----------
    raw_identity : str
        Of the scan.
    resolved : mapping
        The recipe with all defaults and overrides, as JSON-able values.
    attempt : int, optional
        Number of the attempt, from 1.

    Returns
    -------
    str
        64 hex digits.
    """
    content: dict[str, Any] = {"raw": raw_identity, "recipe": dict(resolved)}
    if attempt != 1:
        content["attempt"] = attempt
    return hashlib.sha256(canonical(content)).hexdigest()


def pid(run: str, prefix: str = "") -> str:
    """Give a run's name in the catalogue.

    Parameters
    ----------
    run : str
        Identity of the run, 64 hex digits.
    prefix : str, optional
        The site's prefix, for example ``20.500.12345/``.

    Returns
    -------
    str
        The prefix and a UUID of version 4 (RFC 9562, 5.4) made from the run's first 16 bytes, upper case.
    """
    return prefix + str(uuid.UUID(bytes=bytes.fromhex(run)[:16], version=4)).upper()
