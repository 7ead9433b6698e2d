"""Checks of ``hpcdaas doctor`` of what the program stands in: cores, memory, space, MPI, GPU, SLURM, catalogue."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hpcdaas.cluster.site.finding import Finding, note, ok, wrong
from hpcdaas.cluster.site.in_words import count
from hpcdaas.errors import HpcdaasError

if TYPE_CHECKING:
    from hpcdaas.cli.doctor import Check
    from hpcdaas.cluster.site import Site

#: Free bytes below which a folder is of no use, and memory below which a run is.
LEAST_SPACE, LEAST_MEMORY = 10**9, 10**9
#: Seconds that a library or command which is looked at in a process of its own may take.
PATIENCE = 60.0
#: Seconds that SLURM may take: without its configuration it goes on asking for a minute.
SOON = 10.0
#: What asks mpi4py for its library; it isn't started, since under another MPI's launcher that may end the process.
ASK_MPI = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.Get_library_version())"
#: What ranks do together.
MEET = "from mpi4py import MPI; c = MPI.COMM_WORLD; n = c.allreduce(1); c.rank or print('ranks', n)"
#: Families of MPI, by words in what their libraries and launchers say: one's launcher starts no other's library.
FAMILIES = {"Open MPI": r"open\s?mpi|open-?rte|prrte", "MPICH": r"mpich|hydra|intel|cray|mvapich"}
#: What a launcher or a job left in the environment would change how ranks start here.
FOREIGN = ("SLURM_", "PMI", "OMPI_", "HYDRA_", "MV2_", "MPI_LOCAL", "PRTE_", "PALS_")
#: Two ranks on one core, and by an administrator, are fine for a look.
ALLOWED = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}  # fmt: skip


def cores(name: str) -> Finding:
    """Threads that a run takes, and whether SLURM's promise is kept."""
    from hpcdaas.backend import default_threads
    from hpcdaas.backend.cgroup import core_limit

    bound, limit = len(os.sched_getaffinity(0)), core_limit()
    said = f"a run takes {count(default_threads(), 'thread')}: bound to {bound} of {count(os.cpu_count() or 1, 'core')}"
    said += f", control group allows {limit}" if limit else ""
    promised = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if promised.isdigit() and int(promised) > bound:
        return wrong(
            name,
            f"{said}, SLURM_CPUS_PER_TASK says {promised}",
            "Give srun --cpus-per-task as well: it doesn't take it over from the job.",
        )
    return ok(name, said)


def memory(name: str) -> Finding:
    """The memory that a run takes where no ``--memory`` is given."""
    from hpcdaas.backend.cgroup import memory_limit
    from hpcdaas.pipeline.memory import default_budget

    budget, limit = default_budget(), memory_limit()
    said = f"a run takes up to {budget / 1e9:.3g} GB; "
    said += f"control group allows {limit / 1e9:.3g} GB" if limit else "no limit of a control group"
    return ok(name, said) if budget >= LEAST_MEMORY else wrong(name, said, "Ask for more memory (sbatch --mem).")


def space(name: str) -> Finding:
    """Free space of the temporary folder and of this one."""
    said, short = [], False
    for folder in dict.fromkeys((tempfile.gettempdir(), str(Path.cwd()))):
        free = shutil.disk_usage(folder).free
        said.append(f"{free / 1e9:.3g} GB free in {folder}")
        short = short or free < LEAST_SPACE
    if short:
        return wrong(name, ", ".join(said), "Make room, or set TMPDIR and work in a folder with more.")
    return ok(name, ", ".join(said))


def locks(name: str) -> Finding:
    """Whether files of this folder can be locked, where HDF5 would do that."""
    setting = os.environ.get("HDF5_USE_FILE_LOCKING")
    said = f"HDF5_USE_FILE_LOCKING is {setting or 'not set'}"
    here = Path.cwd()
    if (setting or "").upper() in ("FALSE", "0", "BEST_EFFORT"):
        return ok(name, said)
    try:
        with tempfile.TemporaryFile(dir=here) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError:
        return ok(name, f"{said}; {here} isn't writable, and wasn't tried")
    except OSError as error:
        return wrong(name, f"{said}, and {here} can't lock: {error.strerror}", "export HDF5_USE_FILE_LOCKING=FALSE")
    return ok(name, f"{said}; {here} can lock")


