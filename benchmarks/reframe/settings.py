"""A configuration of ReFrame for any machine: this one, and SLURM's default partition where it is here.

A site has its own, whose partitions name these features, and an environment with the feature `hpcdaas`.
HPCDAAS_MODULE names the module to load; without it `hpcdaas` is the one on the PATH.
"""

import importlib.util
import os
import shutil
import subprocess

MODULE = os.environ.get("HPCDAAS_MODULE")
HAS_MPI = bool(shutil.which("mpiexec"))
HAS_GPU = bool(shutil.which("nvidia-smi")) and importlib.util.find_spec("cupy") is not None


def slurm():
    """Name ReFrame's way to SLURM: by its accounting, and without that by squeue."""
    accounts = (
        subprocess.run(["sacct", "-X", "-n"], capture_output=True, check=False) if shutil.which("sacct") else None
    )
    return "slurm" if accounts is not None and accounts.returncode == 0 else "squeue"


def partition(name, scheduler, launcher, features):
    """Describe a partition."""
    more = (["mpi"] if HAS_MPI or launcher == "srun" else []) + (["gpu"] if HAS_GPU else [])
    return {
        "name": name, "scheduler": scheduler, "launcher": launcher, "environs": ["installed"],
        "features": features + more, "max_jobs": 1,  # what is measured must not disturb each other
    }  # fmt: skip


site_configuration = {
    "systems": [
        {
            "name": "here",
            "hostnames": [".*"],
            "modules_system": "tmod4" if MODULE and "LMOD_CMD" not in os.environ else "lmod" if MODULE else "nomod",
            "partitions": [
                partition("local", "local", "mpiexec" if HAS_MPI else "local", []),
                *([partition("slurm", slurm(), "srun", ["slurm"])] if shutil.which("sbatch") else []),
            ],
        }
    ],
    "environments": [{"name": "installed", "features": ["hpcdaas"], "modules": [MODULE] if MODULE else []}],
    "logging": [
        {
            "handlers": [{"type": "stream", "name": "stdout", "level": "info", "format": "%(message)s"}],
            "handlers_perflog": [
                {"type": "filelog", "prefix": "%(check_system)s/%(check_partition)s", "level": "info"}
            ],
        }
    ],
}
