"""Pools on this machine; those of a SLURM cluster are in slurm/test_pools.py."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdaas.cluster.pool.future import Future
from hpcdaas.cluster.pools import Pool, Pools
from hpcdaas.cluster.site import PoolTable, Site
from hpcdaas.errors import InputError
from pool_orders import endless, small, until


def table(name: str, most: int = 1) -> PoolTable:
    return PoolTable(name=name, partition="local", cores=1, memory=2_000_000_000, most=most)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> Iterator[Pools]:
    site = Site(pool=(table("cpu"), table("gpu"), table("wide").model_copy(update={"ranks": 2})))
    with Pools(site, tmp_path_factory.mktemp("the state"), said.append) as found:
        yield found


def ended(future: Future) -> str:
    """Wait for an order; say what came of it."""
    outcome = future.outcome(60)
    return outcome.fault.code if outcome.fault else "done"


def running(future: Future) -> bool:
    return future.state == "running" and future.progress[0] > 0


def workers(folder: Path) -> list[int]:
    """Give the processes of workers that were started with keys in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "hpcdaas.cluster.pool.worker" in words and any(word.startswith(str(folder)) for word in words):
            found.append(int(place.name))
    return found


def test_an_order_is_done(pools: Pools, tmp_path: Path, said: list[str]) -> None:
    events: list[str] = []
    future = pools["cpu"].submit(small(tmp_path, key="5"))
    future.when_running(lambda f: events.append(f.state))
    future.when_done(lambda f: events.append(f.outcome().order.key))
    assert ended(future) == "done"
    assert future.outcome().result.path.is_file()
    assert future.outcome().seconds > 0
    until("both were told", lambda: events == ["running", "5"])
    assert sum("no cluster" in line for line in said) == 1


def test_what_is_wrong_fails_once(pools: Pools, tmp_path: Path) -> None:
    future = pools["cpu"].submit(small(tmp_path, recipe={"name": "x", "step": [{"use": "nothing"}]}))
    assert ended(future) == "input"
    assert future.tries == 1


def test_one_pool_never_waits_for_another(pools: Pools, tmp_path: Path) -> None:
    busy = pools["gpu"].submit(endless(tmp_path))
    until("it runs", lambda: running(busy))
    assert ended(pools["cpu"].submit(small(tmp_path))) == "done"
    busy.cancel()
    assert ended(busy) == "cancelled"


def test_what_is_urgent_goes_first_and_what_waits_can_be_cancelled(pools: Pools, tmp_path: Path) -> None:
    pool, order = pools["cpu"], []
    busy = pool.submit(endless(tmp_path))
    until("it runs", lambda: running(busy))
    futures = [pool.submit(small(tmp_path, f"r{i}", key=str(i)), priority=i % 3) for i in range(6)]
    for future in futures:
        future.when_running(lambda f: order.append(int(f.order.key)))
    until("they wait", lambda: pool.waiting == 6)
    assert pool.running == 1
    futures[2].cancel()
    assert ended(futures[2]) == "cancelled"
    busy.cancel()
    for future in futures:
        ended(future)
    assert order == [5, 1, 4, 0, 3]
    assert not (tmp_path / "r2.h5").exists()


def test_more_than_a_worker_has_is_refused(pools: Pools, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"small.nxs needs .* 3.0 GB"):
        pools["cpu"].submit(small(tmp_path, memory=3_000_000_000))


