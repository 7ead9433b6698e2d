"""Tries a site file with small real jobs: what they have, whether files are shared, whether ranks on two nodes meet."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hpcdaas.cluster.site import Partition, Site
from hpcdaas.cluster.site.finding import Finding, wrong
from hpcdaas.cluster.site.node import ANSWER, ASKED, ERROR, HELLO, REPORT, put
from hpcdaas.cluster.site.preamble import interpreter, lines
from hpcdaas.cluster.site.script import Shape, started
from hpcdaas.cluster.site.verdict import of_look, of_meeting
from hpcdaas.cluster.slurm import JobState, Slurm, SlurmAway, SlurmRefused
from hpcdaas.cluster.slurm.poll import Poll
from hpcdaas.errors import HpcdaasError

#: What a job of the trial has at most: cores, memory in bytes, time in s.
CORES, MEMORY, SECONDS = 2, 2**30, 300.0
#: Seconds that a node and the submitter wait for each other's files: caches of a shared file system may be so old.
PATIENCE = 60.0
#: What to do about a job that hasn't started.
LATER = "Give a longer --timeout, or try again when there is room."
#: Seconds between two looks for files.
LOOK = 0.05
#: Seconds that cancelled jobs have to end, before their folder goes.
GRACE = 10.0
#: Lines of a job's log that are shown.
SHOWN = 3


@dataclass
class Trial:
    """A job of the trial.

    Attributes
    ----------
    kind : str
        ``look``: one task on one node; ``meet``: ranks on two nodes.
    partition : Partition
    shape : Shape
    folder : Path
        Its own, made by the submitter.
    job : str
        SLURM's number; empty before it has one.
    ended : float
        When its end was seen, by the monotonic clock; 0 before.
    """

    kind: Literal["look", "meet"]
    partition: Partition
    shape: Shape
    folder: Path
    job: str = ""
    ended: float = field(default=0.0)

    @property
    def name(self) -> str:
        """What its findings are called where there is nothing better."""
        return f"{self.partition.name} {'MPI' if self.kind == 'meet' else 'job'}"


def findings(site: Site, state: Path, timeout: float) -> Iterator[Finding]:
    """Submit small jobs to each partition, and say what they find; all are gone at the end, however it comes.

    Parameters
    ----------
    site : Site
    state : Path
        State folder: the jobs work in a folder of it, as runs do.
    timeout : float
        Longest time to wait for jobs, s.

    Yields
    ------
    Finding

    Raises
    ------
    HpcdaasError
        If SLURM's commands aren't there, or the folder can't be made.
    """
    slurm = Slurm()
    name = f"hpcdaas-doctor-{uuid.uuid4().hex[:8]}"
    folder = state.absolute() / name
    try:
        folder.mkdir(parents=True, mode=0o770)
    except OSError as error:
        raise HpcdaasError(f"{folder} can't be made: {error.strerror}.", "Give --state.") from error
    trials = _plan(site, folder)
    try:
        for trial in trials:
            yield from _submit(site, slurm, trial, name)
        yield from _follow(slurm, [trial for trial in trials if trial.job], timeout)
    finally:
        _cancel(slurm, trials, name)
        shutil.rmtree(folder, ignore_errors=True)


def _plan(site: Site, folder: Path) -> list[Trial]:
    found = []
    for number, p in enumerate(site.partition):
        kinds: list[tuple[Literal["look", "meet"], int, int, int]] = [("look", 1, min(CORES, p.cores), min(1, p.gpus))]
        kinds += [("meet", 2, 1, 0)] if p.nodes > 1 else []
        for kind, nodes, cores, gpus in kinds:
            memory, seconds = min(MEMORY, int(p.memory)), min(SECONDS, p.time or SECONDS)
            shape = Shape(p.name, nodes, 1, cores, memory, gpus, seconds, tuple(p.options().items()))
            found.append(Trial(kind, p, shape, folder / f"{number}-{kind}"))
    return found


def _submit(site: Site, slurm: Slurm, trial: Trial, name: str) -> Iterator[Finding]:
    trial.folder.mkdir(mode=0o770)
    asked = {"gpus": trial.shape.gpus, "roots": list(map(str, site.roots)), "patience": PATIENCE}
    put(trial.folder / ASKED, json.dumps(asked))
    try:
        trial.job = slurm.submit(_script(site, trial), trial.shape.options(site), name, trial.folder)
    except SlurmRefused as refused:
        yield wrong(trial.name, refused.message, "Correct its table [[partition]]; 'hpcdaas site check' says more.")


def _script(site: Site, trial: Trial) -> str:
    """Write the job's script: as that of a run, but for the program."""
    command = shlex.join([*interpreter(site), "-m", "hpcdaas.cluster.site.node", trial.kind])
    return "\n".join([
        "#!/bin/bash", f"cd -- {shlex.quote(str(trial.folder))} || exit 1", "exec >>log.txt 2>&1",
        *lines(site), *started(site, trial.shape, command), 'exit "$code"', "",
    ])  # fmt: skip


