"""Level 2, the whole: simulated scan files to registered results by the command line, and how wrong these are."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from hpcdaas.bench.child import Child, reconstruct
from hpcdaas.bench.figures import Goal
from hpcdaas.bench.ptycho_job import simulated_job
from hpcdaas.bench.rounds import interleave
from hpcdaas.bench.run import Run
from hpcdaas.bench.scan_file import into_page_cache, scan_file
from hpcdaas.bench.truth import object_error, slices_error, told

#: Stages of a run that are its computing; all else of the process's time is overhead.
COMPUTING = ("center", "compute")
#: Relative errors that are allowed: of slices against their definition (eps of `fbp`), of an object against the truth,
#: with a million photons a view.
SLICES, OBJECT = 1e-3, 0.05
#: Pixels of each slice that are looked at, and runs of each scan.
PIXELS, REPEATS = 60, 3


def measure(run: Run) -> None:
    """Add the figures of whole runs of both techniques."""
    angles, rows, columns = (90, 16, 128) if run.quick else (720, 128, 1024)
    views, size = (80, 64) if run.quick else (256, 128)
    run.teller.begin("simulating scans", 2)
    scan = scan_file(run.folder, angles, rows, columns)
    run.teller.step("tomography")
    job = simulated_job(run.folder, views, size)
    assert job.path is not None
    assert job.simulation is not None
    run.teller.step("ptychography")
    scans = {
        f"tomography, {rows} slices of {columns}², {angles} angles": scan,
        f"ptychography, {views} views of {size}²": job.path,
    }
    checks: tuple[tuple[Callable[[Path], float | None], float], ...] = (
        (partial(_of_slices, scan, rows), SLICES),
        (partial(object_error, simulation=job.simulation), OBJECT),
    )
    children = _runs(run, scans)
    for (name, found), (check, bound) in zip(children.items(), checks, strict=True):
        _add(run, name, found)
        errors = [told(check(_result(run, name, i))) for i in range(len(found))]
        run.report.add(
            f"residual, {name}", max(errors), "", limit="allowed", limit_value=bound, ratio=max(errors) / bound,
            goal=Goal(1), group=name, residual=True,
        )  # fmt: skip


def _result(run: Run, name: str, number: int) -> Path:
    return run.folder / f"{name.partition(',')[0]}-{number}.h5"


def _of_slices(scan: Path, rows: int, out: Path) -> float:
    return slices_error(scan, out, (rows // 3, rows - 1), PIXELS)


def _runs(run: Run, scans: Mapping[str, Path]) -> dict[str, list[Child]]:
    """Do all runs in turns, each result under a name of its own; plans are known from one before."""
    found: dict[str, list[Child]] = {name: [] for name in scans}
    cache, environment = run.folder / "cache", {"XDG_DATA_HOME": str(run.folder), "XDG_STATE_HOME": str(run.folder)}

    def once(name: str) -> float:
        out = _result(run, name, len(found[name]))
        found[name].append(reconstruct(scans[name], out, cache=cache, environment=environment))
        return found[name][-1].seconds

    repeats = 1 if run.quick else REPEATS
    run.teller.begin("whole runs", len(scans) * (repeats + 1))
    for name, scan in scans.items():
        into_page_cache(scan)
        once(name)
        run.teller.step(name)
        found[name].clear()
        _result(run, name, 0).unlink()
    tasks = {name: partial(once, name) for name in scans}
    run.keep("whole runs", interleave(tasks, repeats, lambda i, n, name, seconds: run.teller.step(name)))
    return found


def _add(run: Run, name: str, found: list[Child]) -> None:
    """Add what a scan takes: medians over the runs."""

    def middle(what: Callable[[Child], float]) -> float:
        return statistics.median(map(what, found))

    threads = run.threads[-1]
    seconds = middle(lambda child: child.seconds)
    beside = middle(lambda c: c.seconds - sum(c.answer["seconds"].get(stage, 0.0) for stage in COMPUTING))
    used = middle(lambda child: child.core_seconds)
    share = middle(lambda child: child.core_seconds / (child.seconds * threads))
    add = partial(run.report.add, group=name)
    add("a scan, from its file to the catalogue", seconds, "s")
    add("scans per hour, one after the other", 3600 / seconds, "1/h")
    add("of it overhead", beside, "s", limit="the whole", limit_value=seconds, ratio=beside / seconds)
    add("core hours of a scan", used / 3600, "h", limit="cores that it holds", limit_value=threads * seconds / 3600,
        ratio=share)  # fmt: skip
    add("largest memory", max(child.peak_bytes for child in found), "B")
