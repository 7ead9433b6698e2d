"""One run, from a raw file to a registered result; doing it twice is the same as doing it once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from hpcdaas.backend import Backend, default_threads, get_backend
from hpcdaas.backend.auto import choose
from hpcdaas.catalog.crate import crate_path, is_crate_of, write_crate
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.outbox import deliver_one
from hpcdaas.catalog.outcome import Delivered, Waiting
from hpcdaas.catalog.record import Record, read_record, record_path, write_record
from hpcdaas.catalog.scicat import Scicat
from hpcdaas.catalog.store import Store, open_catalog
from hpcdaas.errors import NO_ROOM, DiskFull, HpcdaasError, InputError, Interrupted, NoRoom, Rewritten
from hpcdaas.io import open_scan
from hpcdaas.io.group import group_id
from hpcdaas.io.nexus_result import read_summary
from hpcdaas.io.partial import Partial, sweep
from hpcdaas.io.rank_partial import RankPartial
from hpcdaas.io.tiff_result import is_stack_of, write_stack
from hpcdaas.parallel import Comm, together, world
from hpcdaas.params import explain
from hpcdaas.pipeline.job import Job
from hpcdaas.pipeline.memory import default_budget, peak
from hpcdaas.pipeline.options import Options, Watcher, agreeing, noting
from hpcdaas.pipeline.work import Work, make_work
from hpcdaas.recipe import Recipe, default_recipe
from hpcdaas.result import Raw, Result
from hpcdaas.run import raw_identity, run_identity
from hpcdaas.scan import PtychoScan, Scan

#: Begins the names of a result's metrics that say how long each stage took.
SECONDS = "seconds_"
#: How long a run waits for a catalogue that is away or busy, seconds: its record can be delivered later.
PATIENCE = 10.0


def reconstruct(
    file: str | Path, recipe: Recipe | None = None, out: str | Path = "result.h5", *,
    attempt: int = 1, watcher: Watcher | None = None, **options: Any,
) -> Result:  # fmt: skip
    """Reconstruct a raw scan into a result file, and register it.

    Parameters
    ----------
    file : path
        The raw scan, in any format that a reader knows.
    recipe : Recipe, optional
        Default: `hpcdaas.default_recipe` of the scan's technique.
    out : path
        The result file. A run that is there already is not done again; one that was interrupted goes on.
    attempt : int, optional
        Number of the attempt: part of the run's identity if it isn't 1.
    watcher : Watcher, optional
        Told of progress; may end the run.
    **options
        See `hpcdaas.pipeline.Options`: ``backend, memory, threads, overwrite, catalog, register_result``.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If the file, the recipe or an option is wrong. Nothing is left behind but an earlier checkpoint.
    Interrupted
        If the watcher ended the run; the same call goes on.
    HpcdaasError
        If it failed for another reason.
    """
    try:
        chosen = Options(**options)
    except ValidationError as error:
        raise explain(error, "the options", Options) from None
    comm = world()
    with together(comm):
        return _run(Path(file), recipe, Path(out).absolute(), attempt, watcher or Watcher(), chosen, comm)


def _run(
    file: Path, recipe: Recipe | None, path: Path, attempt: int, watcher: Watcher, options: Options, comm: Comm
) -> Result:
    started, first = datetime.now(UTC), comm.rank == 0
    scan = open_scan(file, recipe.scan if recipe else None)
    recipe = recipe or default_recipe(scan.technique)
    raw = comm.from_first(raw_of(scan) if first else None)
    job = Job(path, raw, recipe, run_identity(raw.identity, recipe.resolved(), attempt), attempt, started)
    if options.expected and job.run != options.expected:
        raise Rewritten(f"{file} was rewritten after it was asked for.", "Ask for it again.")
    # opened before the work, so that a wrong name is found in time
    catalog = open_catalog(options.catalog, patience=PATIENCE) if first and options.delivers else None
    watcher, said = noting(watcher)
    try:
        there = comm.share(first and job.is_there(options.overwrite))
        result = None if there else _make(job, scan, options, watcher, comm)
        result = comm.from_first(result or _existing(job) if first else None)
        wants_tiff = any(getattr(part.parameters, "tiff", False) for part in recipe.steps)
        if first and wants_tiff and not is_stack_of(path, job.run):
            write_stack(path)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(
                f"{error.filename or path}: {error.strerror}.", "Make room; the same command goes on."
            ) from error
        raise HpcdaasError(f"{error.filename or path}: {error.strerror or error}.") from error
    return comm.share(
        _registered(result, catalog, watcher, said, options) if first and options.register_result else result
    )


def raw_of(scan: Scan | PtychoScan) -> Raw:
    """Say what identifies and describes a scan: reads the blocks that its identity is made of."""
    files = tuple(f.parent.resolve() / f.name for f in scan.files)  # links to folders change with the beamtime
    return Raw(scan.name, files, raw_identity(files), scan.metadata, scan.technique, scan.format, scan.shape)


def _backend(options: Options, technique: str, watcher: Watcher, comm: Comm) -> Backend:
    """Give the primitives, on all ranks those of the same kind; a GPU is chosen where each rank has one of its own."""
    threads = options.threads or default_threads(comm.sharing)
    if options.backend != "auto":
        return get_backend(options.backend, threads)
    backend, why = choose(technique, threads)
    found = comm.gather((backend.gpu.place if backend.gpu else None, why))
    places = {place for place, _ in found}
    if None not in places and len(places) == comm.size:
        return backend
    reasons = [reason for _, reason in found if reason]
    if reasons or places != {None}:
        shared = f"{comm.size} ranks have {len(places - {None})} GPUs"
        watcher.say(f"The GPU isn't taken, {reasons[0] if reasons else shared}; --backend cuda takes it all the same.")
    return backend if backend.gpu is None else get_backend("cpu", threads)


def _make(
    job: Job, scan: Scan | PtychoScan, options: Options, watcher: Watcher, comm: Comm
) -> Result | None:  # fmt: skip
    """Reconstruct into ``RESULT.partial`` and give it its final name; None where another process just did."""
    start = time.perf_counter()
    if not job.path.parent.is_dir():
        raise InputError(f"There is no folder {job.path.parent}.", "Make it, or choose another -o.")
    group = group_id(options.group)
    partial = _partial(job, comm)
    keep = partial.begun
    try:
        if comm.share(comm.rank == 0 and job.is_there(options.overwrite)):
            partial.discard()
            return None
        backend = _backend(options, scan.technique, watcher, comm)
        work = make_work(scan, job.recipe, backend, int(options.memory or default_budget()) // comm.local, comm)
        plan, saved = work.plan(), _saved(partial, backend, options, watcher, comm)
        if saved is None:
            partial.clear()
            if comm.rank == 0:
                _check_room(job.path, work.room)
        keep = False
        outcome = work.run(partial, plan, saved, agreeing(watcher, comm))
        stages = comm.share(list(work.seconds))
        seconds = {name: round(comm.largest(work.seconds.get(name, 0.0)), 3) for name in stages}
        seconds["total"] = round(time.perf_counter() - start, 3)
        work.describe(partial.data, outcome, job.process(), seconds)
        comm.agree()  # all that is written is safe
        partial.finish(int(options.mode, 8), group)
        comm.agree()
    except InputError:
        # an option that is wrong must not cost what an earlier attempt has done
        (partial.release if keep else partial.discard)()
        raise
    except Interrupted as stop:
        partial.release()
        raise Interrupted(stop.message, "The same command goes on where this one stopped.") from stop
    except BaseException:
        partial.release()
        raise
    return _result(job, work, outcome, seconds, int(comm.largest(peak())))


def _partial(job: Job, comm: Comm) -> Partial:
    """Take the lease on rank 0; the others join it."""
    held = Partial(job.path, job.run) if comm.rank == 0 else None
    token = comm.share(held.token if held else "")
    return held or RankPartial(job.path, job.run, token, comm.rank)


def _saved(
    partial: Partial, backend: Backend, options: Options, watcher: Watcher, comm: Comm
) -> dict[str, Any] | None:  # fmt: skip
    """Give the checkpoint of an attempt before this one, where it can be gone on with on all ranks."""
    saved = partial.checkpoint()
    good = saved is not None and _goes_on(saved, options, comm) and backend.resume(saved["backend"], saved["state"])
    if not comm.agree(not good):
        return saved
    if comm.agree(saved is not None):
        watcher.say("What an earlier attempt left can't be gone on with here: starting anew.")
    return None


def _goes_on(saved: Mapping[str, Any], options: Options, comm: Comm) -> bool:
    """Say whether the plan of an earlier attempt keeps the budget that is asked for now; other ranks make another."""
    return (
        options.memory is None
        or saved.get("ranks", 1) != comm.size
        or int(saved["plan"]["bytes"]) <= options.memory // comm.local
    )


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise NoRoom(
            f"The result needs {size / 1e9:.2f} GB, and {path.parent} has {free / 1e9:.2f} GB free.",
            "Make room, choose another -o, or store integers: -s store.dtype=uint16.",
        )


def _result(job: Job, work: Work, outcome: Any, seconds: dict[str, float], memory: int) -> Result:
    return Result(
        path=job.path,
        run=job.run,
        raw=job.raw,
        recipe=job.recipe.resolved(),
        shape=work.shape,
        started=job.started,
        ended=datetime.now(UTC),
        seconds=seconds,
        peak_memory_bytes=memory,
        metrics=outcome.metrics(),
    )


def _existing(job: Job) -> Result:
    """Describe a result that is there."""
    sweep(job.path)
    summary = read_summary(job.path)
    metrics: dict[str, Any] = summary["metrics"]
    timed = {name: metrics.pop(name) for name in list(metrics) if name.startswith(SECONDS)}
    return Result(
        path=job.path,
        run=job.run,
        raw=job.raw,
        recipe=summary["recipe"],
        shape=summary["shape"],
        started=job.started,
        ended=datetime.now(UTC),
        seconds={name.removeprefix(SECONDS): value["value"] for name, value in timed.items()},
        metrics=metrics,
        existed=True,
    )


def _registered(result: Result, catalog: Store | None, watcher: Watcher, said: list[str], options: Options) -> Result:
    """Write record and provenance beside the result and tell the catalogue, unless a poster outside the job does."""
    start = time.perf_counter()
    record = _record(result, "\n".join(said), options)
    crate = crate_path(result.path)
    if not (result.existed and is_crate_of(record.run, crate)):
        write_crate(record, crate, None if result.existed else result.started)
    pid = _delivered(record, record_path(result.path), catalog, watcher) if catalog else None
    seconds = {**result.seconds, "register": round(time.perf_counter() - start, 3)}
    return replace(result, pid=pid, seconds=seconds, peak_memory_bytes=max(result.peak_memory_bytes, peak()))


def _delivered(record: Record, path: Path, catalog: Store, watcher: Watcher) -> str | None:
    """Hand the record to the catalogue; one that is elsewhere may be away, and the result is done all the same."""
    if not isinstance(catalog, Scicat):
        return catalog.register(record)
    outcome = deliver_one(path, catalog)
    if isinstance(outcome, Delivered):
        return outcome.pid
    state = "waits" if isinstance(outcome, Waiting) else "is held"
    watcher.say(f"The result is done, its registration {state}: {outcome.reason}")
    watcher.say(f"Deliver it by: hpcdaas catalog flush {path} --catalog {catalog.url}")
    return None


def _record(result: Result, log: str, options: Options) -> Record:
    """Give the record beside a result; make it where there is none, or that of a run whose result was replaced."""
    from hpcdaas.view.thumbnail import thumbnail  # the picture library: only where a picture is made

    path = record_path(result.path)
    if result.existed and path.exists():
        record = read_record(path)
        if record.run == result.run:
            return record
    zone = ZoneInfo(options.timezone) if options.timezone else None
    record = make_record(result, options.prefix, thumbnail(result.path), log, zone)
    write_record(record, path)
    return record
