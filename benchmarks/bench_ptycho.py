"""LSQ-ML and the command line of ptychography against pty-chi's LSQ-ML on the CPU: time, and sharpness.

- An iteration of LSQ-ML over the same views, from the same first probe, in groups of the same size: seconds per view
  and mode, one thread each.
- `hpcdaas reconstruct SCAN` with the default recipe as a process from its start to its end (it also compares two halves
  of the views, which doubles its work), and 60 iterations of LSQ-ML in this process, against 60 iterations of pty-chi,
  all with the same number of threads.
- How sharp the three objects are: Fourier ring correlation with the truth of the simulated scan, or with a run of 500
  iterations of a scan that is given with --scan.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from common import Goal, Report, Rounds, interleave, options, per_piece, timed
from hpcdaas.backend.cpu import available_threads
from hpcdaas.bench.child import reconstruct
from hpcdaas.bench.ptycho_job import GROUP, Found, Job, Reference, make_algorithm, make_job, simulated_job
from hpcdaas.bench.scan_file import into_page_cache
from peers import Peers, on_threads, peer_options
from scan_file import scratch_option

MODES = {1: "one mode", 2: "two modes"}
PEER = "pty-chi LSQ-ML"
#: Times that they are faster than pty-chi.
FASTER = {1: Goal(25, 40, at_least=True), 2: Goal(14, 22, at_least=True)}
#: Iterations in a row: a single one is too short to be timed.
AT_ONCE = 4
RECIPE, BY_RECIPE = "file to object, default recipe", "default recipe"
#: The figure of the default recipe is of a file of this shape, if one is given.
STAR, STAR_GOAL = (516, 128, 128), Goal(8, 3, on="value")
MEAN = "mean up to Nyquist"
RINGS = {"at 1/4 of Nyquist": 0.25, "at 1/2": 0.5, "at 3/4": 0.75, "at Nyquist": 1.0}


def own(modes: int, threads: str) -> str:
    """Name our iteration in the table."""
    return f"LSQ-ML, {MODES[modes]}, {threads}"


def lsqml(job: Job, threads: int, modes: int) -> Callable[[], float]:
    """Give some iterations of a run that goes on; warm, and past the first ones, which leave the probe as it is."""
    algorithm, number = make_algorithm(job.model(threads, modes), "lsqml", group=GROUP), count()

    def run() -> None:
        for _ in range(AT_ONCE):
            algorithm.iterate(next(number))

    run()
    return timed(run)


def own_tasks(job: Job) -> dict[str, Callable[[], float]]:
    """Give our iterations, seconds per view and mode."""
    tasks: dict[str, Callable[[], float]] = {}
    for modes in MODES:
        runs = {own(modes, label): lsqml(job, n, modes) for label, n in (("one thread", 1), ("two threads", 2))}
        tasks |= per_piece(runs, AT_ONCE * job.scan.shape[0] * modes)
    return tasks


def peer_tasks(peers: Peers, job: Job) -> dict[str, Callable[[], float]]:
    """Give the peer's iterations, seconds per view and mode."""
    found: dict[str, Callable[[], float]] = {}
    if PEER in peers.tasks:
        peer, task = peers.tasks[PEER]
        for modes, words in MODES.items():
            one = partial(peer.iteration, task, modes, 1)
            found |= per_piece({f"{PEER}, {words}": one}, job.scan.shape[0] * modes)
    return found


def own_run(job: Job, iterations: int) -> tuple[float, Found]:
    """Run LSQ-ML alone from its start; give seconds and object."""
    model = job.model(available_threads())
    algorithm = make_algorithm(model, "lsqml", group=GROUP)
    return timed(lambda: [algorithm.iterate(i) for i in range(iterations)])(), Found.of(model)


def peer_run(peers: Peers, folder: Path, iterations: int) -> tuple[float, Found]:
    """Let pty-chi run from its start; give seconds and object."""
    out = (folder / "ptycho-peer.npz").resolve()
    peer, task = peers.tasks[PEER]
    (taken,) = peer.run(task, 1, [iterations], out)
    with np.load(out) as file:
        return taken, Found(file[f"object{iterations}"], file["places"])


