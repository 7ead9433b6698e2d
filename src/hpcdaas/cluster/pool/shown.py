"""What people see of a pool's work: results and pictures that notebooks draw, and a bar while it goes on."""

from __future__ import annotations

import html
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from hpcdaas.result import Result

#: Seconds between two drawings of a bar.
OFTEN = 0.3


class Goes(Protocol):
    """Something that goes on."""

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        ...


@dataclass(frozen=True)
class Picture:
    """A picture that notebooks draw.

    Attributes
    ----------
    png : bytes
    """

    png: bytes

    def save(self, path: str | Path) -> Path:
        """Write it to a file."""
        path = Path(path)
        path.write_bytes(self.png)
        return path

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        """Say what it is, without its bytes."""
        return f"a picture of {len(self.png)} bytes"


@dataclass(frozen=True)
class ShownResult(Result):
    """A result that notebooks draw: its picture, and the numbers found on the way."""

    @classmethod
    def of(cls, result: Result) -> ShownResult:
        """Make one of a result."""
        return cls(**vars(result))

    def named(self, pid: str) -> ShownResult:
        """Give the same, with its name in the catalogue."""
        return replace(self, pid=pid)

    @cached_property
    def picture(self) -> Picture:
        """Its middle slice, or the phase of its object."""
        from hpcdaas.view.thumbnail import thumbnail

        return Picture(thumbnail(self.path))

    def report(self, folder: str | Path | None = None) -> Path:
        """Write the report, an HTML page with all pictures; give its path."""
        from hpcdaas.view.report import make_report

        return make_report(self.path, Path(folder) if folder else None)

    def _repr_html_(self) -> str:
        numbers = {name: _number(value) for name, value in self.metrics.items()}
        seconds = "there already" if self.existed else f"{self.seconds['total']:.1f}"
        shape = " × ".join(map(str, self.shape))
        rows = {"result": str(self.path), "shape": shape, "seconds": seconds}
        lines = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
            for name, value in (rows | numbers).items()
        )
        image = b64encode(self.picture.png).decode("ascii")
        return f'<img src="data:image/png;base64,{image}" alt="result" style="min-width: 256px"><table>{lines}</table>'


def _number(value: Any) -> str:
    """Write a metric as people read it."""
    number, unit = (value["value"], value.get("unit", "")) if isinstance(value, dict) else (value, "")
    return f"{number:.4g} {unit}".strip() if isinstance(number, float) else f"{number} {unit}".strip()


def bar(words: str, progress: float) -> str:
    """Draw a bar as HTML."""
    return f'<div>{html.escape(words)}<br><progress value="{progress:.3f}" max="1"></progress></div>'


@contextmanager
def showing(work: Goes) -> Iterator[None]:
    """Show a bar while the block goes on: in a notebook's cell, or on a terminal; elsewhere none."""
    ended = threading.Event()
    show = _in_notebook if "ipykernel" in sys.modules else _on_terminal if sys.stderr.isatty() else None
    thread = threading.Thread(target=show, args=(work, ended), daemon=True) if show else None
    if thread:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread:
            thread.join()


def _in_notebook(work: Goes, ended: threading.Event) -> None:
    from IPython.display import HTML, display

    shown = display(HTML(bar(repr(work), work.progress)), display_id=True)
    if shown is None:  # a kernel's package is imported, but this is no kernel
        return
    while not ended.wait(OFTEN):
        shown.update(HTML(bar(repr(work), work.progress)))
    shown.update(HTML(""))


def _on_terminal(work: Goes, ended: threading.Event) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("done", total=1.0)
        while not ended.wait(OFTEN):
            shown.update(task, completed=work.progress)