@pytest.mark.parametrize(("name", "words"), [("gup", "no pool 'gup'"), ("wide", "many ranks, and there is no cluster")])
def test_pools_that_there_are_not(pools: Pools, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pools[name]
    assert pools.names == ["cpu", "gpu"]


def test_keys_are_ours_alone_and_no_process_shows_them(pools: Pools, tmp_path: Path) -> None:
    ended(pools["cpu"].submit(small(tmp_path)))
    key = next(pools.folder.glob("key*"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(pools.folder.stat().st_mode) == 0o700
    assert "PRIVATE" in key.read_text()
    secret = key.read_text().splitlines()[1]
    for pid in workers(pools.folder):
        for name in ("cmdline", "environ"):
            assert secret.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()


@pytest.fixture
def others() -> list[int]:
    """Give the ports at which this process listens already, for other tests."""
    return listening(os.getpid())


def test_who_has_no_key_is_not_let_in(others: list[int], pools: Pools, tmp_path: Path) -> None:
    ended(pools["cpu"].submit(small(tmp_path)))
    found = {port for pid in (os.getpid(), *workers(pools.folder)) for port in listening(pid)}
    doors = found - set(others)
    assert len(doors) >= 2  # a scheduler and a worker
    for port in doors:
        assert not let_in(port, None)
        assert let_in(port, pools.folder)


def listening(pid: int) -> list[int]:
    """Give the ports on which a process listens."""
    sockets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}  # noqa: PTH115
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
            found.append(int(words[1].split(":")[1], 16))
    return found


def let_in(port: int, keys: Path | None) -> bool:
    """Say whether a process that has the keys, or none, hears anything at a port."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if keys:
        context.load_cert_chain(keys / "certificate.pem", keys / "key.pem")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain) as door:
                return bool(door.recv(1))  # Dask says at once how it talks
        except OSError:
            return False


def test_a_worker_that_is_killed_is_replaced_and_its_order_goes_on(
    pools: Pools, tmp_path: Path, said: list[str]
) -> None:
    future = pools["gpu"].submit(endless(tmp_path))
    until("it runs", lambda: running(future))
    os.kill(int(_job(pools["gpu"])), signal.SIGKILL)
    until("another one takes it", lambda: future.tries == 2 and running(future))
    assert any("tried again" in line and "killed" in line for line in said)
    future.cancel()
    assert ended(future) == "cancelled"


def test_an_order_whose_workers_always_die_ends(tmp_path: Path) -> None:
    site = Site.model_validate({"limits": {"tries": 2}, "pool": [table("cpu").model_dump()]})
    with Pools(site, tmp_path / "state") as pools:
        future = pools["cpu"].submit(endless(tmp_path))
        for number in (1, 2):
            until("it runs", lambda number=number: future.tries == number and running(future))
            os.kill(int(_job(pools["cpu"])), signal.SIGKILL)
        assert ended(future) == "lost"
        assert "died 2 times" in future.outcome().fault.message
        assert ended(pools["cpu"].submit(small(tmp_path))) == "done"


def _job(pool: Pool) -> str:
    return next(iter(pool._crew._hiring.jobs.values())).job_id


def test_closing_stops_what_runs_with_a_checkpoint(tmp_path: Path) -> None:
    pools = Pools(Site(pool=(table("cpu"),)), tmp_path / "state")
    busy, waiting = (pools["cpu"].submit(endless(tmp_path, name)) for name in ("busy", "waiting"))
    until("it runs", lambda: running(busy))
    folder = pools.folder
    pools.close()
    assert ended(busy) == ended(waiting) == "interrupted"
    assert (tmp_path / "busy.h5.partial" / "checkpoint.json").exists() or any((tmp_path / "busy.h5.partial").iterdir())
    assert not workers(folder)
    assert not folder.exists()
    with pytest.raises(InputError, match="closed"):
        pools["cpu"]


def test_a_worker_that_never_comes_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    site = Site.model_validate({"job": {"variables": {"PYTHONHOME": "/nowhere"}}, "pool": [table("cpu").model_dump()]})
    with Pools(site, tmp_path / "state", said.append) as pools:
        future = pools["cpu"].submit(small(tmp_path))
        trouble = until("it is said", lambda: pools["cpu"].trouble)
        assert "ended with code 1" in trouble
        assert "Python" in trouble  # the last of what it has said
        assert future.state == "queued"
    assert ended(future) == "interrupted"


SCRIPT = """
import sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from pool_orders import endless, until
from hpcdaas.cluster.pools import Pools
from hpcdaas.cluster.site import PoolTable, Site
if __name__ == "__main__":
    folder = Path({folder!r})
    pools = Pools(Site(pool=(PoolTable(name="cpu", partition="x", cores=1, memory=2_000_000_000),)), folder / "state")
    future = pools["cpu"].submit(endless(folder))
    until("it runs", lambda: future.progress[0] > 0)
    print(pools.folder, flush=True)
    {end}
"""


@pytest.mark.parametrize("end", ["threading.Event().wait()", "sys.exit()"])
def test_workers_end_with_the_process_whose_they_are(tmp_path: Path, end: str) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path), end=end)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        if end != "sys.exit()":
            assert workers(folder)
            process.kill()
    until("they end", lambda: not workers(folder), 60)
    with Pools(Site(), tmp_path / "state"):
        assert not folder.exists()


def test_pools_of_a_living_process_are_left_alone(pools: Pools) -> None:
    state = pools.folder.parents[1]
    with Pools(Site(), state) as others:
        assert pools.folder.exists()
        assert others.folder.parent == pools.folder.parent


def test_many_threads_may_submit(pools: Pools, tmp_path: Path) -> None:
    small(tmp_path)
    futures: list[Future] = []
    threads = [
        threading.Thread(target=lambda i=i: futures.append(pools["cpu"].submit(small(tmp_path, f"t{i}"))))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ended(future) for future in futures] == ["done"] * 8


def test_without_dask_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hpcdaas.cluster.pool.jobqueue", raising=False)
    for name in ("dask_jobqueue", "dask_jobqueue.slurm"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match="dask_jobqueue") as caught:
        Pools(Site(), tmp_path)
    assert "hpcdaas[slurm]" in caught.value.hint


def test_ctrl_c_stays_what_it_was_whatever_is_imported_first() -> None:
    code = (
        "import signal; import hpcdaas.cluster.pool.crew; "
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


IMPORTS = """
import signal, threading
from pathlib import Path
from hpcdaas.cluster.pools import Pools
from hpcdaas.cluster.site import Site
from hpcdaas.errors import HpcdaasError
said = []
def make():
    try:
        Pools(Site(), Path({folder!r}))
    except HpcdaasError as error:
        said.append(str(error))
thread = threading.Thread(target=make)
thread.start()
thread.join()
assert "main thread" in said[0], said
with Pools(Site(), Path({folder!r})):
    pass
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_interrupts_stay_what_they_were(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", IMPORTS.format(folder=str(tmp_path))], check=True)


def test_a_worker_refuses_what_takes_longer_than_it_has(tmp_path: Path) -> None:
    with Pools(Site(pool=(table("cpu"),)), tmp_path / "state") as pools:
        ended(pools["cpu"].submit(small(tmp_path, "first")))
        (member,) = pools["cpu"]._crew.members.values()
        member.ends = time.monotonic() + 1000  # as if it were in a job
        futures = [pools["cpu"].submit(small(tmp_path, f"{s:.0f}", seconds=s)) for s in (1.0, 2000.0)]
        assert [ended(future) for future in futures] == ["done", "done"]
        assert [future.place == member.place for future in futures] == [True, False]


def test_there_are_as_many_workers_as_there_is_work_for(tmp_path: Path) -> None:
    small(tmp_path)
    site = Site(pool=(table("cpu", most=2), table("kept").model_copy(update={"least": 1})))
    with Pools(site, tmp_path / "state", idle=1.0) as pools:
        pool, kept = pools["cpu"], pools["kept"]
        assert len(pool.jobs) == 0
        busy = [pool.submit(endless(tmp_path, f"b{i}")) for i in range(3)]
        until("two run", lambda: pool.running == 2)
        assert pool.waiting == 1
        assert len(pool.jobs) == 2  # no more than `most`, whatever waits
        for future in busy:
            future.cancel()
            assert ended(future) == "cancelled"
        until("none is left", lambda: not pool.jobs, 60)
        until("one is kept", lambda: kept._crew.members, 60)
        time.sleep(3)  # longer than an idle one stays elsewhere
        assert len(kept.jobs) == 1
        assert ended(pool.submit(small(tmp_path))) == "done"  # and they come again
