"""A peer's side: says what there is, then does what it is asked for; runs in the peer's own environment.

    python NAME_peer.py DATA.npz THREADS

The first line on standard output says what there is: ``{"versions": {"astra-toolbox": "2.5.0"}, "absent": {"fbp cuda":
"no GPU here"}}``, or ``{"missing": "No module named 'astra'"}``. Each line of standard input is a request that names a
task, and is answered with one line, ``{"seconds": [1.5]}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

#: Why a task for a GPU can't be done.
NO_GPU = "no GPU here"


class Run(Protocol):
    """A reconstruction of an object that goes on from where it is."""

    def iterate(self, count: int) -> None:
        """Go over all views some times; when it returns, the work is done."""
        ...

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the object (y, x), and where on it the views' centres are, (view, 2), pixels."""
        ...


#: Makes the tasks of the data, on some threads; a text says why one can't be done here.
MakeSlices = Callable[[Mapping[str, Any], int], Mapping[str, "Callable[[], np.ndarray] | str"]]
MakeRuns = Callable[[Mapping[str, Any], int], Mapping[str, "Callable[[int], Run] | str"]]


def serve_slices(make: MakeSlices, *packages: str) -> None:
    """Serve tomography: ``{"task": …, "out": FILE or null}``.

    The data are ``data`` (angle, row, column), float32, line integrals; ``angles``, rad; ``center``, a column. A task
    gives slices (row, y, x), x along the columns at angle 0, y along them at a quarter turn, of a pixel's width.

    Parameters
    ----------
    make : callable
    *packages : str
        Whose versions are told.
    """

    def answer(task: Callable[[], np.ndarray], request: Mapping[str, Any]) -> list[float]:
        start = time.perf_counter()
        slices = task()
        taken = time.perf_counter() - start
        if request["out"]:
            np.save(request["out"], slices)
        return [taken]

    _serve(make, packages, answer)


def serve_runs(make: MakeRuns, *packages: str) -> None:
    """Serve ptychography: ``{"task": …, "modes": 1, "at": [10, 20], "out": FILE or null}``, runs from their start.

    The data are ``frames``, counts with the direct beam in the middle; ``good``, their mask; ``places`` of the views'
    centres, pixels; ``pixel``, m; ``batch``; ``probe1``, ``probe2``, … . Answered are the seconds of the iterations
    up to each of the counts in ``at``; the file gets ``object10``, ``object20``, … and ``places``.
    """

    def answer(task: Callable[[int], Run], request: Mapping[str, Any]) -> list[float]:
        run, taken, done = task(request["modes"]), [0.0], 0
        found: dict[str, np.ndarray] = {}
        for count in request["at"]:
            start = time.perf_counter()
            run.iterate(count - done)
            taken.append(taken[-1] + time.perf_counter() - start)
            done = count
            if request["out"]:
                found[f"object{count}"], found["places"] = run.found()
        if request["out"]:
            np.savez(request["out"], **found)
        return taken[1:]

    _serve(make, packages, answer)


def _serve(make: Callable[..., Any], packages: tuple[str, ...], answer: Callable[..., list[float]]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peers print isn't an answer
    with np.load(sys.argv[1]) as file:
        data = dict(file)
    try:
        tasks = make(data, int(sys.argv[2]))
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    absent = {name: task for name, task in tasks.items() if isinstance(task, str)}
    there = {"versions": {package: version(package) for package in packages}, "absent": absent}
    print(json.dumps(there), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"seconds": answer(tasks[request["task"]], request)}), file=answers, flush=True)
