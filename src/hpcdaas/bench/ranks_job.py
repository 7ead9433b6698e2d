"""What ranks of MPI do between each other, measured by themselves: those of a launcher, or of `hpcdaas.bench.ranks`.

Beside our own verbs stands bare MPI, which is what they are held against; therefore mpi4py is met here, too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hpcdaas.parallel import together, world

LATENCY, BANDWIDTH, ALLTOALL = "a message of 8 bytes, one way", "a byte between two ranks", "a byte of an alltoall"
MEETING, DEAL, SUM, EXCHANGE = "a meeting", "a byte dealt out", "a byte summed over ranks", "a byte exchanged"
ALLREDUCE = "an allreduce of 32 bytes"
#: Our verbs, and the bare call that each is held against.
OURS = {MEETING: ALLREDUCE, DEAL: ALLTOALL, EXCHANGE: BANDWIDTH, SUM: BANDWIDTH}


def ping(comm: Any, buffer: Any) -> None:
    """Send a buffer from the first rank to the last, which is on another node if there is one, and take it back."""
    rank, last = comm.Get_rank(), comm.Get_size() - 1
    if rank == 0:
        comm.Send(buffer, last)
        comm.Recv(buffer, last)
    elif rank == last:
        comm.Recv(buffer, 0)
        comm.Send(buffer, 0)


def measure(quick: bool) -> dict[str, list[float]]:
    """Give seconds by name, a number for each round, of the slowest rank; all ranks call it."""
    ranks = world()
    from mpi4py import MPI

    bare, size = MPI.COMM_WORLD, ranks.size
    few, bytes_, rounds = (10, 1 << 16, 2) if quick else (1000, 1 << 23, 7)
    small, large = np.zeros(1), np.zeros(bytes_ // 4 // size * size, np.float32)
    part, word = len(large) // size, np.zeros(4)
    come = np.empty_like(large)
    shares, starts = [part] * size, [part * r for r in range(size)]
    other = (ranks.rank + 1) % size
    before = (ranks.rank - 1) % size
    tasks: dict[str, tuple[Callable[[], object], int, float]] = {  # what, how often, of how much
        LATENCY: (lambda: ping(bare, small), few, 2),
        BANDWIDTH: (lambda: ping(bare, large), 4, 2 * large.nbytes),
        ALLTOALL: (lambda: bare.Alltoall(large, come), 4, large.nbytes * (size - 1) / size),
        ALLREDUCE: (lambda: bare.Allreduce(MPI.IN_PLACE, word), few, 1),
        MEETING: (ranks.agree, few, 1),
        DEAL: (lambda: ranks.deal(large, shares, come, shares, starts), 4, large.nbytes * (size - 1) / size),
        EXCHANGE: (lambda: ranks.exchange({other: large}, {before: come}), 4, large.nbytes),
        SUM: (lambda: ranks.add(large), 4, large.nbytes),
    }
    found: dict[str, list[float]] = {name: [] for name in tasks}
    with together(ranks):
        for i in range(rounds + 1):  # the first one isn't counted: connections are made
            for name, (run, times, pieces) in tasks.items():
                bare.Barrier()
                start = time.perf_counter()
                for _ in range(times):
                    run()
                if i:
                    found[name].append((time.perf_counter() - start) / times / pieces)
        every = ranks.gather(found)
    return {name: [max(one) for one in zip(*(rank[name] for rank in every), strict=True)] for name in found}


def main() -> None:
    """Write what was found into the file that is named; ``quick`` after it takes tiny sizes."""
    found = measure("quick" in sys.argv[2:])
    if world().rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
