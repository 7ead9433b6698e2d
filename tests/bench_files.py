"""Small files of figures, as `hpcdaas bench -o` writes them."""

from __future__ import annotations

from typing import Any

from hpcdaas.bench.figures import Figure


def benchmark(unit: str = "s", **figures: float) -> dict[str, Any]:
    """A small file of figures."""
    given = [Figure(name, value, unit, group="cores").as_json() for name, value in figures.items()]
    machine = {"cpu": "One", "cores": 2, "memory_bytes": 1}
    return {"benchmark": "bench", "file": "x.json", "machine": machine, "figures": given, "settings": {"threads": 1}}
