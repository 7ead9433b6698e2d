"""What the benchmarks share: interleaved repeats, figures with their limits, the machine, the JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: A matrix product that stands for a core's peak must not use more than one.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hpcdaas.backend.cpu import CpuBackend, available_threads  # noqa: E402
from hpcdaas.backend.fft import processor  # noqa: E402


def timed(function: Callable[[], Any]) -> Callable[[], float]:
    """Make a function that answers with its own wall time in seconds."""

    def run() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run


def per_piece(tasks: Mapping[str, Callable[[], float]], pieces: int) -> dict[str, Callable[[], float]]:
    """Make tasks that answer with their seconds per piece."""
    return {name: lambda task=task: task() / pieces for name, task in tasks.items()}


@dataclass(frozen=True)
class Rounds:
    """Seconds of each task, one number for each round."""

    seconds: Mapping[str, list[float]]

    def __contains__(self, task: str) -> bool:
        return task in self.seconds

    def median(self, task: str) -> float:
        """Give the median over rounds."""
        return statistics.median(self.seconds[task])

    def ratio(self, a: str, b: str) -> float:
        """Give the median of a / b within a round: what slows the machine down slows both."""
        return statistics.median(x / y for x, y in zip(self.seconds[a], self.seconds[b], strict=True))

    def sum(self, name: str, parts: Mapping[str, float]) -> Rounds:
        """Add a task: in each round the sum of others, each times its factor."""
        lines = zip(*([f * s for s in self.seconds[part]] for part, f in parts.items()), strict=True)
        return Rounds({**self.seconds, name: [sum(line) for line in lines]})

    def largest(self, name: str, parts: Sequence[str]) -> Rounds:
        """Add a task: in each round the largest of others."""
        return Rounds(
            {**self.seconds, name: [max(line) for line in zip(*(self.seconds[p] for p in parts), strict=True)]}
        )


def interleave(tasks: Mapping[str, Callable[[], float]], repeats: int) -> Rounds:
    """Run A B A B …, every other round backwards; each task answers with its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for i in range(repeats):
        for name in list(tasks)[:: -1 if i % 2 else 1]:
            seconds[name].append(tasks[name]())
            print(f"  round {i + 1}/{repeats}  {name}: {seconds[name][-1]:.4g} s", file=sys.stderr, flush=True)
    return Rounds(seconds)


@dataclass(frozen=True)
class Goal:
    """What a figure must and should reach: its ratio, or its value where `on` says so."""

    must: float
    aim: float | None = None
    at_least: bool = False
    on: str = "ratio"

    def verdict(self, number: float) -> str:
        """Say which bound is kept."""
        kept = (lambda bound: number >= bound) if self.at_least else (lambda bound: number <= bound)
        if self.aim is not None and kept(self.aim):
            return "aim"
        return "must" if kept(self.must) else "SHORT"

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.must:g}" + ("" if self.aim is None else f", {self.aim:g}")


@dataclass(frozen=True)
class Figure:
    """One number, and how it stands to a limit that was measured in the same run."""

    name: str
    value: float
    unit: str
    limit: str = ""
    limit_value: float | None = None
    ratio: float | None = None
    goal: Goal | None = None

    @property
    def verdict(self) -> str:
        """``aim``, ``must``, ``SHORT``, or nothing where there is no goal."""
        number = self.value if self.goal and self.goal.on == "value" else self.ratio
        return "" if self.goal is None or number is None else self.goal.verdict(number)


@dataclass
class Report:
    """The figures of one benchmark."""

    name: str
    settings: Mapping[str, Any]
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str, **more: Any) -> None:
        """Add a figure; see `Figure`."""
        self.figures.append(Figure(name, value, unit, **more))

    def compare(self, rounds: Rounds, task: str, against: str, goal: Goal | None = None) -> None:
        """Add a task's time and its ratio to another's; where the goal is to be faster, how many times it is."""
        faster = goal is not None and goal.at_least
        ratio = rounds.ratio(against, task) if faster else rounds.ratio(task, against)
        self.add(
            task, rounds.median(task), "s", limit=against, limit_value=rounds.median(against), ratio=ratio, goal=goal
        )

    def finish(self, options: argparse.Namespace, rounds: Rounds) -> None:
        """Print the table, and write the JSON file where one is asked for."""
        print(self.table())
        if options.json:
            print(f"written: {self.write(options.json, rounds)}")

    def table(self) -> str:
        """Lay the figures out as text."""
        rows = [("figure", "value", "ratio", "to", "its value", "must, aim", "")]
        for f in self.figures:
            ratio = "" if f.ratio is None else f"{f.ratio:.3g}"
            limit = "" if f.limit_value is None else f"{f.limit_value:.4g}"
            rows.append((f.name, f"{f.value:.4g} {f.unit}", ratio, f.limit, limit, str(f.goal or ""), f.verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        machine = describe_machine()
        head = f"{self.name}: {machine['cpu']}, {machine['cores']} cores, {machine['vector_level']}"
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return "\n".join([head, settings, *lines, *self.notes])

    def write(self, path: Path, rounds: Rounds) -> Path:
        """Write the JSON file: to `path`, or into it under a name with the machine's where it isn't called .json."""
        machine = describe_machine()
        if path.suffix != ".json":
            path.mkdir(parents=True, exist_ok=True)
            path /= f"{self.name}-{machine['label']}.json"
        figures = [asdict(f) | {"verdict": f.verdict} for f in self.figures]
        content = {
            "benchmark": self.name,
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit(),
            "machine": machine,
            "versions": own_versions() | self.versions,
            "settings": dict(self.settings),
            "figures": figures,
            "seconds": dict(rounds.seconds),
            "notes": self.notes,
        }
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return path


def describe_machine() -> dict[str, Any]:
    """Say what kind of machine this is, without its name."""
    cpu, cores = processor(), available_threads()
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    model = re.search(r"^model\s*:\s*(\d+)$", info, re.MULTILINE)
    plain = re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", " ", cpu)
    slug = "-".join(re.findall(r"[a-z0-9]+", plain.lower()))
    return {
        "label": f"{slug}{'-m' + model.group(1) if model else ''}-{cores}c",
        "cpu": cpu + (f" (model {model.group(1)})" if model else ""),
        "cores": cores,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "vector_level": CpuBackend(1).level,
        "fft_library": Path(CpuBackend(1).library_path).name,
        "system": f"{platform.system()} {platform.machine()}",
    }


def own_versions() -> dict[str, str]:
    """Give the versions of what does the work."""
    found = {"python": platform.python_version()}
    for package in ("hpcdaas", "numpy", "h5py", "pyfftw"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Give the commit of the project, with a plus where its code was changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "cpp", "kernels", "benchmarks/*.py")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def options(description: str, repeats: int) -> argparse.ArgumentParser:
    """Give a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write a JSON file, or into a folder")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that it runs")
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds (default %(default)s)")
    return parser
