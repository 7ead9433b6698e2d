"""What each rank sends, counted under mpiexec with up to 64 ranks, and the time that follows for thousands.

Ptychography: one iteration of DM, ML, LSQ-ML and rPIE over a square raster scan that grows with the ranks. Tomography:
a scan that goes by in two blocks. Counts are held against the formulas of docs/scaling.md; with more ranks than cores
times would say nothing, so there are none. The extrapolation takes times of one core as measured elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from common import ONE_THREAD, Goal, Report, Rounds, options
from hpcdaas.bench.child import launcher
from hpcdaas.ptycho.beside import GroupsBeside
from hpcdaas.ptycho.geometry import Geometry, by_place
from hpcdaas.ptycho.groups import SparseGroups
from hpcdaas.ptycho.model import Model
from hpcdaas.ptycho.tile import Tile
from scaling_model import (
    WAVE,
    WEIGHT,
    Machine,
    Sends,
    busiest,
    geometry_of,
    raster,
    sends_of_groups,
    sends_of_tiles,
    sends_of_views,
    tiling_of,
)  # fmt: skip
from scaling_plot import extrapolate

#: Frames of n² pixels, a raster's step, views of a rank: an inner tile touches its eight neighbours alone.
N, STEP, VIEWS = 32, 4, 64
#: Views of a group for each rank; and the default group, however many ranks there are.
EACH, GROUP = 2, 32
ALGORITHMS = ("dm", "ml", "lsqml", "lsqml, group 32", "rpie")
#: Above this number of ranks rPIE, which sends what LSQ-ML sends, is left out: it takes too long.
FEW = 16
#: Seconds after which ranks hang.
HANGS = 300
#: Within how much the busiest rank's bytes may differ from 16 to 64 ranks.
CONSTANT = Goal(1.2)


@dataclass(frozen=True)
class Counted:
    """What the busiest rank has sent in an iteration."""

    bytes: int
    messages: int
    reduced: int
    reductions: int


def run_ranks(ranks: int, algorithms: tuple[str, ...]) -> dict[str, list[dict[str, int]]]:
    """Count with some ranks; gives the counts of each rank by algorithm."""
    job = {
        "views": VIEWS * ranks, "n": N, "step": STEP, "group": EACH * ranks, "algorithms": algorithms,
        "angles": 2 * ranks + 37, "rows": 4 * ranks, "columns": 32,
    }  # fmt: skip
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts.json"
        script = Path(__file__).with_name("scaling_ranks.py")
        command = [*launcher(ranks), sys.executable, str(script), json.dumps(job | {"out": str(out)})]
        done = subprocess.run(command, env=os.environ | ONE_THREAD, timeout=HANGS, check=False)
        if done.returncode:
            raise SystemExit(f"{ranks} ranks ended with code {done.returncode}.")
        found: dict[str, list[dict[str, int]]] = json.loads(out.read_text())
    print(f"  {ranks} ranks: counted in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def most(counts: list[dict[str, int]]) -> Counted:
    """Give the most of each that a rank has sent."""
    names = ("exchanged", "exchange messages", "reduced", "reductions")
    return Counted(*(max(one.get(name, 0) for one in counts) for name in names))


def stand_in(geometry: Geometry) -> Model:
    """Give as much of a model as groups are made from."""
    return cast(Model, SimpleNamespace(order=by_place(geometry.corners, geometry.n), geometry=geometry))


def expected(name: str, ranks: int) -> Counted:
    """Give what the busiest rank should send, by the formulas; of ML's sums only those that its data don't decide."""
    if ranks == 1:
        return Counted(0, 0, 0, 0)
    geometry = geometry_of(raster(VIEWS * ranks, STEP), N)
    tiling, total, probe = tiling_of(geometry, ranks), len(geometry.places), N * N
    if name in ("dm", "ml"):
        sends = busiest(sends_of_tiles(tiling))
        more = (16 + 24, 3) if name == "ml" else (0, 0)  # two products, one look along the direction
        return Counted((WAVE + WEIGHT) * sends.pixels, 2 * sends.messages, 12 * probe + 24 + more[0], 3 + more[1])
    group = GROUP if name.endswith("32") else EACH * ranks
    order = SparseGroups(stand_in(geometry), group, 0).order(0)
    sends, groups = busiest(sends_of_groups(tiling, geometry, order, group)), -(-total // group)
    if name == "rpie":
        return Counted(WAVE * sends.pixels, sends.messages, groups * 12 * probe + 24, 2 * groups + 1)
    return Counted(WAVE * sends.pixels, sends.messages, groups * (8 * probe + 16) + 40, 2 * groups + 2)


def ptychography(report: Report, counts: dict[int, dict[str, list[dict[str, int]]]]) -> None:
    """Report the halo of the busiest rank against the formulas, and how constant it is."""
    every = Goal(0.0, on="value")
    lines = [f"{'per iteration, busiest rank':28}{'halo bytes':>12}{'messages':>10}{'reduced':>12}{'reductions':>12}"]
    worst, large = 0.0, {}
    for name in ALGORITHMS:
        for ranks, found in counts.items():
            if name not in found:
                continue
            real, formula = most(found[name]), expected(name, ranks)
            words = f"{real.bytes:>12}{real.messages:>10}{real.reduced:>12}{real.reductions:>12}"
            lines.append(f"{f'{name}, {ranks}':28}{words}")
            pairs = [(getattr(real, n), getattr(formula, n)) for n in ("bytes", "messages", "reduced", "reductions")]
            pairs = pairs[:2] if name == "ml" else pairs  # how often it looks depends on the data
            worst = max([worst, *(abs(a - b) / max(1, b) for a, b in pairs)])
            if ranks >= 16:
                large[name, ranks] = real.bytes
    report.add("counts: largest difference from the formulas", 100 * worst, "%", goal=every)
    for name in ALGORITHMS:
        bytes_ = {ranks: value for (which, ranks), value in large.items() if which == name}
        if len(bytes_) > 1:
            few, many = min(bytes_), max(bytes_)
            least, top = min(bytes_, key=bytes_.__getitem__), max(bytes_, key=bytes_.__getitem__)
            for what, a, b in (("last over first", few, many), ("most over least", least, top)):
                report.add(
                    f"{name}, {few} to {many} ranks: {what}",
                    bytes_[b],
                    "bytes",
                    limit=f"{a} ranks",
                    limit_value=bytes_[a],
                    ratio=bytes_[b] / bytes_[a],
                    goal=CONSTANT,
                )
    report.notes += lines


def reslice(report: Report, counts: dict[int, dict[str, list[dict[str, int]]]]) -> None:
    """Report what ranks send to others over (R − 1)/R of their part as stored: the one furthest from 1."""
    for ranks, found in counts.items():
        if ranks == 1:
            continue
        due = [(one["dealt"], (ranks - 1) / ranks * one["stored"]) for one in found["re-slice"]]
        sent, part = max(due, key=lambda pair: abs(pair[0] / pair[1] - 1))
        ratio = round(sent / part, 9)
        report.add(
            f"re-slice, {ranks} ranks", sent, "bytes", limit="(R-1)/R of its part", limit_value=part, ratio=ratio,
            goal=Goal(1.0),
        )  # fmt: skip


def by_arithmetic(report: Report) -> None:
    """Report how constant the formulas are over all squares from 16 to 64 ranks, also where positions are uneven."""
    rng = np.random.default_rng(0)
    kinds: dict[str, Callable[[NDArray[np.int32]], NDArray[np.int32]]] = {
        "raster": lambda corners: corners,
        "shaken raster": lambda corners: corners + rng.integers(-1, 2, corners.shape).astype(np.int32),
    }
    formulas: dict[str, Callable[[Any, Geometry], Iterator[Sends]]] = {
        "at once": lambda tiling, _: sends_of_tiles(tiling),
        "view by view": sends_of_views,
    }
    for kind, change in kinds.items():
        geometries = {ranks: geometry_of(change(raster(VIEWS * ranks, STEP)), N) for ranks in (16, 25, 36, 49, 64)}
        for how, formula in formulas.items():
            pixels = [busiest(formula(tiling_of(g, ranks), g)).pixels for ranks, g in geometries.items()]
            report.add(
                f"by arithmetic, {kind}, {how}: most over least, 16 to 64", max(pixels), "pixels", limit="least",
                limit_value=min(pixels), ratio=max(pixels) / min(pixels),
            )  # fmt: skip


def listing(report: Report, ranks: int) -> float:
    """Time what a rank does for all views of the scan, as each iteration in groups does; gives seconds per view."""
    geometry = geometry_of(raster(VIEWS * ranks, STEP), N)
    start = time.perf_counter()
    tile = Tile(geometry, cast(Any, SimpleNamespace(rank=ranks // 2, size=ranks)))
    tiled = time.perf_counter() - start
    groups, total = SparseGroups(stand_in(geometry), GROUP, 0), len(geometry.places)
    start = time.perf_counter()
    order = groups.order(0)
    GroupsBeside(tile, order, [*range(0, total, GROUP), total], cast(Any, None))
    each = (time.perf_counter() - start) / total
    report.add(f"cutting {total} views into {ranks} tiles, once", tiled, "s")
    report.add("lists of the groups, per view of the scan and iteration", 1e6 * each, "us")
    return each


def parse() -> argparse.Namespace:
    parser = options(__doc__ or "", repeats=1)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4, 16, 32, 36, 64], help="to be counted with")
    parser.add_argument("--bandwidth", type=float, default=12.5, metavar="GB/s", help="of a node (default %(default)s)")
    parser.add_argument("--latency", type=float, default=2.0, metavar="us", help="of a message (default %(default)s)")
    parser.add_argument(
        "--filesystem", type=float, default=20.0, metavar="GB/s", help="all ranks (default %(default)s)"
    )
    parser.add_argument("--per-node", type=int, default=64, metavar="N", help="ranks of a node (default %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="draw the extrapolation (SVG, PNG)")
    given = parser.parse_args()
    given.ranks = [1, 2, 4] if given.quick else given.ranks
    return given


def main() -> None:
    given = parse()
    counts = {}
    for ranks in given.ranks:
        names = ALGORITHMS if ranks <= FEW else tuple(name for name in ALGORITHMS if name != "rpie")
        counts[ranks] = run_ranks(ranks, names)
    settings = {
        "frames": f"{N}²", "step": STEP, "views of a rank": VIEWS, "ranks": ", ".join(map(str, given.ranks)),
        "GB/s of a node": given.bandwidth, "us of a message": given.latency, "GB/s of files": given.filesystem,
        "ranks of a node": given.per_node,
    }  # fmt: skip
    report = Report("scaling", settings)
    ptychography(report, counts)
    reslice(report, counts)
    if not given.quick:
        by_arithmetic(report)
    listed = listing(report, 16 if given.quick else 1024)
    machine = Machine(1e9 * given.bandwidth, 1e-6 * given.latency, 1e9 * given.filesystem, given.per_node)
    extrapolate(report, machine, listed, most=64 if given.quick else 4096, plot=given.plot)
    report.finish(given, Rounds({}))


if __name__ == "__main__":
    main()
