"""The verbs of a comm in MPI. See `hpcdaas.parallel.comm`."""

from __future__ import annotations

import math
import os
import pickle
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import HpcdaasError, InputError, Interrupted, for_people
from hpcdaas.parallel.comm import Links

T = TypeVar("T")

#: Seconds that a rank which has failed waits for the others to hear of it before it ends them all.
PATIENCE = 10.0
#: Seconds that a rank waits for the others awake, and then sleeps for at most until it looks again.
SOON, LONGEST = 1e-3, 2e-3
_FAILED = 2
_VERBS = ("failed", "agree", "share", "gather", "largest", "add", "exchange", "complete", "deal")


class Mpi:
    """Ranks that an MPI launcher has started. See `Comm`.

    Parameters
    ----------
    mpi : module
        ``mpi4py.MPI``.
    """

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._comm = mpi, mpi.COMM_WORLD.Dup()
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self.sent: Counter[str] = Counter()
        self.links: Links | None = None
        self._raised: BaseException | None = None
        here = socket.gethostname()
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        beside = [other for host, other in self._comm.allgather((here, cores)) if host == here]
        self.local = len(beside)
        self.sharing = sum(not cores.isdisjoint(other) for other in beside) or self.local

    def agree(self, flag: bool = False) -> bool:
        """See `Comm.agree`."""
        return self._meet("agree", flag)[0]

    def share(self, value: T) -> T:
        """See `Comm.share`."""
        self._meet("share")
        shared: T = self._comm.bcast(value if self.rank == 0 else None)
        return shared

    def from_first(self, value: T | None) -> T:
        """See `Comm.from_first`."""
        shared = self.share(value)
        assert shared is not None
        return shared

    def gather(self, value: T) -> list[T]:
        """See `Comm.gather`."""
        self._meet("gather")
        values: list[T] = self._comm.allgather(value)
        return values

    def largest(self, value: float) -> float:
        """See `Comm.largest`."""
        return self._meet("largest", value=value)[1]

    def add(self, array: NDArray[Any]) -> None:
        """See `Comm.add`."""
        self._meet("add")
        self.add_at_once(array)

    def add_at_once(self, array: NDArray[Any]) -> None:
        """See `Comm.add_at_once`."""
        if self.links is None or not self.links.add(array):
            self._comm.Allreduce(self._mpi.IN_PLACE, array)
        self.sent["reduced"] += array.nbytes
        self.sent["reductions"] += 1

    def exchange(self, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]]) -> None:
        """See `Comm.exchange`."""
        self._meet("exchange")
        self._mpi.Request.Waitall(self._begin_exchange(sends, receives))

    def complete(
        self, value: float, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]],
        sums: Sequence[NDArray[Any]],
    ) -> float:  # fmt: skip
        """See `Comm.complete`."""
        _, largest = self._meet("complete", value=value)
        pending = self._begin_exchange(sends, receives)
        for array in sums:
            self.add_at_once(array)
        self._mpi.Request.Waitall(pending)
        return largest

    def _begin_exchange(self, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]]) -> list[Any]:
        pending = []
        if self.links is None or not self.links.exchange(sends, receives):
            pending += [self._comm.Irecv(array, source) for source, array in receives.items()]
            pending += [self._comm.Isend(array, target) for target, array in sends.items()]
        self.sent["exchanged"] += sum(array.nbytes for array in sends.values())
        self.sent["exchange messages"] += len(sends)
        return pending

    def deal(
        self, sends: NDArray[Any], to: Sequence[int], receives: NDArray[Any], of: Sequence[int], at: Sequence[int]
    ) -> None:
        """See `Comm.deal`."""
        self._meet("deal")
        each = math.prod(receives.shape[1:]) * receives.dtype.itemsize
        item = self._mpi.BYTE.Create_contiguous(each).Commit()  # counts of bytes would not fit into 31 bits
        try:
            self._comm.Alltoallv([sends, to, None, item], [receives, of, at, item])
        finally:
            item.Free()
        others = sum(to) - to[self.rank]
        self.sent["dealt"] += each * others
        self.sent["deals"] += sum(1 for rank, count in enumerate(to) if count and rank != self.rank)

    def failed(self, error: BaseException) -> BaseException:
        """See `Comm.failed`."""
        if error is self._raised:
            return error
        try:
            self._meet("failed", error=error)
        except HpcdaasError as shared:
            return shared
        except Exception as broken:  # MPI itself, which has nothing more to say to the others
            self._end(error, broken)
        self._end(error)

    def _meet(
        self, verb: str, flag: bool = False, value: float = 0.0, error: BaseException | None = None
    ) -> tuple[bool, float]:
        """Take the worst of all ranks' states, and the largest value; raise what failed.

        A rank that has failed itself waits for a while only.
        """
        number = _VERBS.index(verb)
        state = np.array([_FAILED if error else int(flag), number, -number, value])
        request = self._comm.Iallreduce(self._mpi.IN_PLACE, state, self._mpi.MAX)
        start = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - start
            if error is not None and waited > PATIENCE:
                self._end(error)
            # those who are late may need the core that MPI would keep awake; even the shortest sleep takes 0.1 ms
            if waited < SOON:
                os.sched_yield()
            else:
                time.sleep(min(waited / 20, LONGEST))
        worst, most, least, largest = state.tolist()
        if worst == _FAILED:
            self._raise(error)
        if most != -least:  # all of them see it, and raise: better than to wait for each other for ever
            raise RuntimeError(f"ranks are out of step: '{_VERBS[int(-least)]}' meets '{_VERBS[int(most)]}'")
        return bool(worst), largest

    def _raise(self, error: BaseException | None) -> NoReturn:
        """Raise on all ranks what the first of those that failed has to say."""
        mine = None if error is None else pickle.dumps(_told(error, self.rank))
        said = [pickle.loads(text) for text in self._comm.allgather(mine) if text is not None]
        kind, message, hint, host, rank = said[0]
        agreed = len(said) == self.size and len({other[1] for other in said}) == 1
        agreed = agreed or (rank == 0 and kind is InputError)  # what rank 0 looks at for all
        alone = "" if agreed else f"Rank {rank} on {host}: "
        self._raised = kind(alone + message, hint)
        raise self._raised from error

    def _end(self, error: BaseException, broken: BaseException | None = None) -> NoReturn:
        """End all ranks at once: they can't be told any other way."""
        said = for_people(error)
        print(f"hpcdaas: rank {self.rank} on {socket.gethostname()}: {said}", file=sys.stderr, flush=True)
        if broken is not None:
            print(f"hpcdaas: and MPI said: {broken}", file=sys.stderr, flush=True)
        with suppress(Exception):
            self._comm.Abort(said.exit_code)
        os._exit(said.exit_code)


def _told(error: BaseException, rank: int) -> tuple[type[HpcdaasError], str, str, str, int]:
    """Give what the other ranks are told of an error."""
    said = for_people(error)
    kind = next(kind for kind in (InputError, Interrupted, HpcdaasError) if isinstance(said, kind))
    return kind, said.message, said.hint, socket.gethostname(), rank
