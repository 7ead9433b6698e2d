from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from hpcdaas.catalog.record import read_record, record_path
from hpcdaas.cluster.pool import task
from hpcdaas.cluster.pool.task import Fault, Outcome, carry_out
from hpcdaas.errors import HpcdaasError, InputError, Interrupted
from hpcdaas.pipeline import Watcher
from pool_orders import endless, small


@pytest.fixture(autouse=True)
def no_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the account's own catalogue would be."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path / "data"


def test_the_outcome_has_the_result_and_a_record_waits(tmp_path: Path, no_catalogue: Path) -> None:
    order = small(tmp_path, log=tmp_path / "logs" / "run.txt", key="17")
    done = pickle.loads(pickle.dumps(carry_out(order)))
    assert isinstance(done, Outcome)
    assert done.order == order
    assert done.fault is None
    assert done.result is not None
    assert done.result.path == order.out
    assert done.result.shape == (4, 32, 32)
    assert done.result.metrics["center"]["value"] == pytest.approx(22.8)
    assert read_record(record_path(order.out)).run == done.result.run
    assert done.result.pid is None
    assert not no_catalogue.exists()
    assert done.started < done.ended
    assert done.seconds >= done.result.seconds["total"]
    assert "Done in" in (tmp_path / "logs" / "run.txt").read_text()


def test_no_record_where_none_is_asked_for(tmp_path: Path) -> None:
    order = small(tmp_path, register=False)
    assert carry_out(order).result
    assert not record_path(order.out).exists()


def test_what_is_wrong_comes_back_as_data(tmp_path: Path) -> None:
    order = small(tmp_path, log=tmp_path / "log")
    gone = pickle.loads(pickle.dumps(carry_out(replace(order, scan=tmp_path / "gone.nxs"))))
    assert gone.result is None
    assert gone.fault.code == "input"
    assert "gone.nxs" in gone.fault.message
    assert "gone.nxs" in (tmp_path / "log").read_text()
    assert isinstance(gone.fault.error(), InputError)
    wrong = carry_out(replace(order, recipe={"name": "x", "step": [{"use": "fpb"}]}))
    assert wrong.fault is not None
    assert "fbp" in wrong.fault.hint
    other = carry_out(replace(order, expected="0" * 64))
    assert other.fault is not None
    assert other.fault.code == "rewritten"
    assert not order.out.exists()


def test_a_run_that_is_stopped_goes_on(tmp_path: Path) -> None:
    order = endless(tmp_path, iterations=6)
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Interrupted("Enough.")

    first = carry_out(order, Watcher(stop=stop))
    assert first.fault is not None
    assert first.fault.code == "interrupted"
    seen: list[int] = []
    second = carry_out(order, Watcher(progress=lambda done, total: seen.append(done)))
    assert second.result is not None
    assert min(seen) > 3  # of 6 iterations, three were done


def test_a_fault_of_the_program_is_in_the_log_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(task, "reconstruct", wrong)
    done = carry_out(small(tmp_path, log=tmp_path / "log"))
    assert done.fault is not None
    assert done.fault.code == "failed"
    assert "of all things" in done.fault.message
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert carry_out(small(tmp_path, log=tmp_path / "file" / "log")).result


@pytest.mark.parametrize("kind", [InputError, Interrupted, HpcdaasError])
def test_faults_are_errors_again(kind: type[HpcdaasError]) -> None:
    error = Fault(kind.code, "What.", "How.").error()
    assert type(error) is kind
    assert (error.message, error.hint) == ("What.", "How.")
    assert type(Fault("lost", "What.").error()) is HpcdaasError
