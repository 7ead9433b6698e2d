"""What a job of ``hpcdaas doctor --site`` does on its nodes: look around, or meet the other ranks.

Run as ``python -m hpcdaas.cluster.site.node look|meet`` in the job's folder. What it has found is in ``report.json``,
what went wrong in ``error``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hpcdaas.errors import HpcdaasError, for_people

#: Files of the job's folder: of the submitter before the job began; of the job for the submitter; the answer to it.
ASKED, HELLO, ANSWER = "asked.json", "hello", "answer"
#: What the job has found, and why it found nothing.
REPORT, ERROR = "report.json", "error"
#: Seconds between two looks for a file.
LOOK = 0.02
#: Numbers that ranks add up.
NUMBERS = 2**20


def put(path: Path, text: str) -> None:
    """Write a file that appears whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{os.uname().nodename}")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def look(folder: Path) -> dict[str, Any]:
    """Say what this job has on this node.

    Parameters
    ----------
    folder : Path
        Of the job; `ASKED` is there.

    Returns
    -------
    dict
        Plain data.
    """
    from hpcdaas.backend import default_threads
    from hpcdaas.backend.cgroup import core_limit, memory_limit
    from hpcdaas.cluster.pool.task import node_name
    from hpcdaas.pipeline.memory import default_budget

    asked = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    temporary = tempfile.gettempdir()
    return {
        "node": node_name(),
        "threads": default_threads(),
        "bound": len(os.sched_getaffinity(0)),
        "core_limit": core_limit(),
        "memory_limit": memory_limit(),
        "budget": default_budget(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        **(_gpus() if asked["gpus"] else {}),
        "temporary": temporary,
        "free": shutil.disk_usage(temporary).free,
        "missing": [root for root in asked["roots"] if not Path(root).is_dir()],
        "there_and_back": _there_and_back(folder, asked["patience"]),
    }


def _gpus() -> dict[str, Any]:
    from hpcdaas.cluster.gpu_driver import devices

    try:
        return {"gpus": devices()}
    except HpcdaasError as error:
        return {"gpus": [], "gpu_error": error.message}


def _there_and_back(folder: Path, patience: float) -> float | None:
    """Write a file, and wait for the submitter's answer to it: s by this node's clock; None where none is seen."""
    began = time.monotonic()
    put(folder / HELLO, "")
    while time.monotonic() - began < patience:
        if ANSWER in os.listdir(folder):  # noqa: PTH208 - lists anew, where a name that wasn't there may be remembered
            return time.monotonic() - began
        time.sleep(LOOK)
    return None


def meet() -> dict[str, Any] | None:
    """Meet the other ranks and add up numbers with them; rank 0 gives what it has seen.

    Raises
    ------
    InputError
        If the launcher and mpi4py don't fit together.
    """
    import numpy as np

    from hpcdaas.cluster.pool.task import node_name
    from hpcdaas.parallel import together, world

    comm = world()
    with together(comm):
        nodes = comm.gather(node_name())
        numbers = np.arange(NUMBERS, dtype=np.float64) * (comm.rank + 1)
        comm.add(np.zeros_like(numbers))  # the first one makes the connections
        began = time.perf_counter()
        comm.add(numbers)
        took = time.perf_counter() - began
        expected = np.arange(NUMBERS, dtype=np.float64) * (comm.size * (comm.size + 1) / 2)
        right = not comm.agree(not np.array_equal(numbers, expected))
        seconds = comm.largest(took)
    found = {"ranks": comm.size, "nodes": nodes, "right": right, "seconds": seconds, "bytes": numbers.nbytes}
    return found if comm.rank == 0 else None


def main() -> int:
    """Do what the command line says."""
    folder = Path.cwd()
    try:
        found = look(folder) if sys.argv[1:] == ["look"] else meet()
    except Exception as error:
        put(folder / ERROR, " ".join(str(for_people(error)).split()))
        return 1
    if found is not None:
        put(folder / REPORT, json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