def mpi(name: str) -> Finding:
    """Whether mpi4py, its MPI library and the launcher are there and start ranks that find each other."""
    if importlib.util.find_spec("mpi4py") is None:
        return note(name, "no mpi4py", "For runs of several ranks: pip install 'hpcdaas[mpi]'.")
    try:
        library = " ".join(answer([sys.executable, "-c", ASK_MPI]).splitlines()[0].split())
    except HpcdaasError as error:
        return note(name, f"mpi4py finds no MPI: {error.message}", "Load the site's MPI module, or pip install mpich.")
    own = Path(sys.executable).with_name("mpiexec")
    launcher = shutil.which("mpiexec") or (str(own) if own.exists() else None)
    if launcher is None:
        then = "Load the module of this MPI." if not shutil.which("srun") else "'hpcdaas doctor --site' tries srun."
        return note(name, f"mpi4py with {library}, no mpiexec on the PATH", then)
    said = answer([launcher, "--version"])
    if family(said) and family(library) and family(said) != family(library):
        then = f"Put {own.parent} first on the PATH." if own.exists() else "Load the module of the MPI of mpi4py."
        return wrong(name, f"mpi4py uses {library}, and {launcher} is of {family(said)}", then)
    ours = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)} | ALLOWED
    met = answer([launcher, "-n", "2", sys.executable, "-c", MEET], ours)
    if "ranks 2" not in met:
        return wrong(name, f"{launcher} starts ranks that don't find each other ({library})", "See to mpi4py's MPI.")
    return ok(name, f"mpi4py with {library}; {launcher} starts ranks that find each other")


def family(said: str) -> str | None:
    """Give the family of an MPI whose library or launcher says this; None where it can't be told."""
    return next((each for each, words in FAMILIES.items() if re.search(words, said, re.IGNORECASE)), None)


def gpu(name: str) -> Finding:
    """The GPUs that the driver shows, and whether CuPy is there to use them."""
    asked = "from hpcdaas.cluster.gpu_driver import devices; print(*devices(), sep='\\n')"
    code = (
        f"from hpcdaas.errors import HpcdaasError\ntry:\n {asked}\nexcept HpcdaasError as e:\n raise SystemExit(str(e))"
    )
    try:
        there = [line for line in answer([sys.executable, "-c", code]).splitlines() if line]  # drivers may crash
    except HpcdaasError as error:
        return note(name, f"no CUDA: {error.message}", "Fine on a machine without GPU.")
    if not there:
        return note(name, "the driver shows no GPU", "Ask for one (sbatch --gres=gpu:1), see CUDA_VISIBLE_DEVICES.")
    if importlib.util.find_spec("cupy") is None:
        return note(name, f"{', '.join(there)}; no CuPy", "pip install 'hpcdaas[cuda12]' (or cuda13).")
    return ok(name, f"{', '.join(there)}; CuPy is there")


def slurm(name: str, here: Site | None) -> Finding:
    """SLURM's commands, whether its controller answers, and the job that this is in."""
    from hpcdaas.cluster.slurm import Slurm

    lacking = note if here is None or here.is_local else wrong
    if shutil.which("sbatch") is None:
        return lacking(
            name, "not here", "For submit and watch on a cluster: a login node, or the path of its commands."
        )
    try:
        version = Slurm(timeout=SOON).configuration().get("SLURM_VERSION", "")
    except HpcdaasError as error:
        why = error.message.rpartition("; ")[2]
        return lacking(name, f"its commands are here, but no cluster answers: {why}", "Try `scontrol ping`.")
    said = f"{version}, " + ("" if shutil.which("sacct") else "no sacct (squeue and scontrol do), ")
    job = os.environ.get("SLURM_JOB_ID")
    return ok(name, said + (f"job {job} on {os.environ.get('SLURM_JOB_NODELIST', '?')}" if job else "not in a job"))


def site(name: str, file: Path | None) -> Finding:
    """The site file that counts here."""
    from hpcdaas.cluster.site import find_site

    found = find_site(file)  # raises what is wrong with it
    if found.is_local:
        return note(name, "none: runs are processes of this machine", "On a cluster: 'hpcdaas site init' writes one.")
    partitions = ", ".join(part.name for part in found.partition)
    return ok(name, f"{found.name}: {partitions}; 'hpcdaas site check' checks it, 'hpcdaas doctor --site' tries it")


def catalogue(name: str, here: Site | None) -> Finding:
    """The catalogue: that of the site file, else the account's own."""
    from hpcdaas.cluster.site.check import catalogue as look

    return look(here.catalog.uri if here else None)


def answer(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Give what a command prints.

    Raises
    ------
    HpcdaasError
        If it fails, or says nothing within `PATIENCE`; with the last line of its errors.
    """
    name = Path(command[0]).name
    try:
        ended = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HpcdaasError(f"{name} said nothing in {PATIENCE:g} s") from None
    except OSError as error:
        raise HpcdaasError(f"{name} can't be started: {error.strerror}") from error
    if ended.returncode:
        lines = [line for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
        raise HpcdaasError(lines[-1].strip() if lines else f"{name} ended with {ended.returncode}")
    return ended.stdout.strip("\0 \n")


def checks(file: Path | None) -> tuple[Check, ...]:
    """Give the checks; `file`: a site file that is named."""
    from hpcdaas.cluster.site import find_site

    here: Site | None = None
    with suppress(HpcdaasError):  # what is wrong with it is a finding of its own
        here = find_site(file)
    return (
        ("cores", cores), ("memory", memory), ("space", space), ("locks", locks), ("MPI", mpi), ("GPU", gpu),
        ("SLURM", partial(slurm, here=here)), ("site", partial(site, file=file)),
        ("catalogue", partial(catalogue, here=here)),
    )  # fmt: skip
