"""Slices by hpcdaas and by peers, from the same sinograms: seconds, and errors against the definition in float64.

Every program is asked for the bare ramp filter and keeps its other defaults. Peers take slice after slice, and so they
are timed over some only; ours are timed over all, as in a scan, and over as few as the peers, where they are slower:
vectors and threads run over slices.

Errors are relative L2 errors at random pixels within 0.45 n of the axis, where each program has its pixels, after the
best constant factor: peers scale by conventions of their own. They are held against two definitions (contract, 5): the
exact one, q a trigonometric polynomial, and that of the linear sum, q interpolated linearly between columns, which is
what most peers compute. The sinograms are a phantom, and white noise, which no interpolation can hide from.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from common import Goal, Report, Rounds, interleave, per_piece, timed
from hpcdaas.backend import FbpPlan
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.bench.tomo_job import Job, definition, make_job, random_pixels
from hpcdaas.tomo.simulate import line_integrals, phantom
from peers.known import TOMOGRAPHY
from peers.process import Peers, on_threads, write_sinograms

WORDS = {1: "one thread", 2: "two threads"}
FBP, SUM = "hpcdaas fbp", "hpcdaas backproject"
#: Radius of the pixels that are compared, share of the width.
RADIUS = 0.45
PIXELS = 300
#: Our runs in a row: a single one is too short beside a peer's.
OWN_AT_ONCE = 5

#: Slices (row, y, x) of the same job by the names of what made them.
Made = dict[str, np.ndarray]


@dataclass(frozen=True)
class Size:
    """Of one job: columns, angles, slices, and how many of these the peers get."""

    columns: int
    angles: int
    slices: int
    few: int

    @property
    def group(self) -> str:
        """Name what is measured in the report."""
        return f"slices of {self.columns}² from {self.angles} angles"

    @property
    def some(self) -> slice:
        """The slices that the peers get: the last of the phantom, and as many of white noise."""
        half = self.slices // 2
        return slice(half - self.few // 2, half + self.few // 2)


def centered_job(size: Size) -> Job:
    """Make the job of the figures with its axis at column n // 2, where every peer can have it."""
    job, center = make_job(size.columns, size.angles, size.slices), size.columns // 2
    half = size.slices // 2
    u = (np.arange(size.columns) - center) * (2 / size.columns)
    for j, angle in enumerate(job.plan.angles):
        job.data[j, :half] = line_integrals(phantom(0.5), angle, u, np.linspace(-0.4, 0.4, half))
    return replace(job, plan=replace(job.plan, center=float(center)))


def linear_sum(data: np.ndarray, plan: FbpPlan, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Evaluate the definition of `backproject` in float64 at some pixels, (row, pixel); see `definition`."""
    n, padded = data.shape[2], plan.padded
    total = np.zeros((data.shape[1], len(x)))
    for p, theta, weight in zip(data, plan.angles, plan.weights, strict=True):
        q = np.fft.irfft(np.fft.rfft(p.astype(np.float64), padded, axis=1) * plan.response, padded, axis=1)
        u = plan.center + (x - (n - 1) / 2) * np.cos(theta) + (y - (n - 1) / 2) * np.sin(theta)
        left = np.floor(u).astype(int)
        total += weight * ((1 - (u - left)) * q[:, left % padded] + (u - left) * q[:, (left + 1) % padded])
    return total * plan.scale


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Give the relative L2 error after the best constant factor."""
    factor = np.vdot(found, expected) / np.vdot(found, found)
    return float(np.linalg.norm(factor * found - expected) / np.linalg.norm(expected))


def own_tasks(size: Size, job: Job, made: Made) -> dict[str, Callable[[], float]]:
    """Give our runs, seconds per slice, warm, on one thread and on two, over all slices and over few."""
    tasks: dict[str, Callable[[], float]] = {}
    few = np.ascontiguousarray(job.data[:, size.some])
    for threads, words in WORDS.items():
        backend = CpuBackend(threads)
        for name, run in {FBP: backend.fbp, SUM: backend.filtered_backprojection}.items():
            for row, data in {name: job.data, f"{name}, {size.few} slices at once": few}.items():
                out = np.empty((data.shape[1], size.columns, size.columns), np.float32)
                made[row] = out[size.some] if data is job.data else out
                once = partial(run, data, None, job.plan, out)
                once()
                task = timed(lambda once=once: [once() for _ in range(OWN_AT_ONCE)])
                tasks |= per_piece({f"{row}, {words}": task}, OWN_AT_ONCE * data.shape[1])
    return tasks


def peer_tasks(peers: Mapping[int, Peers], folder: Path, made: Made) -> dict[str, Callable[[], float]]:
    """Give the peers' runs, seconds per slice, warm: what they have made in the first one is kept."""
    tasks: dict[str, Callable[[], float]] = {}
    for threads, some in peers.items():
        for row, (peer, task) in some.tasks.items():
            if threads > 1 and task not in peer.known.threaded:
                continue
            peer.slices(task, folder / "slices.npy")
            made.setdefault(row, np.load(folder / "slices.npy"))
            tasks |= per_piece({f"{row}, {WORDS[threads]}": partial(peer.slices, task)}, len(made[row]))
    return tasks


def add_errors(report: Report, size: Size, job: Job, made: Made) -> None:
    """Add the errors of all programs, each where its own pixels are."""
    n, lines = size.columns, job.data[:, size.some]
    y, x = random_pixels(n, 2 * PIXELS)
    near = np.hypot(y - (n - 1) / 2, x - (n - 1) / 2) <= RADIUS * n
    y, x = y[near][:PIXELS], x[near][:PIXELS]
    some = {"phantom": [size.few // 2 - 1], "white noise": [size.few - 1]}
    beside = {row: known.beside for known in TOMOGRAPHY for row in known.rows.values()}
    for row, slices in made.items():
        dy, dx = beside.get(row, (0.0, 0.0))
        for to, rule in {"the definition": definition, "the linear sum": linear_sum}.items():
            for what, rows in some.items():
                value = error(slices[rows][:, y, x], rule(lines[:, rows], job.plan, y + dy, x + dx))
                more = {}
                if row == FBP and rule is definition:
                    eps = job.plan.eps
                    more = {"limit": "eps", "limit_value": eps, "ratio": value / eps, "goal": Goal(1)}
                report.add(f"{row}: error to {to}, {what}", value, "", group=size.group, **more)


def measure_slices(given: argparse.Namespace, report: Report, size: Size) -> tuple[Rounds, dict[str, str]]:
    """Run everything on one job and add the figures; give the rounds, and what is missing with why."""
    job, made = centered_job(size), Made()
    names = [known.name for known in TOMOGRAPHY]
    with TemporaryDirectory() as folder:
        data = Path(folder) / "sinograms.npz"
        write_sinograms(data, job, size.some)
        with on_threads(given, report, names, data, WORDS) as peers:
            tasks = own_tasks(size, job, made) | peer_tasks(peers, Path(folder), made)
            rounds = interleave(tasks, given.repeats)
    for task in tasks:
        row, _, words = task.rpartition(", ")
        against, more = f"{FBP}, {words}", {}
        if row != FBP:
            ratio = rounds.ratio(task, against)
            more = {"limit": FBP, "limit_value": rounds.median(against), "ratio": ratio}
        report.add(f"{row}: a slice, {words}", rounds.median(task), "s", group=size.group, **more)
    add_errors(report, size, job, made)
    return Rounds({f"{size.group}: {row}": seconds for row, seconds in rounds.seconds.items()}), peers[1].absent
