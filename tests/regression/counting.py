"""Counts the instructions of the primitives' own code: `python tests/regression/counting.py [--write]`.

Times change with the machine and with who else is on it; instructions don't. callgrind counts those of the compiled
core alone, neither FFT library nor interpreter, in AVX2's code, which every such machine has alike and valgrind knows.
In place of an FFT library stands `plain_fft.cpp`, whose transforms are counted, too. Another compiler gives other
counts: it is written beside them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hpcdaas import _core

HERE = Path(__file__).resolve().parent
COMMITTED = HERE / "instructions.json"
LEVEL = "avx2"
#: Changes that are shown, and that fail.
SHOWN, FAILS = 0.10, 0.25
CALLGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no")
PLAIN = ("--compress-strings=no", "--compress-pos=no", "--dump-line=no")

#: Of each primitive: instructions of the core, and numbers that were transformed.
Counts = Mapping[str, Mapping[str, int]]


def lacking() -> str | None:
    """Say what isn't here for counting; None if all is."""
    if shutil.which("valgrind") is None:
        return "no valgrind: apt-get install valgrind"
    if shutil.which(compiler()) is None:
        return f"no compiler {compiler()}"
    look, header = [compiler(), "-E", "-x", "c++", "-"], "#include <valgrind/callgrind.h>"
    if subprocess.run(look, input=header, text=True, capture_output=True, check=False).returncode:
        return "no header of valgrind: apt-get install valgrind"
    try:
        _core.vector_level(LEVEL)
    except ValueError as error:
        return str(error)
    return None


def compiler() -> str:
    """Name the compiler of what stands in for an FFT library."""
    return os.environ.get("CXX", "c++")


def made_by() -> str:
    """Say which compiler made the core."""
    found = re.search(rb"(GCC: \([^)]*\) [\d.]+|clang version [\d.]+)", Path(_core.__file__).read_bytes())
    return found[1].decode() if found else "unknown"


def count(folder: Path) -> dict[str, dict[str, int]]:
    """Run all primitives under callgrind, and give what each took."""
    library, out = folder / "plain_fft.so", folder / "transformed.json"
    built = [compiler(), "-O2", "-std=c++20", "-shared", "-fPIC", "-o", library, HERE / "plain_fft.cpp"]
    subprocess.run(built, check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HPCDAAS_")}
    environment = kept | {
        "HPCDAAS_FFT_LIBRARY": str(library), "HPCDAAS_VECTOR_LEVEL": LEVEL, "XDG_CACHE_HOME": str(folder / "cache"),
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    command = [*CALLGRIND, *PLAIN, f"--callgrind-out-file={folder}/counts", sys.executable, HERE / "primitives.py", out]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the primitives failed under valgrind: {done.stderr[-2000:]}")
    found: dict[str, dict[str, int]] = {}
    for dump in folder.glob("counts.*"):
        name, instructions = own_cost(dump.read_text(), Path(_core.__file__).name)
        found[name] = {"instructions": instructions}
    for name, transformed in json.loads(out.read_text()).items():
        found[name]["transformed"] = transformed
    return {name: found[name] for name in sorted(found)}


def own_cost(dump: str, library: str) -> tuple[str, int]:
    """Read a dump of callgrind: give its name, and the instructions within a library, calls from it left out."""
    trigger = re.search(r"^desc: Trigger: Client Request: (.+)$", dump, re.MULTILINE)
    assert trigger, "the dump bears no name"
    inside, called, total = False, False, 0
    for line in dump.splitlines():
        if line.startswith("ob="):
            inside = line.endswith(library)
        elif line.startswith("calls="):
            called = True  # the next line says what the call cost: it counts where it was spent
        elif line[:1].isdigit():
            total += int(line.split()[-1]) if inside and not called else 0
            called = False
    return trigger[1], total


def changes(committed: Counts, counted: Counts) -> dict[str, float]:
    """Give by how much each number differs from the committed one, as a share; what isn't there on both sides by 1."""
    found: dict[str, float] = {}
    for name in sorted({*committed, *counted}):
        for what in ("instructions", "transformed"):
            before, now = (each.get(name, {}).get(what) for each in (committed, counted))
            same = before == now
            found[f"{name}: {what}"] = 0.0 if same else now / before - 1 if before and now is not None else 1.0
    return found


def main() -> None:
    """Print the counts and how they differ from the committed ones, or write them."""
    with tempfile.TemporaryDirectory() as folder:
        counted = count(Path(folder))
    if "--write" in sys.argv[1:]:
        content = {"compiler": made_by(), "vector_level": LEVEL, "counts": counted}
        COMMITTED.write_text(json.dumps(content, indent=1) + "\n")
        print(f"written: {COMMITTED}")
        return
    for what, change in changes(json.loads(COMMITTED.read_text())["counts"], counted).items():
        print(f"{100 * change:+7.2f} %  {what}")


if __name__ == "__main__":
    main()
