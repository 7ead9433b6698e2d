"""Which FFT library is used, and what its planner has learned (wisdom), kept per user, processor and library."""

from __future__ import annotations

import ctypes.util
import hashlib
import importlib.util
import os
import platform
import re
import tempfile
from pathlib import Path

from hpcdaas.errors import HpcdaasError, InputError


def find_library() -> str:
    """Find an FFT library with FFTW3's single-precision interface.

    Returns
    -------
    str
        What ``HPCDAAS_FFT_LIBRARY`` names, else the system's libfftw3f, else the one in the pyfftw wheel.

    Raises
    ------
    HpcdaasError
        If there is none.
    """
    named = os.environ.get("HPCDAAS_FFT_LIBRARY")
    if named:
        if not Path(named).is_file() and not ctypes.util.find_library(named):
            raise InputError(f"HPCDAAS_FFT_LIBRARY names {named}, which isn't there.")
        return named
    system = ctypes.util.find_library("fftw3f")
    if system:
        return system
    spec = importlib.util.find_spec("pyfftw")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(Path(folder).parent.glob("pyfftw.libs/libfftw3f-*.so*"))
        if found:
            return str(found[0])
    raise HpcdaasError("No FFT library was found.", "pip install pyfftw, or name one in HPCDAAS_FFT_LIBRARY.")


def wisdom_file(library: str) -> Path:
    """Give the place where wisdom for this processor and FFT library is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.sha256(f"{processor()} {Path(library).name}".encode()).hexdigest()[:12]
    return Path(base) / "hpcdaas" / f"wisdom-{key}.txt"


def processor() -> str:
    """Name the processor's model: plans and the last bits of results depend on it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def read_wisdom(path: Path) -> str:
    """Read wisdom, or nothing where there is none yet."""
    try:
        return path.read_text()
    except OSError:
        return ""


def write_wisdom(path: Path, wisdom: str) -> None:
    """Write wisdom whole or not at all; a cache that can't be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(wisdom)
        Path(file.name).replace(path)
    except OSError:
        return
