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


REPORTS = pytest.StashKey[dict[str, Any]]()


@pytest.fixture
def record_registers(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Keep what a compiler says of registers and spills for the end of the tests."""
    reports = request.config.stash.setdefault(REPORTS, {})
    return reports.__setitem__


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show registers and spills of all kernels."""
    for title, report in config.stash.get(REPORTS, {}).items():
        terminalreporter.write_line(f"registers of kernels ({title}), and bytes that didn't fit:")
        for kernel in sorted({name for name, _ in report}):
            used = (f"sm_{a} {r}" + (f" +{s}" if s else "") for (k, a), (r, s) in sorted(report.items()) if k == kernel)
            terminalreporter.write_line(f"  {kernel:<12} {', '.join(used)}")
