"""What SLURM's commands, and through `sbatch` the jobs, see of this process's environment."""

from __future__ import annotations

from collections.abc import Mapping

#: A job gets these and nothing else: no secrets of the submitter, nothing of a job or launcher that it runs in.
#: SLURM_CONF says which cluster; KRB5CCNAME is where sites with Kerberos find the ticket; MODULEPATH where modules are.
PASSED = frozenset(
    {"HOME", "KRB5CCNAME", "LANG", "LANGUAGE", "LOGNAME", "MODULEPATH", "PATH", "SHELL", "SLURM_CONF", "TZ", "USER"}
)
#: Prefixes of variables with which people change what the commands do or print.
OPTIONS = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SCONTROL_")


def for_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment for `sbatch --export=ALL`, which is also that of the job.

    `--export=NONE` would do the same for the batch script alone: it sets SLURM_EXPORT_ENV, and `srun` in the job would
    then start ranks without even a PATH.
    """
    return {key: value for key, value in environment.items() if key in PASSED or key.startswith("LC_")}


def for_queries(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment for the other commands: no changed output, times in UTC."""
    kept = {k: v for k, v in environment.items() if not k.startswith(OPTIONS) or k == "SLURM_CONF"}
    return kept | {"TZ": "UTC", "SLURM_TIME_FORMAT": "standard", "LC_ALL": "C.UTF-8"}
