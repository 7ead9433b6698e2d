"""What MPI does between ranks: between two that are started here, or all that a launcher has started."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hpcdaas.bench import ranks_job
from hpcdaas.bench.child import launcher
from hpcdaas.bench.figures import Report
from hpcdaas.bench.rounds import Rounds
from hpcdaas.errors import HpcdaasError

#: Ranks that are started, and seconds after which they hang.
RANKS, PATIENCE = 2, 120.0
#: What a launcher or a job left in the environment would change how ranks start here; two ranks may share a core.
FOREIGN = ("SLURM_", "PMI", "OMPI_", "HYDRA_", "MPI_LOCAL", "PRTE_", "PALS_")
ALLOWED = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}  # fmt: skip


def measure(folder: Path, quick: bool = False) -> Rounds:
    """Give the seconds of `hpcdaas.bench.ranks_job`, of the slowest rank in each round.

    Raises
    ------
    HpcdaasError
        If there is no mpi4py or no launcher here, or its ranks fail.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise HpcdaasError("There is no mpi4py here.", "pip install 'hpcdaas[mpi]'")
    out = folder / "ranks.json"
    command = [*launcher(RANKS), sys.executable, "-m", "hpcdaas.bench.ranks_job", str(out)] + ["quick"] * quick
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    try:
        done = subprocess.run(
            command, env=kept | ALLOWED, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HpcdaasError(f"{RANKS} ranks of {command[0]} hang.", "'hpcdaas doctor' looks at MPI.") from None
    if done.returncode or not out.exists():
        said = (done.stderr or done.stdout).strip().splitlines()
        why = said[-1] if said else f"code {done.returncode}"
        raise HpcdaasError(f"{RANKS} ranks of {command[0]} failed: {why}", "'hpcdaas doctor' looks at MPI.")
    return Rounds(json.loads(out.read_text()))


def add_figures(report: Report, rounds: Rounds, group: str) -> None:
    """Add what was measured: the bare calls, and our own verbs beside them."""
    for task in (ranks_job.LATENCY, ranks_job.ALLREDUCE):
        report.add(task, rounds.median(task), "s", group=group)
    for task, name in ((ranks_job.BANDWIDTH, "between two ranks"), (ranks_job.ALLTOALL, "alltoall, of a rank")):
        report.add(name, 1 / rounds.median(task), "B/s", group=group)
    for task, against in ranks_job.OURS.items():
        report.compare(rounds, task, against, group=f"{group}, verbs of hpcdaas")


def measure_launched(ranks: int, quick: bool) -> dict[str, Any]:
    """Measure the ranks that a launcher has started, this one among them; all call it, and get the same.

    Cores and files are left out: the ranks would disturb each other.

    Raises
    ------
    InputError
        If mpi4py is missing, or belongs to another MPI than the launcher.
    """
    rounds = Rounds(ranks_job.measure(quick))
    report = Report("bench", {"level": 0, "ranks": ranks, "quick": quick})
    add_figures(report, rounds, f"{ranks} ranks")
    report.notes.append("Under a launcher only its ranks are measured.")
    return report.content(rounds) | {"wrong": report.wrong}
