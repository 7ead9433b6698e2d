"""A worker of a pool: a Dask worker that does one order after the other. A pool's job starts it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distributed import Worker, get_worker
from distributed.utils import get_ip

from hpcdaas.cluster.pool.session import security
from hpcdaas.cluster.pool.task import Order, Outcome, carry_out, node_name
from hpcdaas.errors import Interrupted
from hpcdaas.pipeline import Watcher

#: What a worker says, by Dask's words for it.
TOPIC = "hpcdaas"
#: Seconds between two words about progress.
OFTEN = 0.25
#: Seconds after which a worker that can't reach its scheduler ends; and that a run has to come to a boundary.
DEATH, GRACE = 60.0, 25.0
#: Imported before the first order comes: a small scan takes less time than these.
MODULES = (
    "hpcdaas.pipeline.tomography", "hpcdaas.pipeline.ptychography", "hpcdaas.backend.cpu", "hpcdaas.view.thumbnail",
    "hpcdaas.view.wave", "hdf5plugin", "scipy.optimize", "scipy.signal", "scipy.ndimage",
)  # fmt: skip


class PoolWorker(Worker):
    """A Dask worker that can be told to stop an order, and has no unencrypted door."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stopped: set[int] = set()
        self.ending = threading.Event()
        self.stream_handlers["hpcdaas-stop"] = self._stop

    def _stop(self, number: int) -> None:
        self.stopped.add(number)

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none: it would be open to all."""

    async def close(self, *arguments: Any, **options: Any) -> Any:
        """End, and with it the run that is going on, at its next boundary."""
        self.ending.set()
        return await super().close(*arguments, **{"timeout": GRACE, **options})


def work(order: Order, number: int) -> Outcome:
    """Do an order on a pool's worker, which tells the pool of progress.

    Parameters
    ----------
    order : Order
    number : int
        Tells the order from others of the pool.
    """
    worker = get_worker()
    assert isinstance(worker, PoolWorker)
    told = 0.0

    def stop() -> None:
        if number in worker.stopped or worker.ending.is_set():
            raise Interrupted("Stopped with a checkpoint.")

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > OFTEN or done == total:
            told = now
            worker.log_event(TOPIC, {"number": number, "done": done, "total": total})

    try:
        return carry_out(order, Watcher(progress=progress, stop=stop))
    finally:
        worker.stopped.discard(number)


def about(_: Worker) -> dict[str, Any]:
    """Say where a worker is."""
    return {"node": node_name(), "job": os.environ.get("SLURM_JOB_ID", ""), "pid": os.getpid()}


async def serve(scheduler: str, name: str, keys: Path) -> None:
    """Work until the scheduler, or a signal, says that it is enough."""
    host = scheduler.split("://")[-1].rsplit(":", 1)[0]
    worker = PoolWorker(
        scheduler, name=name, nthreads=1, memory_limit=0, security=security(keys), death_timeout=DEATH,
        host=get_ip(host), local_directory=tempfile.gettempdir(), startup_information={TOPIC: about},
    )  # fmt: skip

    def end() -> None:
        worker.ending.set()
        tasks.append(asyncio.ensure_future(_leave(worker)))

    tasks: list[asyncio.Future[None]] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    await worker
    await worker.finished()


async def _leave(worker: PoolWorker) -> None:
    """Let the run come to its next boundary and say so, then end."""
    for _ in range(int(GRACE / 0.1)):
        if not worker.state.executing_count:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.2)  # what came of it is on its way
    await worker.close(reason="signal")


def main(arguments: Sequence[str] | None = None) -> None:
    """Be a worker until the pool has enough."""
    parser = argparse.ArgumentParser(prog="pool_worker", description=__doc__)
    parser.add_argument("scheduler")
    parser.add_argument("--name", required=True)
    parser.add_argument("--keys", type=Path, required=True)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()  # collecting after each run shall not go through all that was imported
    code = 0
    try:
        asyncio.run(serve(given.scheduler, given.name, given.keys))
    except (TimeoutError, OSError) as error:
        print(f"The pool {given.scheduler} can't be reached: {error}", file=sys.stderr)
        code = 1
    sys.stderr.flush()
    os._exit(code)  # a run that came to no boundary holds a thread, and Python would tear down its modules under it


if __name__ == "__main__":  # what is pickled names the module, whose classes `__main__` would have a second time
    from hpcdaas.cluster.pool import worker as pool_worker

    pool_worker.main()
