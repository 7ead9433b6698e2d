"""Ranks that work together: the same verbs for one process and for MPI, which is imported here and nowhere else.

A verb is called by all ranks, in the same order. Before it moves anything all of them agree that they can go on: what
one has failed with is raised on every rank, so that each cleans up and none waits for ever.
"""

from __future__ import annotations

import atexit
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from hpcdaas.errors import InputError
from hpcdaas.parallel.launcher import OPEN_MPI, announced

T = TypeVar("T")


class Links(Protocol):
    """How arrays of GPUs go to other ranks from where they are.

    Attributes
    ----------
    name : str
    """

    name: str

    def add(self, array: NDArray[Any]) -> bool:
        """Add up arrays of one shape, in place; False where that is left to MPI, which may read the array now."""
        ...

    def exchange(self, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]]) -> bool:
        """Send and receive; False where that is left to MPI, which may read and write the arrays now."""
        ...


class Comm(Protocol):
    """The verbs.

    Attributes
    ----------
    rank, size : int
        Number of this rank, and of all.
    local : int
        Ranks on this node.
    sharing : int
        Ranks that use the same cores as this one, itself included.
    sent : Counter
        Bytes that this rank has sent to others, and messages, by what they were for.
    links : Links or None
        Where verbs that move arrays take those of GPUs as they are.
    """

    rank: int
    size: int
    local: int
    sharing: int
    sent: Counter[str]
    links: Links | None

    def agree(self, flag: bool = False) -> bool:
        """Meet; say whether any rank has raised its flag."""
        ...

    def share(self, value: T) -> T:
        """Give the value of rank 0."""
        ...

    def from_first(self, value: T | None) -> T:
        """Give the value of rank 0, which alone has one."""
        ...

    def gather(self, value: T) -> list[T]:
        """Give the values of all ranks."""
        ...

    def largest(self, value: float) -> float:
        """Give the largest of all ranks' values."""
        ...

    def add(self, array: NDArray[Any]) -> None:
        """Add up arrays of one shape, in place."""
        ...

    def exchange(self, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]]) -> None:
        """Send contiguous arrays to some ranks while others come in from some; both ends know the shapes."""
        ...

    def complete(
        self, value: float, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]],
        sums: Sequence[NDArray[Any]],
    ) -> float:  # fmt: skip
        """Do `largest`, `exchange` and `add` at one meeting; gives the largest value."""
        ...

    def add_at_once(self, array: NDArray[Any]) -> None:
        """Do `add` without a meeting: where nothing can have failed since the last one."""
        ...

    def deal(
        self, sends: NDArray[Any], to: Sequence[int], receives: NDArray[Any], of: Sequence[int], at: Sequence[int]
    ) -> None:
        """Send ``to[r]`` items along the first axis to each rank r, in turn; its ``of[r]`` come to ``at[r]`` and on."""
        ...

    def failed(self, error: BaseException) -> BaseException:
        """Tell the others that this rank can't go on; gives what is to be raised on all of them."""
        ...


class Serial:
    """One process: there is nobody to wait for. See `Comm`."""

    rank, size, local, sharing = 0, 1, 1, 1

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.links: Links | None = None

    def agree(self, flag: bool = False) -> bool:
        """See `Comm.agree`."""
        return flag

    def share(self, value: T) -> T:
        """See `Comm.share`."""
        return value

    def from_first(self, value: T | None) -> T:
        """See `Comm.from_first`."""
        assert value is not None
        return value

    def gather(self, value: T) -> list[T]:
        """See `Comm.gather`."""
        return [value]

    def largest(self, value: float) -> float:
        """See `Comm.largest`."""
        return value

    def add(self, array: NDArray[Any]) -> None:
        """See `Comm.add`."""

    def exchange(self, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]]) -> None:
        """See `Comm.exchange`."""

    def complete(
        self, value: float, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]],
        sums: Sequence[NDArray[Any]],
    ) -> float:  # fmt: skip
        """See `Comm.complete`."""
        return value

    def add_at_once(self, array: NDArray[Any]) -> None:
        """See `Comm.add_at_once`."""

    def deal(
        self, sends: NDArray[Any], to: Sequence[int], receives: NDArray[Any], of: Sequence[int], at: Sequence[int]
    ) -> None:
        """See `Comm.deal`."""
        receives[at[0] : at[0] + of[0]] = sends

    def failed(self, error: BaseException) -> BaseException:
        """See `Comm.failed`."""
        return error


@contextmanager
def together(comm: Comm) -> Iterator[None]:
    """See to it that what one rank fails with inside ends all of them, with the same error."""
    try:
        yield
        comm.agree()
    except BaseException as error:
        shared = comm.failed(error)
        if shared is error:
            raise
        raise shared from error


def world() -> Comm:
    """Give the ranks that the program was started as.

    Raises
    ------
    InputError
        If a launcher announces more than one rank, and mpi4py is missing or belongs to another MPI: as many
        single runs on one file must not happen.
    """
    found = announced()
    return Serial() if found is None else _many(found.launcher, found.ranks)


@cache
def _many(launcher: str, ranks: int) -> Comm:
    started = f"{launcher} started {ranks} ranks"
    try:
        with warnings.catch_warnings():  # of a launcher of another MPI, which is said below
            warnings.simplefilter("ignore")
            import mpi4py

            mpi4py.rc.initialize = False  # under another MPI's launcher this may end the process
            from mpi4py import MPI
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{started}, and mpi4py can't be used: {reason}.", "pip install 'hpcdaas[mpi]'") from error
    library = MPI.Get_library_version().strip("\0 \n").splitlines()[0]
    advice = "Use the launcher of the same MPI as mpi4py."
    if launcher == OPEN_MPI and MPI.get_vendor()[0] != OPEN_MPI:
        raise InputError(f"{started}, and mpi4py uses {library}.", advice)
    if not MPI.Is_initialized():
        MPI.Init_thread()
        atexit.register(_finalize, MPI)
    if MPI.COMM_WORLD.Get_size() == 1:
        raise InputError(f"{started}, and mpi4py, which uses {library}, sees one.", advice)
    from hpcdaas.parallel.mpi import Mpi

    return Mpi(MPI)


def _finalize(mpi: Any) -> None:
    if not mpi.Is_finalized():
        mpi.Finalize()
