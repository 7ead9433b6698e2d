"""Figures with their limits and goals, and the report that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpcdaas.bench.machine import commit, describe_machine, own_versions
from hpcdaas.bench.rounds import Rounds


@dataclass(frozen=True)
class Goal:
    """What a figure must and should reach: its ratio, or its value where `on` says so."""

    must: float
    aim: float | None = None
    at_least: bool = False
    on: str = "ratio"

    def kept(self, number: float, bound: float) -> bool:
        """Say whether a number keeps a bound; what is no number keeps none."""
        return number >= bound if self.at_least else number <= bound

    def verdict(self, number: float) -> str:
        """Say which bound is kept."""
        if self.aim is not None and self.kept(number, self.aim):
            return "aim"
        return "must" if self.kept(number, self.must) else "SHORT"

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.must:g}" + ("" if self.aim is None else f", {self.aim:g}")


@dataclass(frozen=True)
class Figure:
    """One number, and how it stands to a limit that was measured in the same run.

    Attributes
    ----------
    name : str
    value : float
    unit : str
        ``s``, ``B/s``, ``flop/s``, ``1/h`` …
    limit : str
        What the limit is.
    limit_value, ratio : float or None
        Value of the limit, and the ratio to it.
    goal : Goal or None
    group : str
        Heading under which it stands: what was measured.
    bytes, flops : float or None
        Of a piece: what must go through memory, and the operations that it can't do without.
    residual : bool
        Whether the goal guards that a result is right: a run whose residual falls short has failed.
    """

    name: str
    value: float
    unit: str
    limit: str = ""
    limit_value: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    group: str = ""
    bytes: float | None = None
    flops: float | None = None
    residual: bool = False

    @property
    def verdict(self) -> str:
        """``aim``, ``must``, ``SHORT``, or nothing where there is no goal."""
        number = self.value if self.goal and self.goal.on == "value" else self.ratio
        return "" if self.goal is None or number is None else self.goal.verdict(number)

    def as_json(self) -> dict[str, Any]:
        """Give what stands in the file."""
        return asdict(self) | {"verdict": self.verdict}


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

    def compare(self, rounds: Rounds, task: str, against: str, goal: Goal | None = None, **more: Any) -> None:
        """Add a task's time and its ratio to another's; where the goal is to be faster, how many times it is."""
        faster = goal is not None and goal.at_least
        ratio = rounds.ratio(against, task) if faster else rounds.ratio(task, against)
        limit = {"limit": against, "limit_value": rounds.median(against), "ratio": ratio}
        self.add(task, rounds.median(task), "s", **({**limit, "goal": goal} | more))

    @property
    def wrong(self) -> list[str]:
        """The residuals that are too large: what was fast and wrong."""
        return [f.name for f in self.figures if f.residual and f.verdict in ("SHORT", "")]

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

    def content(self, rounds: Rounds) -> dict[str, Any]:
        """Give all of it with the machine, versions, commit and the seconds of every round, as JSON holds it."""
        return {
            "benchmark": self.name,
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit(),
            "machine": describe_machine(),
            "versions": own_versions() | self.versions,
            "settings": dict(self.settings),
            "figures": [figure.as_json() for figure in self.figures],
            "seconds": dict(rounds.seconds),
            "notes": self.notes,
        }

    def write(self, path: Path, rounds: Rounds) -> Path:
        """Write the JSON file: to `path`, or into it under a name with the machine's where it isn't called .json."""
        content = self.content(rounds)
        if path.suffix != ".json":
            path.mkdir(parents=True, exist_ok=True)
            path /= f"{self.name}-{content['machine']['label']}.json"
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path
