"""Nothing lost, nothing done twice, nothing registered twice: whatever is killed, full or away meanwhile."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import Facility, during
from private_slurm import Cluster

from desk import Desk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder whose results have a small disk of their own."""
    place = tmp_path / "out"
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(params=[60.0, 0.0], ids=["pools", "jobs"])
def facility(request: pytest.FixtureRequest, small_disk: Path, tmp_path: Path, slurm: Cluster) -> Iterator[Facility]:
    made = Facility(Desk(tmp_path, slurm), request.param)
    yield made
    made.close()


def test_watched_killed_and_away(facility: Facility) -> None:
    facility.start()
    facility.drop(4)
    facility.await_registered(1, 120)
    facility.kill_watcher()
    facility.catalogue.kill()
    facility.drop(4, first=4)
    time.sleep(2)
    facility.kill_watcher()
    facility.catalogue.start()
    facility.await_registered(8, 240)
    facility.check(8)


@pytest.mark.long
def test_campaign(facility: Facility) -> None:
    count = 300
    facility.start()
    drop = threading.Thread(target=facility.drop, args=(count,), kwargs={"pause": 0.5})
    drop.start()
    facility.await_registered(1, 120)
    for number in range(20):
        time.sleep(float(facility.random.uniform(0.2, 8.0)))
        facility.kill_watcher()
        match number:
            case 2 | 9:
                while not facility.kill_worker():
                    time.sleep(0.05)
            case 4:
                during(3.0, lambda: facility.slurm.kill_slurmd("node1"), lambda: facility.slurm.start_slurmd("node1"))
            case 6:
                facility.slurm.restart_slurmctld()
            case 11:
                during(60.0, facility.catalogue.kill, facility.catalogue.start)
            case 14:
                during(20.0, facility.fill_disk, facility.free_disk)
    drop.join()
    facility.await_registered(count, 1800)
    assert facility.killed == {"watcher": 20, "worker": 2}
    facility.check(count)
