"""Objects by hpcdaas and by peers, from the same simulated scan: seconds until they are equally good.

Equal quality means: relative L2 error to the truth at most `ERROR` and Fourier ring correlation with the truth, its
mean over all rings up to Nyquist, at least `SHARP`; scale, phase, ramp and sub-pixel shift are removed before. Every
program runs once from the same start, an empty object and the same first probe, and its object is looked at after some
counts of iterations. The first count that is good enough is run again from the start in interleaved rounds: that is its
time. Making a run ready isn't counted, for any of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import numpy as np

from common import Report, Rounds, interleave, timed
from hpcdaas import ptycho
from hpcdaas.bench.ptycho_job import Found, Job, Reference, make_algorithm, simulated_job
from hpcdaas.ptycho import ambiguity
from peers.known import PTYCHOGRAPHY
from peers.process import Peer, Peers, on_threads
from peers.slices import OWN_AT_ONCE, WORDS

ERROR, SHARP = 0.05, 0.94
DEFAULT = "hpcdaas LSQ-ML, then ML (default recipe)"
#: Our algorithms with their defaults; all but the last of one row end after the iterations that they have by default.
OWN = {
    DEFAULT: ("lsqml", "ml"),
    "hpcdaas LSQ-ML": ("lsqml",),
    "hpcdaas rPIE": ("rpie",),
    "hpcdaas ML": ("ml",),
    "hpcdaas RAAR": ("raar",),
    "hpcdaas DM": ("dm",),
}
#: Iterations after which objects are looked at.
AT = (*range(2, 40, 2), *range(40, 121, 5))
#: The most that slow ones get.
MOST = {
    "pty-chi LSQ-ML": 80, "pty-chi rPIE": 60, "pty-chi DM": 60,
    "cdtools Adam": 60, "cdtools Adam, steps of its example": 70,
}  # fmt: skip
#: Iterations over which a program is timed that doesn't get good enough.
SOME = 10


@dataclass(frozen=True)
class Quality:
    """Of an object after some iterations: relative error, mean ring correlation."""

    iterations: int
    error: float
    frc: float

    @property
    def good(self) -> bool:
        """Whether it is good enough."""
        return self.error <= ERROR and self.frc >= SHARP


class OwnRun:
    """One of our runs, at its start.

    Parameters
    ----------
    job : Job
    steps : sequence of str
        Algorithms, one after the other.
    threads : int
    """

    def __init__(self, job: Job, steps: Sequence[str], threads: int) -> None:
        self.model = job.model(threads)
        self._iterations = self._all(steps)

    def _all(self, steps: Sequence[str]) -> Iterator[None]:
        for step in steps:
            algorithm = make_algorithm(self.model, step)
            last = step == steps[-1]
            for i in count() if last else range(ptycho.steps()[step].parameters().iterations):
                algorithm.iterate(i)
                yield

    def iterate(self, iterations: int) -> None:
        """Go over all views some times."""
        for _ in range(iterations):
            next(self._iterations)


def own_qualities(job: Job, reference: Reference, at: Sequence[int]) -> dict[str, list[Quality]]:
    """Run ours once each, and look at their objects."""
    found: dict[str, list[Quality]] = {}
    for row, steps in OWN.items():
        run = OwnRun(job, steps, max(WORDS))
        for before, now in pairwise((0, *at)):
            run.iterate(now - before)
            found.setdefault(row, []).append(quality(reference, Found.of(run.model), now))
    return found


def peer_qualities(peers: Peers, reference: Reference, folder: Path, at: Sequence[int]) -> dict[str, list[Quality]]:
    """Let the peers run once each, and look at their objects."""
    found: dict[str, list[Quality]] = {}
    for row, (peer, task) in peers.tasks.items():
        out, counts = folder / "peer.npz", [n for n in at if n <= MOST.get(row, max(at))]
        peer.run(task, 1, counts, out.resolve())
        with np.load(out) as file:
            found[row] = [quality(reference, Found(file[f"object{n}"], file["places"]), n) for n in counts]
        out.unlink()
        print(f"  {row}: {found[row][-1]}", file=sys.stderr, flush=True)
    return found


def quality(reference: Reference, found: Found, iterations: int) -> Quality:
    """Hold an object against the truth."""
    moved = np.rint(found.places[0] - reference.found.places[0]).astype(int)
    there = tuple(slice(s.start + d, s.stop + d) for s, d in zip(reference.window, moved, strict=True))
    truth = reference.found.object[reference.window]
    error = ambiguity.relative_error(ambiguity.align(found.object[there], truth), truth)
    return Quality(iterations, error, float(reference.correlation(found).mean()))


def run_tasks(job: Job, peers: Mapping[int, Peers], counts: Mapping[str, int]) -> dict[str, Callable[[], float]]:
    """Give tasks that answer with the seconds of a run from its start, of so many iterations."""
    tasks: dict[str, Callable[[], float]] = {}

    def own(steps: Sequence[str], threads: int, iterations: int) -> float:
        runs = [OwnRun(job, steps, threads) for _ in range(OWN_AT_ONCE)]
        return timed(lambda: [run.iterate(iterations) for run in runs])() / len(runs)

    def theirs(peer: Peer, task: str, iterations: int) -> float:
        return peer.run(task, 1, [iterations])[0]

    for threads, words in WORDS.items():
        tasks |= {f"{row}, {words}": partial(own, steps, threads, counts[row]) for row, steps in OWN.items()}
        for row, (peer, task) in peers[threads].tasks.items():
            if threads == 1 or task in peer.known.threaded:
                tasks[f"{row}, {words}"] = partial(theirs, peer, task, counts[row])
    return tasks


def measure_objects(
    given: argparse.Namespace, report: Report, views: int, size: int
) -> tuple[Rounds, dict[str, str]]:  # fmt: skip
    """Run everything on one scan and add the figures; give the rounds, and what is missing with why."""
    job = simulated_job(given.scratch, views, size)
    reference, data = job.reference((0, 0)), given.scratch / "peers-scan.npz"
    at = (2, 4) if given.quick else AT
    job.write_for_peers(data, 1)
    names = [known.name for known in PTYCHOGRAPHY]
    with on_threads(given, report, names, data, WORDS) as peers:
        qualities = own_qualities(job, reference, at) | peer_qualities(peers[2], reference, given.scratch, at)
        counts = {row: good_after(found) or min(SOME, at[-1]) for row, found in qualities.items()}
        rounds = interleave(run_tasks(job, peers, counts), given.repeats)
    data.unlink()
    group = f"objects of {views} views of {size}²"
    for row, found in qualities.items():
        add_row(report, group, row, found, counts[row], rounds)
    return Rounds({f"{group}: {row}": seconds for row, seconds in rounds.seconds.items()}), peers[1].absent


def good_after(found: Sequence[Quality]) -> int:
    """Give the first number of iterations after which an object is good enough, 0 if it never is."""
    return next((q.iterations for q in found if q.good), 0)


def add_row(
    report: Report, group: str, row: str, found: Sequence[Quality], count: int, rounds: Rounds
) -> None:  # fmt: skip
    """Add the figures of one program: until it is good enough, of an iteration, and how good it gets."""
    good, last = good_after(found), found[-1]
    for words in WORDS.values():
        name = f"{row}, {words}"
        if name not in rounds:
            continue
        if good:
            more = {"limit": DEFAULT, "ratio": rounds.ratio(name, f"{DEFAULT}, {words}")} if row != DEFAULT else {}
            report.add(f"{row}: until good enough, {words}", rounds.median(name), "s", group=group, **more)
        report.add(f"{row}: an iteration, {words}", rounds.median(name) / count, "s", group=group)
    if good:
        report.add(f"{row}: iterations until good enough", good, "", group=group)
    report.add(f"{row}: iterations at the end", last.iterations, "", group=group)
    report.add(f"{row}: error at the end", last.error, "", group=group)
    report.add(f"{row}: FRC at the end", last.frc, "", group=group)
