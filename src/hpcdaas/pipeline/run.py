"""One run, from a raw file to a registered result; doing it twice is the same as doing it once."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

import hpcdaas
from hpcdaas.backend import Backend, get_backend
from hpcdaas.catalog.make import make_record
from hpcdaas.catalog.record import Record, read_record, record_path, write_record
from hpcdaas.catalog.store import open_catalog
from hpcdaas.errors import HpcdaasError, InputError, Interrupted
from hpcdaas.io import open_scan
from hpcdaas.io.nexus_result import existing_run, read_summary
from hpcdaas.io.partial import Partial, sweep
from hpcdaas.io.tiff_result import is_stack_of, write_stack
from hpcdaas.params import explain
from hpcdaas.pipeline.memory import default_budget, peak
from hpcdaas.pipeline.options import Options, Watcher
from hpcdaas.recipe import Recipe, default_recipe
from hpcdaas.result import Raw, Result
from hpcdaas.run import raw_identity, run_identity
from hpcdaas.scan import PtychoScan, Scan

#: Begins the names of a result's metrics that say how long each stage took.
SECONDS = "seconds_"


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
    started = datetime.now(UTC)
    path = Path(out).absolute()
    scan = open_scan(Path(file), recipe.scan if recipe else None)
    recipe = recipe or default_recipe(scan.technique)
    raw = _raw(scan)
    job = Job(path, raw, recipe, run_identity(raw.identity, recipe.resolved(), attempt), attempt, started)
    if chosen.register_result and not _in_job():
        open_catalog(chosen.catalog)  # a wrong name is found before the work
    try:
        result = None if job.is_there(chosen.overwrite) else _make(job, scan, chosen, watcher or Watcher())
        result = result or _existing(job)
        if any(getattr(part.parameters, "tiff", False) for part in recipe.steps) and not is_stack_of(path, job.run):
            write_stack(path)
    except OSError as error:
        raise HpcdaasError(f"{error.filename or path}: {error.strerror or error}.") from error
    return _registered(result, chosen)


class Work(Protocol):
    """One scan, one recipe, one backend: what a technique has to be able to do."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time of each stage so far."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the main dataset."""
        ...

    @property
    def room(self) -> int:
        """Bytes that are needed on disk."""
        ...

    def plan(self) -> Any:
        """Choose how the scan goes through the memory; the plan has its bytes."""
        ...

    def run(self, partial: Partial, plan: Any, saved: dict[str, Any] | None, watcher: Watcher) -> Any:
        """Do it, from a checkpoint where there is one; what comes out has `metrics()`."""
        ...

    def describe(self, path: Path, outcome: Any, process: dict[str, Any], seconds: dict[str, float]) -> None:
        """Complete the result in the making."""
        ...


@dataclass(frozen=True)
class Job:
    """What is to be done: one run and the place of its result."""

    path: Path
    raw: Raw
    recipe: Recipe
    run: str
    attempt: int
    started: datetime

    def is_there(self, overwrite: bool) -> bool:
        """Say whether the result holds this run.

        Raises
        ------
        InputError
            If it holds something else and must not be replaced.
        """
        found = existing_run(self.path)
        if found is not None and any(self.path.samefile(file) for file in self.raw.files):
            raise InputError(f"{self.path} is the raw scan itself.", "Choose another -o.")
        if found == self.run:
            return True
        if found is not None and not overwrite:
            what = f"another run ({found[:8]})" if found else "something else"
            raise InputError(f"{self.path} exists and holds {what}.", "Give --overwrite, or another name with -o.")
        return False

    def process(self) -> dict[str, Any]:
        """Say where a result comes from, for ``/entry/process``."""
        return {
            "program": "hpcdaas",
            "version": hpcdaas.__version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "recipe": json.dumps(self.recipe.resolved(), sort_keys=True),
            "recipe_name": self.recipe.name,
            "raw_file": str(self.raw.files[0]),
            "raw_files": json.dumps([str(f) for f in self.raw.files]),
            "raw_identity": self.raw.identity,
            "run": self.run,
            "attempt": self.attempt,
        }


def _raw(scan: Scan | PtychoScan) -> Raw:
    files = tuple(f.parent.resolve() / f.name for f in scan.files)  # links to folders change with the beamtime
    return Raw(scan.name, files, raw_identity(files), scan.metadata, scan.technique, scan.format, scan.shape)


def _make(job: Job, scan: Scan | PtychoScan, options: Options, watcher: Watcher) -> Result | None:
    """Reconstruct into ``RESULT.partial`` and give it its final name; None where another process just did."""
    start = time.perf_counter()
    if not job.path.parent.is_dir():
        raise InputError(f"There is no folder {job.path.parent}.", "Make it, or choose another -o.")
    partial = Partial(job.path, job.run)
    keep = partial.begun
    try:
        if job.is_there(options.overwrite):
            partial.discard()
            return None
        backend = get_backend(options.backend, options.threads)
        work = _work(scan, job.recipe, backend, int(options.memory or default_budget()))
        plan, saved = work.plan(), partial.checkpoint()
        if saved is not None and not (_goes_on(saved, options) and backend.resume(saved["backend"], saved["state"])):
            watcher.say("What an earlier attempt left can't be gone on with here: starting anew.")
            saved = None
        if saved is None:
            partial.clear()
            _check_room(job.path, work.room)
        keep = False
        outcome = work.run(partial, plan, saved, watcher)
        seconds: dict[str, float] = {name: round(value, 3) for name, value in work.seconds.items()}
        seconds["total"] = round(time.perf_counter() - start, 3)
        work.describe(partial.data, outcome, job.process(), seconds)
        partial.finish()
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
    return _result(job, work, outcome, seconds)


def _goes_on(saved: Mapping[str, Any], options: Options) -> bool:
    """Say whether the plan of an earlier attempt keeps the budget that is asked for now."""
    return options.memory is None or int(saved["plan"]["bytes"]) <= options.memory


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise InputError(
            f"The result needs {size / 1e9:.2f} GB, and {path.parent} has {free / 1e9:.2f} GB free.",
            "Make room, choose another -o, or store integers: -s store.dtype=uint16.",
        )


def _work(scan: Scan | PtychoScan, recipe: Recipe, backend: Backend, memory: int) -> Work:
    """Give what does a run of the scan's technique."""
    if recipe.technique != scan.technique:
        raise InputError(
            f"{scan.name} is a scan of {scan.technique}, and the recipe '{recipe.name}' is for {recipe.technique}.",
            "Leave out -r for the default, or see 'hpcdaas inspect FILE --recipe'.",
        )
    if isinstance(scan, Scan):
        from hpcdaas.pipeline.tomography import Tomography

        return Tomography(scan, recipe, backend, memory)
    from hpcdaas.pipeline.ptychography import Ptychography

    return Ptychography(scan, recipe, backend, memory)


