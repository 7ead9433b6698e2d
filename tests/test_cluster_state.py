"""The state folder: who looks after it, and when a process that died counts as such."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hpcdaas.cluster.state import StateFolder
from hpcdaas.errors import Busy
from hpcdaas.lease import EXPIRED


def test_the_number_of_a_process_that_died_is_another_one_s_now(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    lease = tmp_path / "lease"
    lease.write_text(f'{{"host": "{os.uname().nodename}", "pid": {os.getpid()}, "token": "x"}}')
    assert state.holder() is not None
    old = time.time() - EXPIRED - 5
    os.utime(lease, (old, old))
    assert state.holder() is None


def test_a_node_that_died_is_not_waited_for_longer_than_its_lease(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    lease = tmp_path / "lease"
    lease.write_text('{"host": "elsewhere", "pid": 7, "token": "x"}')
    assert state.holder() is not None
    with pytest.raises(Busy, match="process 7 on elsewhere"):
        state.take()
    old = time.time() - EXPIRED - 5
    os.utime(lease, (old, old))
    assert state.holder() is None
    taken = state.take()
    state.check()
    taken.release()
