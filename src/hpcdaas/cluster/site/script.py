"""The batch script of a run that is a job of its own, and what SLURM is asked for it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcdaas.cluster.site import Site
from hpcdaas.cluster.site.preamble import lines, program

#: Seconds before the end of its time at which a run is told to write a checkpoint.
WARNING = 180


@dataclass(frozen=True)
class Shape:
    """What a job has.

    Attributes
    ----------
    partition : str
    nodes, ranks : int
        Nodes, and ranks on each.
    cores : int
        Of a rank.
    memory : int
        Of a node, bytes.
    gpus : int
        Of a node.
    seconds : float
        Time limit.
    asked : tuple of (str, str)
        Account, qos, reservation, by sbatch's names.
    """

    partition: str
    nodes: int
    ranks: int
    cores: int
    memory: int
    gpus: int
    seconds: float
    asked: tuple[tuple[str, str], ...] = ()

    def options(self, site: Site) -> list[str]:
        """Give sbatch's options."""
        minutes = max(1, -(-int(self.seconds) // 60))
        warning = min(WARNING, int(self.seconds) // 3)
        who = "" if by_srun(site, self) else "B:"  # srun hands signals to the ranks, the script tells others
        found = [
            f"--partition={self.partition}", f"--nodes={self.nodes}", f"--ntasks-per-node={self.ranks}",
            f"--cpus-per-task={self.cores}", f"--mem={-(-self.memory // 2**20)}M", f"--time={minutes}",
            f"--signal={who}USR1@{warning}", "--requeue", "--open-mode=append",
        ]  # fmt: skip
        found += [f"--gres=gpu:{self.gpus}"] if self.gpus else []
        found += [f"--exclude={','.join(site.exclude)}"] if site.exclude else []
        return found + [f"--{name}={value}" for name, value in self.asked]


def run_script(site: Site, folder: Path, arguments: Sequence[str], shape: Shape) -> str:
    """Write the batch script of a run.

    SLURM forgets a job minutes after its end, and not every site lets users ask for accounting: the
    script leaves its exit code in the file ``ended``. A run that ends with a checkpoint (3) queues
    again by itself.

    Parameters
    ----------
    site : Site
    folder : Path
        Of the run.
    arguments : sequence of str
        Of ``hpcdaas reconstruct``.
    shape : Shape
        What the job has.

    Returns
    -------
    str
    """
    command = shlex.join([*program(site), "reconstruct", *arguments])
    return "\n".join([
        "#!/bin/bash",
        f"cd -- {shlex.quote(str(folder))} || exit 1",
        "exec >>log.txt 2>&1",
        f'echo "{MARK} $SLURM_JOB_ID on $SLURM_JOB_NODELIST"',
        "rm -f ended",
        *lines(site),
        'export HPCDAAS_SITE="$PWD/site.toml"',  # after the module, which may set it to the installation's
        *started(site, shape, f"{command} >outcome.json"),
        f'[ "$code" -ne 3 ] || [ "${{SLURM_RESTART_COUNT:-0}}" -ge {REQUEUES} ] || {{',
        '    scontrol requeue "$SLURM_JOB_ID" && sleep 60',  # it is ended while it sleeps
        "}",
        'echo "$code" >.ended && mv .ended ended',
        'exit "$code"',
        "",
    ])  # fmt: skip


#: Begins what a job adds to its run's log.
MARK = "== job"
#: How often a job queues again by itself.
REQUEUES = 50


def by_srun(site: Site, shape: Shape) -> bool:
    """Say whether srun starts the ranks; one alone needs no launcher, and spares slurmctld its requests."""
    return site.mpi.launcher == "srun" and shape.ranks * shape.nodes > 1


def started(site: Site, shape: Shape, command: str) -> list[str]:
    """Start the ranks and leave the exit code in ``$code``."""
    options = shlex.join(site.mpi.options)
    if by_srun(site, shape):
        # a rank that is killed ends the others, which wait for it
        return [f"srun --wait=60 --cpus-per-task={shape.cores} {options} {command}", "code=$?"]
    ranks = shape.ranks * shape.nodes
    start = f"mpiexec -n {ranks} {options} {command} &" if ranks > 1 else f"{command} &"
    # a trap has to wait for a command in the foreground, but interrupts `wait`, which is then done again
    return [
        "child=", "trap 'again=yes; [ -z \"$child\" ] || kill -USR1 \"$child\"' USR1",
        start, "child=$!", "again=yes",
        'while [ "$again" = yes ]; do again=no; wait "$child"; code=$?; done',
    ]  # fmt: skip


def array_script(folders: Sequence[Path]) -> str:
    """Write the script of a job array: task n carries out the script of the n-th run, counted from 0."""
    scripts = " ".join(shlex.quote(f"{folder}/run.sh") for folder in folders)
    return f'#!/bin/bash\nscripts=({scripts})\nexec bash "${{scripts[$SLURM_ARRAY_TASK_ID]}}"\n'
