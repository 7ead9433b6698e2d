"""A configuration of ReFrame for any machine: this one, and SLURM's default partition where SLURM answers.

A site has its own, whose partitions name these features and resources, and an environment with the feature `hpcdaas`.
HPCDAAS_MODULE names the module to load, which `module use` or MODULEPATH must reach; without it `hpcdaas` is the one on
the PATH.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

MODULE = os.environ.get("HPCDAAS_MODULE", "")
#: Seconds in which a command must answer.
PATIENCE = 30


def said(*command):
    """Give what a command says; nothing where it isn't here, fails, or hangs."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def has_tests():
    """Say whether the Python in which hpcdaas is has pytest."""
    load = f"type module >/dev/null 2>&1 || . /etc/profile; module load {shlex.quote(MODULE)}; " if MODULE else ""
    program = said("bash", "-c", load + "command -v hpcdaas").strip()
    python = Path(program).resolve().with_name("python")
    return bool(program) and bool(said(str(python), "-c", "import pytest; print(pytest.__version__)"))


def modules_system():
    """Name what loads modules."""
    if not MODULE:
        return "nomod"
    return "lmod" if "LMOD_CMD" in os.environ else "tmod4"


def partition(name, scheduler, launcher, features, **more):
    """Describe a partition."""
    return {
        "name": name, "scheduler": scheduler, "launcher": launcher, "environs": ["installed"], "features": features,
        "max_jobs": 1,  # what is measured must not disturb each other
        # a batch script is no login shell
        "prepare_cmds": ["type module >/dev/null 2>&1 || . /etc/profile"] if MODULE else [],
        **more,
    }  # fmt: skip


def local():
    """Describe this machine."""
    mpi = bool(shutil.which("mpiexec"))
    features = [*(["mpi"] if mpi else []), *(["gpu"] if "GPU" in said("nvidia-smi", "--list-gpus") else [])]
    return partition("local", "local", "mpiexec" if mpi else "local", features)


def slurm():
    """Describe SLURM's default partition, if there is one; without accounting ReFrame looks at the queue."""
    default = [line for line in said("sinfo", "--noheader", "--format=%P %G").splitlines() if "* " in line]
    if not default:
        return []
    scheduler = "slurm" if said("sacct", "--allocations", "--format=JobID") else "squeue"
    features = ["slurm", "mpi", *(["gpu"] if any("gpu" in line.partition(" ")[2] for line in default) else [])]
    resources = [
        {"name": "memory", "options": ["--mem={size}"]},
        {"name": "_rfm_gpu", "options": ["--gres=gpu:{num_gpus_per_node}"]},
    ]
    return [partition("slurm", scheduler, "srun", features, resources=resources)]


site_configuration = {
    "systems": [
        {
            "name": "here",
            "hostnames": [".*"],
            "modules_system": modules_system(),
            "partitions": [local(), *slurm()],
        }
    ],
    "environments": [
        {
            "name": "installed",
            "features": ["hpcdaas", *(["tests"] if has_tests() else [])],
            "modules": [MODULE] if MODULE else [],
        }
    ],
    "logging": [
        {
            "handlers": [{"type": "stream", "name": "stdout", "level": "info", "format": "%(message)s"}],
            "handlers_perflog": [
                {"type": "filelog", "prefix": "%(check_system)s/%(check_partition)s", "level": "info"}
            ],
        }
    ],
}
