"""An interrupt in the moment of a destructor, which Python drops, ends the program all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time
from hpcdaas.cli import interrupts

if sys.argv[1] == "kept":
    interrupts.keep()

class Fleeting:
    def __del__(self):
        {in_destructor}

Fleeting()
try:
    time.sleep({seconds})
except KeyboardInterrupt:
    sys.exit(3)
"""


def run(kept: str, in_destructor: str, seconds: float) -> tuple[int, str]:
    program = PROGRAM.format(in_destructor=in_destructor, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", program, kept], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(("kept", "seconds", "code"), [("kept", 50, 3), ("dropped", 0.5, 0)])
def test_interrupt_in_a_destructor(kept: str, seconds: float, code: int) -> None:
    ended, said = run(kept, "os.kill(os.getpid(), signal.SIGINT); time.sleep(0)", seconds)
    assert ended == code
    assert ("KeyboardInterrupt" in said) == (kept == "dropped")  # so Python does, and so it is nothing to hear of here


def test_another_error_in_a_destructor_is_told() -> None:
    assert "Exception ignored in" in run("kept", "raise ValueError('as ever')", 0.1)[1]