def add_iterations(report: Report, rounds: Rounds) -> None:
    """Add the figures of one iteration."""
    for modes in MODES:
        one, two, peer = own(modes, "one thread"), own(modes, "two threads"), f"{PEER}, {MODES[modes]}"
        if peer in rounds:
            report.compare(rounds, one, peer, FASTER[modes])
        report.compare(rounds, two, one, Goal(1.8, 1.95, at_least=True))


def sharpness(reference: Reference, found: Found) -> dict[str, float]:
    """Give the ring correlation: its mean over all rings up to Nyquist, and single rings."""
    frc = reference.correlation(found)
    single = {where: float(frc[round(share * len(frc)) - 1]) for where, share in RINGS.items()}
    return {MEAN: float(frc.mean())} | single


def add_sharpness(
    report: Report, reference: Reference, ours: Mapping[str, Found], peer: str, theirs: Found | None
) -> None:
    """Add how sharp the objects are; the mean of the default recipe must not be worse than the peer's."""
    against = {} if theirs is None else sharpness(reference, theirs)
    for name, found in ours.items():
        for where, value in sharpness(reference, found).items():
            more: dict[str, Any] = {}
            if name == BY_RECIPE and where == MEAN:
                more["goal"] = Goal(1, at_least=True)
            if where in against:
                more |= {"limit": peer, "limit_value": against[where]}
                more["ratio"] = value / against[where] if min(value, against[where]) > 0 else None
            report.add(f"{name}: FRC with {reference.name}, {where}", value, "", **more)


def measure(given: argparse.Namespace, job: Job, report: Report) -> Rounds:
    """Run everything, and add the figures."""
    out, cache, data = (given.scratch / name for name in ("ptycho.h5", "cache", "ptycho-peers.npz"))
    iterations, long_run = (5, (6, 4)) if given.quick else (60, (300, 200))
    alone, peer = f"LSQ-ML alone, {iterations} iterations", f"pty-chi, {iterations} iterations"
    job.write_for_peers(data, max(MODES))
    into_page_cache(job.path)
    reconstruct(job.path, out, cache=cache)  # FFT plans, and the programs' own files
    theirs: Found | None = None
    with on_threads(given, report, ("ptychi",), data, (1, available_threads())) as by_threads:
        peers, whole = by_threads[1], by_threads[available_threads()]
        tasks = own_tasks(job) | peer_tasks(peers, job)
        tasks[RECIPE] = lambda: reconstruct(job.path, out, cache=cache).seconds
        rounds = interleave(tasks, given.repeats)
        seconds, objects = {RECIPE: rounds.median(RECIPE)}, {BY_RECIPE: Found.of_result(out)}
        seconds[alone], objects[alone] = own_run(job, iterations)
        if PEER in whole.tasks:
            seconds[peer], theirs = peer_run(whole, given.scratch, iterations)
    peers.note(report, (PEER,))
    for left in (data, out, given.scratch / "ptycho-peer.npz"):
        left.unlink(missing_ok=True)
    add_iterations(report, rounds)
    for name in (RECIPE, alone):
        more = {"limit": peer, "limit_value": seconds[peer], "ratio": seconds[peer] / seconds[name]} if theirs else {}
        goal = STAR_GOAL if name == RECIPE and given.scan and job.scan.shape == STAR else None
        report.add(name, seconds[name], "s", goal=goal, **more)
    add_sharpness(report, job.reference(long_run), objects, peer, theirs)
    return rounds


def main() -> None:
    parser = options(__doc__ or "", repeats=5)
    scratch_option(parser)
    peer_options(parser)
    parser.add_argument(
        "--scan", type=Path, metavar="PATH", help="a scan of the far field instead of the simulated one"
    )
    given = parser.parse_args()
    given.scratch.mkdir(parents=True, exist_ok=True)
    views, size = (60, 64) if given.quick else (512, 128)
    job = make_job(given.scan, None) if given.scan else simulated_job(given.scratch, views, size)
    settings = {
        "scan": "given" if given.scan else "simulated",
        "views": job.scan.shape[0],
        "frame": f"{job.cut.n}²",
        "group": GROUP,
        "threads of whole runs": available_threads(),
        "rounds": given.repeats,
    }
    report = Report("ptycho", settings, notes=["Times of an iteration are per view and mode."])
    report.finish(given, measure(given, job, report))


if __name__ == "__main__":
    main()
