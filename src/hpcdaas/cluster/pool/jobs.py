"""The jobs in which a pool's workers are: batch jobs through dask-jobqueue, or processes where there is no cluster."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Scheduler
from distributed.deploy.spec import ProcessInterface, SpecCluster

from hpcdaas.cluster.pool.jobqueue import SLURMCluster, SLURMJob
from hpcdaas.cluster.pool.session import Session, security
from hpcdaas.cluster.site import PoolTable, Site
from hpcdaas.cluster.site.preamble import environment, interpreter, lines
from hpcdaas.cluster.slurm import Slurm, SlurmAway, SlurmRefused, log_pattern

#: Seconds that a local worker has to end.
GRACE = 30.0
WORKER = "hpcdaas.cluster.pool.worker"


@dataclass(frozen=True)
class Asked:
    """What the jobs of a pool are made of."""

    site: Site
    table: PoolTable
    session: Session
    slurm: Slurm | None
    exclude: tuple[str, ...] = ()

    @property
    def output(self) -> Path:
        """Folder for what the jobs say."""
        return self.session.output(self.table.name)

    def threads(self) -> dict[str, str]:
        """Keep libraries of others to the cores of a worker."""
        return {"OMP_NUM_THREADS": str(self.table.cores)}

    def worker(self, scheduler: str, name: str) -> list[str]:
        """Give the arguments of a worker: no secret is among them."""
        return ["-m", WORKER, scheduler, "--name", name, "--keys", str(self.session.folder)]

    def options(self) -> list[str]:
        """Give sbatch's options: what the site says, and nothing of Dask's."""
        table, partition = self.table, self.site.partition_of(self.table)
        found = [
            f"--partition={partition.name}", "--nodes=1", "--ntasks=1", f"--cpus-per-task={table.cores}",
            f"--mem={math.ceil(table.memory / 2**20)}M", f"--time={math.ceil(table.time / 60)}", "--no-requeue",
        ]  # fmt: skip
        found += [f"--gres=gpu:{table.gpus}"] if table.gpus else []
        avoided = dict.fromkeys([*self.site.exclude, *self.exclude])
        found += [f"--exclude={','.join(avoided)}"] if avoided else []
        return found + [f"--{name}={value}" for name, value in {**partition.options(), **table.options()}.items()]


class BatchJob(SLURMJob):  # type: ignore[misc]
    """A batch job with one worker.

    A job that SLURM refuses doesn't break the cluster of jobs: it says so in `refusal`.
    """

    def __init__(self, scheduler: str | None = None, name: str | None = None, *, asked: Asked, **options: Any) -> None:
        super().__init__(scheduler, name, cores=1, memory="1GB", **options)  # our own options count
        self.asked, self.refusal, self.words = asked, "", ""
        self.away = False
        self.job_header = ""
        self._job_script_prologue = [
            *lines(asked.site), *(f"export {key}={value}" for key, value in asked.threads().items())
        ]  # fmt: skip
        command = [*interpreter(asked.site), *asked.worker(str(scheduler), str(name))]
        self._command_template = f"exec {shlex.join(command)}"  # signals are for the worker

    async def start(self) -> None:
        """Submit it."""
        slurm, output = self.asked.slurm, self.asked.output
        assert slurm is not None
        name = self.asked.session.job_name(self.asked.table.name)
        try:
            self.job_id = await asyncio.to_thread(slurm.submit, self.job_script(), self.asked.options(), name, output)
        except SlurmRefused as refused:
            self.refusal = str(refused.message)
        except SlurmAway as away:
            self.refusal, self.away = str(away.message), True
        await ProcessInterface.start(self)

    async def close(self) -> None:
        """Cancel it."""
        with suppress(SlurmAway, SlurmRefused):  # workers without a scheduler end by themselves
            await asyncio.to_thread(self.abandon)
        await ProcessInterface.close(self)

    def abandon(self) -> None:
        """Cancel it at once."""
        if self.job_id and self.asked.slurm is not None:
            self.asked.slurm.cancel([self.job_id])

    @property
    def output(self) -> Path:
        """What it has said."""
        return Path(log_pattern(self.asked.output).replace("%j", str(self.job_id)).replace("%%", "%"))


class LocalJob(ProcessInterface):  # type: ignore[misc]
    """A worker as a process of this machine."""

    def __init__(self, scheduler: str | None = None, name: str | None = None, *, asked: Asked) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self.asked, self.refusal, self.away, self.words = asked, "", False, ""
        self._scheduler, self._name = str(scheduler), str(name)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def job_id(self) -> str:
        """The process's number."""
        return str(self.process.pid) if self.process else ""

    @property
    def output(self) -> Path:
        """What it has said."""
        return self.asked.output / f"{self._name}.txt"

    async def start(self) -> None:
        """Start it."""
        command = [sys.executable, *self.asked.worker(self._scheduler, self._name)]
        variables = {**os.environ, **environment(self.asked.site), **self.asked.threads()}
        for name in [name for name in variables if name.startswith("SLURM_")]:
            del variables[name]  # a notebook inside a job: its workers are its own, and no ranks of it
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=variables, start_new_session=True
            )
        await super().start()

    async def close(self) -> None:
        """End it."""
        if self.process is not None:
            self.abandon()
            try:
                await asyncio.to_thread(self.process.wait, GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                await asyncio.to_thread(self.process.wait)
        await super().close()

    def abandon(self) -> None:
        """Have it end."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.terminate()


class PoolScheduler(Scheduler):  # type: ignore[misc]
    """A Dask scheduler without an unencrypted door."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none: it would be open to all."""


class _Numbered(SpecCluster):  # type: ignore[misc]
    """Gives no name twice: what is still heard of a worker that is gone is never taken for its successor's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._numbers = itertools.count()
        super().__init__(*arguments, **options)

    def _new_worker_name(self, _: int) -> str:
        return f"{self._name}-{next(self._numbers)}"


class LocalCluster(_Numbered):
    """Workers on this machine."""


class BatchCluster(_Numbered, SLURMCluster):  # type: ignore[misc]
    """Workers in batch jobs."""


def make_cluster(asked: Asked, host: Mapping[str, str]) -> SpecCluster:
    """Make the cluster of a pool's jobs, without any yet, for a running event loop.

    Parameters
    ----------
    asked : Asked
    host : mapping
        ``host`` or ``interface`` on which the scheduler is reached.
    """
    keys = security(asked.session.folder)
    options = {
        "protocol": "tls://", "security": keys, "allowed_failures": 0, "dashboard": False, "port": 0, **host
    }  # fmt: skip
    scheduler = {"cls": PoolScheduler, "options": options}
    if asked.slurm is None:
        return LocalCluster(
            scheduler=scheduler, worker={"cls": LocalJob, "options": {"asked": asked}}, security=keys,
            asynchronous=True, name=asked.table.name, silence_logs="error",
        )  # fmt: skip
    return BatchCluster(
        job_cls=BatchJob, scheduler_cls=PoolScheduler, scheduler_options=options, security=keys, asynchronous=True,
        name=asked.table.name, shared_temp_directory=str(asked.session.folder), asked=asked,
    )  # fmt: skip


def avoid(cluster: SpecCluster, asked: Asked) -> None:
    """Have the next jobs made as `asked` says."""
    new = dict(cluster.new_spec)
    cluster.new_spec = new | {"options": {**new["options"], "asked": asked}}


def tail(path: Path, count: int = 3) -> str:
    """Give the last lines that a job has said, in one."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            kept = file.read().decode("utf-8", "replace").strip().splitlines()[-count:]
    except OSError:
        return ""
    return " / ".join(line.strip() for line in kept)
