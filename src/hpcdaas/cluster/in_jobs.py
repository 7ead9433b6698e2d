"""Runs that are batch jobs of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcdaas.cluster.ending import OF_CODE, Ending, Meaning
from hpcdaas.cluster.entry import Entry
from hpcdaas.cluster.script import Shape, array_script, run_script
from hpcdaas.cluster.owner import Asked
from hpcdaas.cluster.site import Partition, PoolTable, Site
from hpcdaas.cluster.slurm import Job, Slurm
from hpcdaas.cluster.state import StateFolder
from hpcdaas.io.lease import end

#: A job's time beside its estimate, and how much longer than the estimate it may take, seconds and factor.
MORE, FACTOR = 600.0, 3.0
#: Exit codes of the program.
OF_EXIT = {0: Meaning.DONE, 3: Meaning.ON}


class InJobs:
    """Submits runs as jobs and says how they ended.

    Parameters
    ----------
    site : Site
    slurm : Slurm
    state : StateFolder
    """

    def __init__(self, site: Site, slurm: Slurm, state: StateFolder) -> None:
        self._site, self._slurm, self._state = site, slurm, state

    def home(self) -> Asked:
        """Give the table that says where jobs run: a pool for many ranks, else the first pool, else a partition."""
        wide: list[Asked] = [pool for pool in self._site.pool if pool.wide]
        return [*wide, *self._site.pool, *self._site.partition][0]

    def shape(self, entry: Entry, asked: Mapping[str, str]) -> Shape:
        """Say what the job of a run is given: more than before where an earlier one had too little."""
        home = self.home()
        partition = self._site.partition_of(home) if isinstance(home, PoolTable) else home
        assert isinstance(partition, Partition)
        nodes, ranks, cores, memory = 1, 1, partition.cores, partition.memory
        if isinstance(home, PoolTable) and home.wide:
            nodes, ranks, cores, memory = home.nodes, home.ranks, home.cores, home.memory
        seconds = entry.seconds or FACTOR * (entry.work or 0.0) / (nodes * ranks * cores) + MORE
        options = {**partition.options(), **home.options(), **asked}
        return Shape(
            partition.name, nodes, ranks, cores, min(entry.memory or memory, partition.memory), 0,
            min(seconds, partition.time or seconds), tuple(options.items()),
        )  # fmt: skip

    def write(self, entry: Entry, shape: Shape) -> Path:
        """Write the script of a run; give its folder."""
        assert entry.run is not None
        assert entry.result is not None
        folder = self._state.run_folder(entry.run)
        budget = int(0.8 * shape.memory)
        arguments = [
            "-r", "recipe.toml", "-o", entry.result, f"--attempt={entry.attempt}", f"--run={entry.run}",
            f"--memory={budget}", "--json", "--", entry.scan,
        ]  # fmt: skip
        self._state.write(entry.run, "run.sh", run_script(self._site, folder, arguments, shape))
        (folder / "ended").unlink(missing_ok=True)
        return folder

    def submit(self, entries: Sequence[Entry], shape: Shape, name: str) -> list[str]:
        """Submit runs that are alike: one as a job, several as an array; give SLURM's numbers.

        Raises
        ------
        SlurmRefused, SlurmAway
            See `hpcdaas.cluster.slurm`.
        """
        folders = [self.write(entry, shape) for entry in entries]
        options = shape.options(self._site)
        if len(entries) == 1:
            script = (folders[0] / "run.sh").read_text(encoding="utf-8", errors="surrogateescape")
            return [self._slurm.submit(script, [*options, f"--output={folders[0]}/log.txt"], name, folders[0])]
        logs = self._state.path / "arrays"
        logs.mkdir(exist_ok=True)
        job = self._slurm.submit(
            array_script(folders), [*options, f"--output={logs}/%A_%a.txt"], name, logs, array=len(entries),
            at_once=self._site.limits.at_once,
        )  # fmt: skip
        return [f"{job}_{index}" for index in range(len(entries))]

    def ending(self, entry: Entry, job: Job | None) -> Ending | None:
        """Say how a job ended; None while it lives.

        What the job has left on disk counts first: SLURM forgets.
        """
        assert entry.run is not None
        assert entry.result is not None
        if job is not None and job.alive:
            return None
        code = self._state.ended(entry.run)
        meaning, reason = self._of_exit(entry, code) if code is not None else _of_state(job)
        if entry.job and meaning is not Meaning.DONE:
            end(Path(entry.result + ".partial") / "lease", entry.job)
        seconds = job.seconds if job else 0.0
        cores = job.cores if job else 0
        return Ending(
            entry.id, meaning, reason, job.start if job else None, job.end if job else None,
            seconds * cores, seconds * (job.gpus if job else 0), seconds,
        )  # fmt: skip

    def _of_exit(self, entry: Entry, code: int) -> tuple[Meaning, str]:
        if code in OF_EXIT:
            return OF_EXIT[code], ""
        assert entry.run is not None
        folder = self._state.run_folder(entry.run)
        try:
            error = json.loads((folder / "outcome.json").read_bytes())["error"]
            return OF_CODE.get(error["code"], Meaning.FAILED), f"{error['message']} {error['hint']}".strip()
        except (OSError, ValueError, KeyError, TypeError):
            return Meaning.FAILED, f"It ended with code {code}: see {folder / 'log.txt'}."

    def cancel(self, entry: Entry) -> None:
        """Take a job from the queue, or stop it."""
        if entry.job:
            self._slurm.cancel([entry.job])

    def find(self, entry: Entry) -> str | None:
        """Look for the job of an intent: a process that was killed may have submitted it."""
        if not entry.intent:
            return None
        name, _, index = entry.intent.partition(":")
        found = [job.id for job in self._slurm.find(name)]
        if not index:
            return found[0] if found else None
        return next((f"{job.split('_')[0]}_{index}" for job in found), None)


def _of_state(job: Job | None) -> tuple[Meaning, str]:
    """Say what SLURM's words mean for a job that left nothing on disk."""
    if job is None:
        return Meaning.AGAIN, "SLURM no longer knows its job, which left no exit code."
    return job.meaning, f"SLURM says {job.state}{f' ({job.reason})' if job.reason else ''}."
