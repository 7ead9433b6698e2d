"""Finished runs for the tests of the catalogue."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpcdaas.result import Raw, Result


def hexdigest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def finished(folder: Path, name: str = "tooth", scan: str = "scan1", ended: int = 0, **raw: Any) -> Result:
    """A run whose files exist; `name` tells runs of one `scan` apart."""
    raw_path = folder / "raw" / f"{scan}.h5"
    raw_path.parent.mkdir(parents=True, exist_ok=True)
    raw_path.write_bytes(b"counts" * 100)
    path = folder / f"{name}.h5"
    path.write_bytes(os.fsencode(f"voxels of {name}") * 1000)
    facts = {
        "name": scan,
        "files": (raw_path,),
        "identity": hexdigest(scan),
        "metadata": {},
        "technique": "tomography",
        "format": "nxtomo",
        "shape": (181, 2, 640),
    }
    return Result(
        path=path,
        run=hexdigest(name + scan),
        raw=Raw(**{**facts, **raw}),
        recipe={
            "name": "tomo-fine",
            "scan": {"pixel_size": 6.5e-7, "center": None, "paths": {"data": "/a.b/c"}},
            "step": [{"use": "flatfield", "name": "flatfield"}, {"use": "fbp", "name": "fine", "eps": 1e-3}],
        },
        shape=(2, 640, 640),
        started=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
        ended=datetime(2026, 3, 1, 12, 1, ended, tzinfo=UTC),
        metrics={"center": {"value": 295.5, "unit": "pixel"}, "center_confidence": 0.9, "nonpositive": 12},
    )
