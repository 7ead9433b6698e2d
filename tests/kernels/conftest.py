from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # what the tests of other backends use

from host_device import Compiler, make_compiler


@pytest.fixture(scope="session")
def compiler() -> Iterator[Compiler]:
    """Compiles kernels as C++, each once."""
    yield from make_compiler(Path(__file__).parent)


@pytest.fixture
def tell_registers(tell: Callable[[str], None]) -> Callable[[str, Any], None]:
    """Say at the end of the tests what a compiler says of registers and spills."""

    def say(title: str, report: dict[tuple[str, int], tuple[int, int]]) -> None:
        tell(f"registers of kernels ({title}), and bytes that didn't fit:")
        for kernel in sorted({name for name, _ in report}):
            used = (f"sm_{a} {r}" + (f" +{s}" if s else "") for (k, a), (r, s) in sorted(report.items()) if k == kernel)
            tell(f"  {kernel:<12} {', '.join(used)}")

    return say
