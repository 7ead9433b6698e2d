"""The command line, measured from outside: wall time, processor time and memory of whole processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcdaas.errors import HpcdaasError

COMMAND = (sys.executable, "-c", "from hpcdaas.cli.main import main; main()")
#: Starts a child and tells its usage. A process of its own, because Linux counts the memory of the
#: process that starts a child as the child's until it has replaced it.
LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
child = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": child.returncode, "seconds": seconds, "peak": used.ru_maxrss * 1024,
                  "core": used.ru_utime + used.ru_stime, "output": child.stdout.decode(errors="replace"),
                  "error": child.stderr.decode(errors="replace")}))
"""


@dataclass(frozen=True)
class Child:
    """What a run of the command line took: wall and core seconds, largest resident memory, its JSON."""

    seconds: float
    core_seconds: float
    peak_bytes: int
    answer: dict[str, Any]


def launcher(ranks: int) -> list[str]:
    """Give what starts some ranks: the mpiexec of this environment, else of the system; nothing for one rank.

    Raises
    ------
    HpcdaasError
        If there is none.
    """
    if ranks == 1:
        return []
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise HpcdaasError("There is no mpiexec here.", "Load the site's MPI module, or pip install mpich mpi4py.")
    return [found, "-n", str(ranks)]


def started(command: Sequence[str], ranks: int, bound: bool) -> list[str]:
    """Give what starts some ranks of a command; `bound`: each on a core of its own, as jobs are.

    Raises
    ------
    HpcdaasError
        If there is no mpiexec, or there are fewer cores.
    """
    if not bound:
        return [*launcher(ranks), *command]
    cores = sorted(os.sched_getaffinity(0))[:ranks]
    if len(cores) < ranks:
        raise HpcdaasError(f"There are {len(cores)} cores for {ranks} ranks.")
    each = [["taskset", "--cpu-list", str(core), *command] for core in cores]
    if ranks == 1:
        return each[0]
    mpiexec = launcher(ranks)[0]
    return [mpiexec, *(word for i, one in enumerate(each) for word in ((":",) if i else ()) + ("-n", "1", *one))]


def reconstruct(
    scan: Path, out: Path, *arguments: str, cache: Path, environment: Mapping[str, str] = {}, ranks: int = 1,
    bound: bool = False,
) -> Child:  # fmt: skip
    """Run ``hpcdaas reconstruct SCAN -o OUT --json …`` as processes of its own; OUT is removed before.

    FFT plans are kept in `cache`, the catalogue lies beside OUT; for `ranks` and `bound` see `started`.

    Raises
    ------
    HpcdaasError
        If it failed.
    """
    out.unlink(missing_ok=True)
    # an installed program has its bytecode; in an editable one the first run writes it
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    catalog = str(out.with_suffix(".db"))
    command = [*COMMAND, "reconstruct", str(scan), "-o", str(out), "--catalog", catalog, "--json", *arguments]
    launched = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *started(command, ranks, bound)],
        stdout=subprocess.PIPE,
        env={**inherited, "XDG_CACHE_HOME": str(cache), **environment},
        text=True,
        check=True,
    )
    told = json.loads(launched.stdout)
    if told["code"]:
        said = (told["output"] or told["error"]).strip()
        raise HpcdaasError(f"hpcdaas reconstruct ended with code {told['code']}: {said}")
    return Child(told["seconds"], told["core"], told["peak"], json.loads(told["output"]))
