"""From queued runs to jobs: an intent in the ledger, sbatch, and what SLURM says to that."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from hpcdaas.cluster.entry import Entry, State
from hpcdaas.cluster.ledger import Ledger, now
from hpcdaas.cluster.runs.ending import Ending, Meaning
from hpcdaas.cluster.runs.follow import LATER
from hpcdaas.cluster.runs.in_jobs import InJobs
from hpcdaas.cluster.site.script import Shape
from hpcdaas.cluster.slurm import SlurmAway, SlurmRefused
from hpcdaas.cluster.tell import Tell
from hpcdaas.errors import HpcdaasError

#: Runs that are alike, at least, before they go as one job array.
ALIKE = 4
#: Place of a run that is a job of its own.
JOB = "job"


class Launch:
    """Submits runs as jobs.

    Parameters
    ----------
    ledger : Ledger
    jobs : InJobs
    tell : Tell
    end : callable
        Told of runs that can't be submitted.
    """

    def __init__(self, ledger: Ledger, jobs: InJobs, tell: Tell, end: Callable[[Ending], None]) -> None:
        self._ledger, self._jobs, self._tell, self._end = ledger, jobs, tell, end

    def start(self, entries: Sequence[Entry], shape: Shape) -> bool:
        """Submit runs that are alike, as an array where they are many; False where SLURM is away."""
        try:
            longest = self._jobs.longest_array if len(entries) >= ALIKE else 1
        except SlurmAway as away:
            self._tell("slurm away", reason=away.message)
            return False
        for first in range(0, len(entries), longest):
            try:
                self._submit(entries[first : first + longest], shape)
            except SlurmAway as away:
                # it may have been accepted all the same: that is looked for before it is submitted again
                self._tell("slurm away", reason=away.message)
                self._unsure(entries[first : first + longest])
                return False
            except SlurmRefused as refused:
                self._refused(entries[first : first + longest], refused)
                if refused.transient:  # others may ask for something else
                    return True
            except HpcdaasError as error:
                self._fail(entries[first : first + longest], error)
        return True

    def _submit(self, batch: Sequence[Entry], shape: Shape) -> None:
        """Submit; an intent is in the ledger before that, so that a crash in between loses and doubles nothing."""
        # no two submissions have one name: SLURM remembers the jobs of earlier ones for days
        which = (batch[0].run or "")[:16] if len(batch) == 1 else "array"
        name = f"hpcdaas-{which}-{uuid.uuid4().hex[:8]}"
        has = {"cores": shape.nodes * shape.ranks * shape.cores, "gpus": shape.nodes * shape.gpus}
        with self._ledger.changing():
            for index, entry in enumerate(batch):
                intent = name if len(batch) == 1 else f"{name}:{index}"
                self._ledger.change(
                    entry.id, "to be submitted", place=JOB, intent=intent, job=None, tries=entry.tries + 1, reason=None,
                    **has,
                )  # fmt: skip
        numbers = self._jobs.submit(batch, shape, name)
        with self._ledger.changing():
            for entry, job in zip(batch, numbers, strict=True):
                self._ledger.change(entry.id, f"submitted as job {job}", job=job)
                self._tell("submitted", entry, job=job)

    def _unsure(self, batch: Sequence[Entry]) -> None:
        with self._ledger.changing():
            for entry in batch:
                self._ledger.change(entry.id, "SLURM did not answer", not_before=now(LATER))

    def _refused(self, batch: Sequence[Entry], refused: SlurmRefused) -> None:
        if not refused.transient:
            self._fail(batch, refused)
            return
        with self._ledger.changing():
            for entry in batch:
                self._ledger.change(
                    entry.id, refused.message, place=None, intent=None, tries=entry.tries, not_before=now(LATER),
                    reason=refused.message,
                )  # fmt: skip

    def _fail(self, batch: Sequence[Entry], error: HpcdaasError) -> None:
        for entry in batch:
            self._end(Ending(entry.id, Meaning.FAILED, str(error).replace("\n", " ")))

    def look_for(self, entries: Sequence[Entry]) -> list[Entry]:
        """Find the jobs of intents; give those that were never submitted. Where SLURM is away, that is asked later."""
        due = [entry for entry in entries if not entry.job and (entry.not_before or "") <= now()]
        try:
            found = self._jobs.find(due)
        except SlurmAway as away:
            self._tell("slurm away", reason=away.message)
            self._unsure(due)
            return []
        with self._ledger.changing():
            for entry in due:
                if entry.id in found:
                    self._ledger.change(entry.id, f"found its job {found[entry.id]}", job=found[entry.id])
        return [entry for entry in due if entry.id not in found]

    def cancel(self, entries: Sequence[Entry]) -> None:
        """Stop the jobs of cancelled runs; where SLURM is away, later."""
        due = [entry for entry in entries if (entry.not_before or "") <= now()]
        values: dict[str, str | None] = {"place": None, "not_before": None}
        try:
            self._jobs.cancel(due)
        except SlurmAway as away:
            self._tell("slurm away", reason=away.message)
            values = {"not_before": now(LATER)}
        with self._ledger.changing():
            for entry in due:
                if self._ledger.entry(entry.id).state is State.CANCELLED:  # and not retried meanwhile
                    self._ledger.change(entry.id, "", **values)
