"""What an MPI launcher says of the ranks that it has started, before MPI is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

OPEN_MPI = "Open MPI"
#: Launchers, and the variables in which each announces how many ranks there are, and which one this is.
LAUNCHERS = (
    (OPEN_MPI, "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MPICH or Intel MPI", "PMI_SIZE", "PMI_RANK"),
    ("MVAPICH", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


class Announced(NamedTuple):
    """Which launcher it was, how many ranks it started, and which one this is."""

    launcher: str
    ranks: int
    rank: int


def announced(environment: Mapping[str, str] | None = None) -> Announced | None:
    """Say what a launcher announces; None where there is none, or one rank alone."""
    found = os.environ if environment is None else environment
    for launcher, ranks, rank in LAUNCHERS:
        size, own = found.get(ranks, ""), found.get(rank, "0")
        if size.isdigit() and int(size) > 1:
            return Announced(launcher, int(size), int(own) if own.isdigit() else 0)
    return None
