"""Algorithms of ptychography on many ranks, each with a device, against one rank with the C++ backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithm_cases import on_host, small_scan, uneven_model
from hpcdaas.parallel import world
from hpcdaas.parallel.on_device import ByMpi, join
from ptycho_models import iterate
from ranks import Launcher

ITERATIONS = 3
ALGORITHMS: dict[str, dict[str, Any]] = {
    "raar": {"alternations": 2},
    "rpie": {"batch": 8},
    "lsqml": {"group": 8, "momentum": 0.3},
    "lsqml compact": {"group": 8, "grouping": "compact"},
    "ml": {"smooth": 3.0},
}
SCRIPT = """
import sys
sys.path[:0] = sys.argv[2].split(":")
from {module} import make_backend
from rank_cases import save
with make_backend() as backend:
    save(backend, sys.argv[1], sys.argv[3])
"""


def run(name: str, **more: Any) -> tuple[Any, list[float]]:
    """Run an algorithm from a start that is the same for any number of ranks; give the model and all numbers."""
    model = uneven_model(small_scan(), **more)
    rows = iterate(model, name.split()[0], ITERATIONS, **ALGORITHMS[name])
    return model, [value for row in rows for value in row.values()]


def save(backend: Any, path: str, direct: str) -> None:
    """Run all on this rank, and let rank 0 save what was found."""
    comm, found = world(), {}
    links = {"NCCL": join, "MPI": lambda _, gpu: ByMpi(gpu), "": lambda *_: None}
    comm.links = links[direct](comm, backend.gpu)
    assert (comm.links.name if comm.links else "") == direct
    for name in ALGORITHMS:
        before = len(getattr(backend.device, "crossed", []))
        model, numbers = run(name, backend=backend, comm=comm)
        found[f"{name} crossed"] = sum(getattr(backend.device, "crossed", [])[before:])
        assert backend.device.is_here(model.object)
        object_, probe = on_host(model)
        found |= {f"{name} object": model.tile.whole(object_), f"{name} probe": probe, f"{name} numbers": numbers}
    if comm.rank == 0:
        np.savez(path, **found)


class OnManyRanks:
    """`module` names what is imported to make a backend; `places` are where Python looks for it.

    `direct`: what ranks exchange that is on their devices by, as it is; else it goes through the host.
    """

    module: str
    direct = ""
    places: tuple[Path, ...] = (Path(__file__).parent,)

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, tmp_path_factory):
        return cls.results(tmp_path_factory)

    @classmethod
    def results(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("ranks")
        places = ":".join(map(str, cls.places))
        ended = Launcher(folder).run(2, folder / "r.npz", places, cls.direct, script=SCRIPT.format(module=cls.module))
        assert ended.code == 0, ended.out + ended.err
        return np.load(folder / "r.npz")

    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_two_ranks_are_as_one_processor(self, found, name):
        model, numbers = run(name)
        for field, expected in (("object", model.object), ("probe", model.probe)):
            assert np.linalg.norm(found[f"{name} {field}"] - expected) < 1e-4 * np.linalg.norm(expected)
        assert found[f"{name} numbers"] == pytest.approx(numbers, rel=1e-3)
