"""A result in the making as the ranks beside rank 0 see it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hpcdaas.io.partial import Partial
from hpcdaas.io.pieces import rank_file


class RankPartial(Partial):
    """The folder of a result whose lease rank 0 holds: this rank writes its part of the data and a journal of its own.

    What begins, keeps or ends the whole is left to rank 0, and does nothing here.

    Parameters
    ----------
    result : Path
        The final name.
    run : str
        Identity of the run.
    token : str
        Of the lease.
    rank : int
        Number of this rank, from 1.
    """

    def __init__(self, result: Path, run: str, token: str, rank: int) -> None:
        self._name(result, run, token, f"journal.{rank}")
        self._rank = rank

    def save_checkpoint(self, content: Mapping[str, Any]) -> None:
        """Leave it to rank 0."""

    def save_arrays(self, content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], generation: str) -> None:
        """Save this rank's arrays; see `Partial.save_arrays`."""
        self._write_arrays(rank_file(self.folder, generation, self._rank), {}, arrays)

    def clear(self) -> None:
        """Leave it to rank 0."""

    def finish(self, mode: int = 0o660, group: int | None = None) -> None:
        """Leave it to rank 0."""

    def discard(self) -> None:
        """Leave it to rank 0."""

    def release(self) -> None:
        """Leave it to rank 0."""
