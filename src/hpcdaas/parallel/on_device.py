"""Whether MPI takes arrays of a GPU: found out in a process of its own, because a wrong guess ends the process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from hpcdaas.parallel.comm import Comm

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


def reach_devices(comm: Comm, settle: Callable[[], None] | None) -> None:
    """Let ranks exchange arrays of their GPUs as they are, where MPI can; called by all ranks.

    Parameters
    ----------
    comm : Comm
        Its `settle` is set.
    settle : callable or None
        Waits until this rank's GPU has done what it was given; None where it has none.
    """
    if settle is not None and comm.size > 1:
        comm.settle = settle if comm.share(comm.rank == 0 and takes_device_arrays()) else None


def takes_device_arrays(trial: str = TRIAL) -> bool:
    """Say whether a trial goes well. MPI that knows nothing of GPUs reads their addresses as its own, and is ended."""
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