def _result(job: Job, work: Work, outcome: Any, seconds: dict[str, float]) -> Result:
    return Result(
        path=job.path,
        run=job.run,
        raw=job.raw,
        recipe=job.recipe.resolved(),
        shape=work.shape,
        started=job.started,
        ended=datetime.now(UTC),
        seconds=seconds,
        peak_memory_bytes=peak(),
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


def _registered(result: Result, options: Options) -> Result:
    """Write the record beside the result and hand it to the catalogue, unless a poster outside the job does that."""
    if not options.register_result:
        return result
    start = time.perf_counter()
    record = _record(result)
    pid = None if _in_job() else open_catalog(options.catalog).register(record)
    seconds = {**result.seconds, "register": round(time.perf_counter() - start, 3)}
    return replace(result, pid=pid, seconds=seconds, peak_memory_bytes=max(result.peak_memory_bytes, peak()))


def _in_job() -> bool:
    """Say whether this is a batch job: its record waits for a poster outside, and no catalogue is opened."""
    return bool(os.environ.get("SLURM_JOB_ID"))


def _record(result: Result) -> Record:
    """Give the record beside a result; make it where there is none, or that of a run whose result was replaced."""
    from hpcdaas.view.thumbnail import thumbnail  # the picture library: only where a picture is made

    path = record_path(result.path)
    if result.existed and path.exists():
        record = read_record(path)
        if record.run == result.run:
            return record
    record = make_record(result, thumbnail=thumbnail(result.path))
    write_record(record, path)
    return record