def _follow(slurm: Slurm, trials: Sequence[Trial], timeout: float) -> Iterator[Finding]:
    """Answer the jobs' files, and say what each has found when it has ended, or when the time is over."""
    waiting, end = list(trials), time.monotonic() + timeout
    poll = Poll(slurm, most=5.0)
    poll.add(trial.job for trial in trials)
    while waiting:
        states = poll.poll()
        for trial in list(waiting):
            if HELLO in os.listdir(trial.folder) and not (trial.folder / ANSWER).exists():  # noqa: PTH208
                put(trial.folder / ANSWER, "")
            found = _news(trial, states.get(trial.job))
            if found is not None:
                waiting.remove(trial)
                poll.drop([trial.job])
                yield from found
        if time.monotonic() > end:
            for trial in waiting:
                yield _late(trial, states.get(trial.job), timeout)
            return
        time.sleep(LOOK)


def _news(trial: Trial, state: JobState | None) -> list[Finding] | None:
    """Say what came of a job; None while nobody knows."""
    told = _read(trial.folder / ERROR)
    if told:
        return [wrong(trial.name, f"job {trial.job}: {told}")]
    said = _read(trial.folder / REPORT)
    if said:
        report: dict[str, Any] = json.loads(said)
        p, shape = trial.partition, trial.shape
        return of_look(p.name, shape, report) if trial.kind == "look" else [of_meeting(trial.name, shape, report)]
    if state is None or (state.alive and not state.stuck):
        return None
    if state.stuck:
        return [wrong(trial.name, f"job {trial.job} can't start: {state.reason}", "Correct its table [[partition]].")]
    trial.ended = trial.ended or time.monotonic()
    words = _log(trial)
    # nothing of a job that has ended may mean that its files come late
    if not words and time.monotonic() - trial.ended < PATIENCE:
        return None
    where = f"job {trial.job} on {state.nodes or 'no node'} ended ({state.state})"
    if words:
        return [wrong(trial.name, f"{where}: {words}", "Correct [job] or [mpi] of the site file.")]
    return [
        wrong(
            trial.name,
            f"{where}, and none of its files is seen here: {trial.folder.parent.parent} isn't shared",
            "Give a --state on the shared file system.",
        )
    ]


def _late(trial: Trial, state: JobState | None, timeout: float) -> Finding:
    if state is None or state.state == "PENDING":
        why = state.reason if state else "SLURM doesn't answer"
        return wrong(trial.name, f"not tried: job {trial.job} hasn't started within {timeout:g} s ({why})", LATER)
    return wrong(trial.name, f"job {trial.job} ({state.state}) isn't done after {timeout:g} s: {_log(trial)}")


def _log(trial: Trial) -> str:
    """Give the last words of a job."""
    said = [line.strip() for line in _read(trial.folder / "log.txt").splitlines() if line.strip()]
    return "; ".join(said[-SHOWN:])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cancel(slurm: Slurm, trials: Sequence[Trial], name: str) -> None:
    """Cancel the jobs, also one whose number isn't known: this process was stopped while it was submitted."""
    ids = {trial.job for trial in trials if trial.job}
    with suppress(SlurmAway):
        ids |= {job.id for job in slurm.find(name)}
        slurm.cancel(sorted(ids))
        end = time.monotonic() + GRACE
        while time.monotonic() < end and any(job.alive for job in slurm.jobs(ids).values()):
            time.sleep(0.5)
