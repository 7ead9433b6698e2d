"""How ranks exchange what lies on their GPUs: by NCCL, by an MPI that takes their arrays, or through the host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from hpcdaas.parallel.comm import Comm, Links, together

#: A message to itself and a sum, large enough not to go the way of small ones.
TRIAL = """
from hpcdaas.backend.cuda import load
from mpi4py import MPI
xp = load()
here = xp.arange(1 << 18, dtype="f4")
there = xp.zeros_like(here)
xp.cuda.get_current_stream().synchronize()
MPI.COMM_SELF.Sendrecv(here, 0, recvbuf=there, source=0)
MPI.COMM_SELF.Allreduce(MPI.IN_PLACE, there)
assert bool((here == there).all())
"""
#: Seconds that it may take.
PATIENCE = 60.0
#: How variables begin by which a launcher says who is one of its ranks: the trial is none.
LAUNCHED = ("PMI", "PMIX_", "OMPI_", "PRTE_", "HYDRA_", "MPI_LOCAL", "MPIR_", "MV2_COMM_", "SLURM_")


class Gpu(Protocol):
    """The GPU of a rank, as ranks are joined by it.

    Attributes
    ----------
    place : str
        Which one it is, of all of all nodes.
    nccl : bool
        Whether NCCL can be used.
    """

    place: str
    nccl: bool

    def settle(self) -> None:
        """Wait until arrays hold what was computed."""
        ...

    def ticket(self) -> bytes:
        """Give what ranks are joined by, all with that of one of them."""
        ...

    def join(self, size: int, rank: int, ticket: bytes) -> Links:
        """Join as one of `size` ranks; waits for the others."""
        ...


class ByMpi:
    """MPI takes arrays of GPUs as they are. See `hpcdaas.parallel.comm.Links`.

    Parameters
    ----------
    gpu : Gpu
    """

    name = "MPI"

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def add(self, array: NDArray[Any]) -> bool:
        """See `hpcdaas.parallel.comm.Links.add`."""
        self._gpu.settle()
        return False

    def exchange(self, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]]) -> bool:
        """See `hpcdaas.parallel.comm.Links.exchange`."""
        self._gpu.settle()
        return False


def reach_devices(comm: Comm, gpu: Gpu | None) -> None:
    """Let ranks exchange arrays of their GPUs as they are, where NCCL or MPI can; called by all ranks.

    Parameters
    ----------
    comm : Comm
        Its `links` are set.
    gpu : Gpu or None
        That of this rank.
    """
    if gpu is not None and comm.size > 1:
        comm.links = join(comm, gpu) or _by_mpi(comm, gpu)


def join(comm: Comm, gpu: Gpu) -> Links | None:
    """Join ranks by NCCL, where all have it and each has a GPU of its own: it wants no two on one."""
    found = comm.gather(gpu.place if gpu.nccl else None)
    if None in found or len(set(found)) < comm.size:
        return None
    with together(comm):
        return gpu.join(comm.size, comm.rank, comm.from_first(gpu.ticket() if comm.rank == 0 else None))


def _by_mpi(comm: Comm, gpu: Gpu) -> Links | None:
    return ByMpi(gpu) if comm.share(comm.rank == 0 and takes_device_arrays()) else None


def takes_device_arrays(trial: str = TRIAL) -> bool:
    """Say whether a trial goes well: in a process of its own, because a wrong guess ends the process.

    MPI that knows nothing of GPUs reads their addresses as its own.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHED)}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", trial],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
