"""Compilers for GPUs, which need none: NVRTC, which CuPy uses, as its wheel or CUDA brings it; else nvcc."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcdaas.backend.cuda_kernels import folder, source

ARCHITECTURES = (80, 90, 100)
_USED = re.compile(
    r"entry function '(\w+)' for 'sm_(\d+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
    re.DOTALL,
)

Report = dict[tuple[str, int], tuple[int, int]]


def parse(log: str) -> Report:
    """Give registers and bytes of spills of kernels, by name and architecture."""
    return {(m[0], int(m[1])): (int(m[4]), int(m[2]) + int(m[3])) for m in _USED.findall(log)}


def find() -> Nvrtc | Nvcc | None:
    """Give a compiler, if there is one."""
    library = nvrtc_library()
    if library:
        return Nvrtc(library)
    return Nvcc() if shutil.which("nvcc") else None


def nvrtc_library() -> str | None:
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(Path(place).glob("*/lib/libnvrtc.so.*"))
        if found:
            return str(found[-1])
    return ctypes.util.find_library("nvrtc")


class Nvcc:
    """CUDA's compiler: all kernels at once, since each start takes a second."""

    name = "nvcc"

    def compile(self, names: Sequence[str], macros: Mapping[str, object], verbose: bool, target: Path) -> str:
        """Compile kernels for all architectures; give the log."""
        code = target / "kernels.cu"
        code.write_text("".join(f'#include "{name}.cu"\n' for name in names))
        each = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
        command = ["nvcc", "-fatbin", "-o", str(target / "kernels.fatbin"), f"-I{folder()}", *each]
        command += [f"-D{name}={value}" for name, value in macros.items()] + ["-Xptxas=-v"] * verbose
        done = subprocess.run([*command, str(code)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


class Nvrtc:
    """CUDA's compiler at run time, on the text that CuPy is given."""

    name = "NVRTC"

    def __init__(self, library: str) -> None:
        self._nvrtc = ctypes.CDLL(library)

    def compile(self, names: Sequence[str], macros: Mapping[str, object], verbose: bool, target: Path) -> str:
        """Compile kernels for all architectures; give the log."""
        more = [f"-D{name}={value}" for name, value in macros.items()]
        more += ["--ptxas-options=-v"] * verbose
        return "".join(self._compile(name, arch, more) for name in names for arch in ARCHITECTURES)

    def _compile(self, name: str, arch: int, more: Sequence[str]) -> str:
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        text = source(name).encode()
        self._nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, f"{name}.cu".encode(), 0, None, None)
        options = [option.encode() for option in (f"-arch=sm_{arch}", "-std=c++17", *more)]
        failed = self._nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        self._nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self._nvrtc.nvrtcGetProgramLog(program, log)
        self._nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
        assert not failed, log.value.decode()
        return log.value.decode()
