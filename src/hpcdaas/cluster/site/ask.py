"""What SLURM is asked for a site file beside its partitions: would it take a job, which MPIs, whose accounts."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

from hpcdaas.cluster.slurm import Slurm, SlurmRefused
from hpcdaas.errors import HpcdaasError

#: Words for ``srun --mpi`` under which MPI libraries find their ranks, the commonest first.
MPI_TYPES = ("pmix", "pmi2", "cray_shasta")
#: The script of a job that is never submitted.
NOTHING = "#!/bin/sh\ntrue\n"


def refusal(slurm: Slurm, options: Sequence[str]) -> str:
    """Ask SLURM whether it would take a job of this user; nothing is submitted.

    Parameters
    ----------
    slurm : Slurm
    options : sequence of str
        Of sbatch.

    Returns
    -------
    str
        Its reason, where it wouldn't; else empty.

    Raises
    ------
    SlurmAway
        If it doesn't answer.
    """
    try:
        slurm.commands.run("sbatch", "--test-only", *options, given=NOTHING)
    except SlurmRefused as refused:
        said = refused.message.partition(": ")[2]
        return said.rpartition("allocation failure: ")[2]  # before it stands the same, said by another part of sbatch
    return ""


def mpi_types(slurm: Slurm) -> tuple[str, ...]:
    """Give the words that ``srun --mpi`` takes; empty where it isn't there or doesn't say."""
    if not slurm.commands.offers("srun"):
        return ()
    try:
        return from_mpi_list(slurm.commands.run("srun", "--mpi=list"))
    except HpcdaasError:
        return ()


def from_mpi_list(output: str) -> tuple[str, ...]:
    """Read what ``srun --mpi=list`` printed; older versions put ``srun:`` before each line."""
    lines = [line.removeprefix("srun:").strip() for line in output.splitlines()]
    plain = [word for word in lines if re.fullmatch(r"\w+", word)]
    versions = [word for line in lines if line.startswith("specific") for word in re.split(r"[,\s]+", line)]
    return tuple(dict.fromkeys([*plain, *(word for word in versions if word.startswith("pmix_"))]))


def accounts(slurm: Slurm) -> tuple[str, ...]:
    """Give the accounts of this user; empty where the site has no accounting, or doesn't let users ask."""
    if not slurm.commands.offers("sacctmgr"):
        return ()
    user = pwd.getpwuid(os.getuid()).pw_name
    try:
        said = slurm.commands.run(
            "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account"
        )
    except HpcdaasError:
        return ()
    return from_associations(said)


def from_associations(output: str) -> tuple[str, ...]:
    """Read the accounts that ``sacctmgr --parsable2 show associations format=account`` printed: one a line."""
    return tuple(dict.fromkeys(word for line in output.splitlines() if (word := line.strip())))


def timezone() -> str | None:
    """Give this machine's time zone by its name, such as Europe/Zurich; None where it has none."""
    told = [os.environ.get("TZ", "").lstrip(":"), os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]]
    with suppress(OSError):
        told.append(Path("/etc/timezone").read_text().strip())
    for name in told:
        with suppress(OSError, ValueError, KeyError):
            if name and ZoneInfo(name.removeprefix("posix/")).key:
                return name.removeprefix("posix/")
    return None
