"""The arrays of a checkpoint, in as many files as there were ranks: read one array at a time."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

#: Name under which a file of arrays holds what isn't one.
CONTENT = "content_json"
#: The first rank's file, whose name the others' extend; while it is there the checkpoint is whole.
FIRST = "checkpoint.npz"


def rank_file(folder: Path, generation: str, rank: int) -> Path:
    """Give the name of a rank's file."""
    return folder / (FIRST if rank == 0 else f"checkpoint.{generation}.{rank}.npz")


@dataclass(frozen=True)
class Pieces:
    """Each rank's arrays, by name; an array is read when it is asked for.

    Attributes
    ----------
    files : tuple of Path
    """

    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        for path in self.files:
            with np.load(path, allow_pickle=False) as file:
                yield file


def write(file: BinaryIO, content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what a rank has: content that is JSON-able, and arrays."""
    text = np.frombuffer(json.dumps(content).encode(), np.uint8)
    np.savez(file, allow_pickle=False, **{CONTENT: text, **arrays})


def read(folder: Path) -> dict[str, Any] | None:
    """Give the content of a checkpoint, and under ``pieces`` its arrays; None where it isn't whole."""
    try:
        with np.load(folder / FIRST, allow_pickle=False) as file:
            saved: dict[str, Any] = json.loads(file[CONTENT].tobytes())
        files = [rank_file(folder, saved["generation"], rank) for rank in range(saved["ranks"])]
        if not all(zipfile.is_zipfile(path) for path in files):
            return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return {**saved, "pieces": Pieces(tuple(files))}


def sweep(folder: Path, generation: str) -> None:
    """Remove the files of other generations."""
    for path in folder.glob("checkpoint.*.*.npz"):
        if path.name.split(".")[1] != generation:
            path.unlink(missing_ok=True)
