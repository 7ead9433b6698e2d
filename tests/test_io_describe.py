from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpcdaas.io import describe, open_scan
from hpcdaas.scan import ScanTable


def test_describes_in_json(write_nxtomo: Callable[..., Path]) -> None:
    path = write_nxtomo(
        np.ones((6, 4, 5), "u2"), [2, 1, 0, 0, 0, 1], np.arange(6.0), chunks=(1, 4, 5), compression="gzip"
    )
    seen = json.loads(json.dumps(describe(open_scan(path)), allow_nan=False))
    assert seen["shape"] == [3, 4, 5]
    assert seen["bytes"] == 3 * 4 * 5 * 2
    assert seen["output"] == {"shape": [4, 5, 5], "dtype": "float32", "bytes": 400}
    assert seen["angles"] == {"first": 2.0, "last": 4.0, "unit": "degree"}
    assert seen["flats"] == [{"frames": 1, "before_projection": 0.0}, {"frames": 1, "before_projection": 3.0}]
    assert seen["darks"] == 1
    assert seen["storage"] == {"whole_frames": True, "kind": "compressed", "chunk": [1, 4, 5], "filters": ["deflate"]}
    assert [item["what"] for item in seen["missing"]] == ["pixel_size", "energy", "distance"]
    assert all(f"scan.{item['what']}=" in item["option"] for item in seen["missing"])


def test_says_what_is_missing(write_nxtomo: Callable[..., Path]) -> None:
    path = write_nxtomo(np.ones((6, 4, 5), "u2"), None, np.arange(6.0))
    table = ScanTable(pixel_size=1e-6, energy=1e4, distance=0.1)
    assert [item["what"] for item in describe(open_scan(path, table))["missing"]] == ["flats", "darks"]
    full = ScanTable(pixel_size=1e-6, energy=1e4, distance=0.1, flats=1, darks=0)
    assert describe(open_scan(path, full))["missing"] == []
