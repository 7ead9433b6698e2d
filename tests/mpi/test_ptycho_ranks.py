"""Algorithms of ptychography on many ranks, held against the same on one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from hpcdaas.parallel import Comm, together
from hpcdaas.ptycho.ambiguity import align
from ptycho_models import make_algorithm, make_model
from ptycho_scans import FAR, NEAR, Held, simulated

pytestmark = pytest.mark.mpi

ALGORITHMS: dict[str, dict[str, Any]] = {
    "dm": {},
    "raar": {"alternations": 2},
    "epie": {"batch": 8},
    "rpie": {"batch": 16},
    "ml": {},
    "lsqml": {"group": 16},
}


@cache
def scan_of(name: str) -> Any:
    """Simulate a scan once."""
    return simulated({"far": FAR, "near": NEAR}[name])


def run(scan: Any, name: str, parameters: dict[str, Any], comm: Comm | None, iterations: int, **start: Any) -> Any:
    """Run an algorithm; give the model and its last numbers."""
    model = make_model(scan, threads=1, comm=comm, **start)
    algorithm = make_algorithm(model, name, **parameters)
    for iteration in range(iterations):
        found = algorithm.iterate(iteration)
    return model, found


def distance(a: Any, b: Any) -> float:
    """Give the relative L2 difference."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def differences(scan: Any, name: str, comm: Comm, iterations: int = 10, *, bare: bool = False, **options: Any) -> Any:
    """Give how far many ranks are from one: object, probe and numbers."""
    start = options.pop("start", {})
    with together(comm):
        many, numbers = run(scan, name, options, comm, iterations, **start)
        one, expected = run(scan, name, options, None, iterations, **start)
        object_ = many.tile.whole(many.object)
        if comm.rank:
            return comm.share(None)
        found = [
            max(distance(a if bare else align(a, b), b) for a, b in zip(object_, one.object, strict=True)),
            distance(many.probe, one.probe) if bare else 0.0,
            max(abs(numbers[key] - expected[key]) / (abs(expected[key]) or 1.0) for key in expected),
        ]
        return comm.share(found)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_ten_iterations_are_those_of_one_rank(name: str, comm: Comm) -> None:
    scan = scan_of("far")
    object_, _, numbers = differences(scan, name, comm, **ALGORITHMS[name])
    assert object_ < 1e-3
    assert numbers < 1e-2


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lsqml", {"group": 16, "grouping": "compact", "momentum": 0.5}),
        ("lsqml", {"group": 500}),
        ("ml", {"smooth": 3.0, "noise": "poisson"}),
        ("rpie", {"batch": 1}),
        ("rpie", {"batch": 7, "object_from": 1}),
        ("dm", {"object_from": 1}),
    ],
    ids=str,
)
def test_two_iterations_differ_by_rounding_alone(name: str, parameters: dict[str, Any], comm: Comm) -> None:
    found = differences(scan_of("far"), name, comm, 2, bare=True, **parameters)
    assert max(found) < 2e-4


@pytest.mark.parametrize("name", ["lsqml", "rpie", "dm", "ml"])
def test_modes(name: str, comm: Comm) -> None:
    options = ALGORITHMS[name] | {"probe_from": 0, "start": {"modes": 2, "object_modes": 2}}
    assert max(differences(scan_of("far"), name, comm, 2, bare=True, **options)) < 2e-4


def test_near_field(comm: Comm) -> None:
    assert max(differences(scan_of("near"), "lsqml", comm, 2, bare=True, group=16)) < 2e-4


@pytest.mark.parametrize("views", [1, 2, 5])
@pytest.mark.parametrize("name", ["lsqml", "rpie", "dm", "ml"])
def test_fewer_views_than_ranks(views: int, name: str, comm: Comm) -> None:
    assert max(differences(take(scan_of("far"), views), name, comm, 2, bare=True)) < 2e-4


def take(scan: Any, views: int) -> Any:
    """Give the first views of a scan."""
    values = scan.frames.read(slice(0, views), slice(None))
    return replace(scan, frames=Held(np.asarray(values)), positions=scan.positions[:views])
