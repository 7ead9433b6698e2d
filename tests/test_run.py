from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcdaas.errors import InputError
from hpcdaas.run import BLOCK, BLOCKS, file_identity, pid, raw_identity, run_identity


def write(path: Path, size: int) -> bytes:
    content = bytes((i * 131 + i // 251) % 256 for i in range(min(size, 4096))) * (size // 4096 + 1)
    path.write_bytes(content[:size])
    return content[:size]


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK * BLOCKS])
def test_small_files_go_in_whole(tmp_path: Path, size: int) -> None:
    content = write(tmp_path / "a", size)
    assert file_identity(tmp_path / "a") == hashlib.sha256(f"{size}\n".encode() + content).hexdigest()


def test_large_files_go_in_at_fixed_fractions(tmp_path: Path) -> None:
    size = BLOCK * BLOCKS + 12345
    content = write(tmp_path / "a", size)
    starts = [k * (size - BLOCK) // 63 for k in range(64)]
    assert starts[0] == 0
    assert starts[-1] + BLOCK == size
    expected = hashlib.sha256(f"{size}\n".encode() + b"".join(content[s : s + BLOCK] for s in starts))
    assert file_identity(tmp_path / "a") == expected.hexdigest()


def test_a_copy_elsewhere_is_the_same_scan(tmp_path: Path) -> None:
    files = [tmp_path / "here" / name for name in ("main", "b", "a")]
    (tmp_path / "here").mkdir()
    for number, path in enumerate(files):
        write(path, 1000 + number)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    (tmp_path / "there" / "b").rename(tmp_path / "there" / "z")
    there = [tmp_path / "there" / name for name in ("main", "a", "z")]
    assert raw_identity(files) == raw_identity(there)
    assert raw_identity(files) == raw_identity([*files, files[1]])
    assert raw_identity(files) != raw_identity(files[:2])
    assert raw_identity(files) != raw_identity([files[1], files[0], files[2]]), "the opened file is told apart"


def test_every_byte_of_a_small_file_matters(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a", 5000))
    before = raw_identity([tmp_path / "a"])
    content[4999] ^= 1
    (tmp_path / "a").write_bytes(content)
    assert raw_identity([tmp_path / "a"]) != before


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        raw_identity([tmp_path / "none"])


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.booleans() | st.none()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(), numbers | st.lists(numbers)))
def test_run_depends_on_content_only(recipe: dict[str, object]) -> None:
    run = run_identity("ab" * 32, recipe)
    assert run == run_identity("ab" * 32, dict(reversed(recipe.items())), attempt=1)
    assert run == run_identity("ab" * 32, json.loads(json.dumps(recipe)))
    assert len({run, run_identity("ac" * 32, recipe), run_identity("ab" * 32, recipe, attempt=2)}) == 3
    assert int(run, 16) >= 0
    assert len(run) == 64


def test_run_is_the_hash_of_canonical_json() -> None:
    text = '{"raw":"00","recipe":{"a":[1,2.5],"name":"µ"}}'
    assert run_identity("00", {"name": "µ", "a": (1, 2.5)}) == hashlib.sha256(text.encode()).hexdigest()


def test_nan_is_no_recipe() -> None:
    with pytest.raises(ValueError, match="JSON"):
        run_identity("00", {"a": float("nan")})


def test_pid_is_a_uuid_of_version_4() -> None:
    run = hashlib.sha256(b"x").hexdigest()
    name = pid(run, "20.500/")
    assert name.startswith("20.500/")
    parsed = uuid.UUID(name.removeprefix("20.500/"))
    assert parsed.version == 4
    assert parsed.variant == uuid.RFC_4122
    assert name == name.upper()
    digits = parsed.hex
    assert (digits[:12], digits[13:16], digits[17:]) == (run[:12], run[13:16], run[17:32])
