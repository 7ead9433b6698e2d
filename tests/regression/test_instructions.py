"""The primitives take as many instructions as the committed counts say; see `counting.py`."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import pytest
from counting import COMMITTED, FAILS, SHOWN, changes, count, lacking, made_by, own_cost

HINT = "If that is meant: python tests/regression/counting.py --write"


def test_primitives_take_the_committed_instructions(tmp_path: Path) -> None:
    missing = lacking()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    committed = json.loads(COMMITTED.read_text())
    found = changes(committed["counts"], count(tmp_path))
    shown = {what: f"{100 * change:+.1f} %" for what, change in found.items() if abs(change) > SHOWN}
    other = (
        "" if committed["compiler"] == made_by() else f" The counts are of {committed['compiler']}, not {made_by()}."
    )
    if shown:
        warnings.warn(f"instructions have changed: {shown}.{other} {HINT}", stacklevel=1)
    failed = {what: change for what, change in found.items() if abs(change) > FAILS}
    assert not failed, f"{shown}{other} {HINT}"


def test_what_is_counted_is_the_cost_within_the_library() -> None:
    dump = (
        "desc: Trigger: Client Request: fbp\nob=/lib/other.so\nfn=a\n0 1000\ncob=/x/_core.so\ncfn=b\ncalls=1 0\n0 70\n"
        "ob=/x/_core.so\nfn=b\n0 30\n0 9\ncob=/lib/other.so\ncfn=a\ncalls=2 0\n0 500\n0 1\n\nfn=c\n16 2\ntotals: 5\n"
    )
    assert own_cost(dump, "_core.so") == ("fbp", 42)


def test_changes_are_shares_of_the_committed_counts() -> None:
    before = {"a": {"instructions": 100, "transformed": 0}, "gone": {"instructions": 5, "transformed": 5}}
    now = {"a": {"instructions": 126, "transformed": 0}, "new": {"instructions": 7, "transformed": 0}}
    found = changes(before, now)
    assert found["a: instructions"] == pytest.approx(0.26)
    assert found["a: transformed"] == 0
    assert found["gone: instructions"] == found["new: instructions"] == 1.0
    assert changes(before, before) == dict.fromkeys(changes(before, before), 0.0)
    assert changes({"a": {"instructions": 4, "transformed": 0}}, {"a": {"instructions": 4, "transformed": 8}}) == {
        "a: instructions": 0.0, "a: transformed": 1.0,
    }  # fmt: skip
