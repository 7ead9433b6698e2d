"""What is to be done: one run and the place of its result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hpcdaas
from hpcdaas.errors import InputError
from hpcdaas.io.nexus_result import existing_run
from hpcdaas.recipe import Recipe
from hpcdaas.result import Raw


@dataclass(frozen=True)
class Job:
    """What is to be done: one run and the place of its result."""

    path: Path
    raw: Raw
    recipe: Recipe
    run: str
    attempt: int
    started: datetime

    def is_there(self, overwrite: bool) -> bool:
        """Say whether the result holds this run.

        Raises
        ------
        InputError
            If it holds something else and must not be replaced.
        """
        found = existing_run(self.path)
        if found is not None and any(self.path.samefile(file) for file in self.raw.files):
            raise InputError(f"{self.path} is the raw scan itself.", "Choose another -o.")
        if found == self.run:
            return True
        if found is not None and not overwrite:
            what = f"another run ({found[:8]})" if found else "something else"
            raise InputError(f"{self.path} exists and holds {what}.", "Give --overwrite, or another name with -o.")
        return False

    def process(self) -> dict[str, Any]:
        """Say where a result comes from, for ``/entry/process``."""
        return {
            "program": "hpcdaas",
            "version": hpcdaas.__version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "recipe": json.dumps(self.recipe.resolved(), sort_keys=True),
            "recipe_name": self.recipe.name,
            "raw_file": str(self.raw.files[0]),
            "raw_files": json.dumps([str(f) for f in self.raw.files]),
            "raw_identity": self.raw.identity,
            "run": self.run,
            "attempt": self.attempt,
        }
