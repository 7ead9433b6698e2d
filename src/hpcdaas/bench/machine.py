"""What kind of machine this is, without its name, and which program runs on it."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from hpcdaas.backend.cpu import CpuBackend, available_threads
from hpcdaas.backend.fft import processor

#: What does the work, beside the program itself.
WORKERS = ("hpcdaas", "numpy", "scipy", "h5py", "pyfftw", "mpi4py", "cupy")
#: Whose changes alter what is measured.
SOURCES = ("src", "cpp", "kernels", "benchmarks/*.py")
#: Where the system tells the size of the last cache of core 0.
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


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


def last_cache() -> int:
    """Give the size of the largest cache that a core reaches, bytes; 32 MiB where the system doesn't say."""
    found = [int(text[:-1]) << 10 for text in map(_text, CACHES.glob("index*/size")) if re.fullmatch(r"\d+K", text)]
    return max(found, default=32 << 20)


def own_versions() -> dict[str, str]:
    """Give the versions of what does the work."""
    found = {"python": platform.python_version()}
    for package in WORKERS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Give the commit of the program, with a plus where its code was changed since; ``unknown`` where nothing says."""
    root = Path(__file__).resolve().parents[3]
    if (root / ".git").exists() and (root / "pyproject.toml").exists():
        return _of_checkout(root)
    try:
        installed = json.loads(distribution("hpcdaas").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return "unknown"
    return str(installed.get("vcs_info", {}).get("commit_id", "unknown"))


def _of_checkout(root: Path) -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
