"""A device on the host: the kernels as C++ (shim.h), NumPy's arrays, SciPy's FFTs, launches as on a GPU.

It checks what a GPU wouldn't: number and types of arguments, arrays of the host where those of the device are due,
writes outside an array. Memory that nobody has written to holds no numbers.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from device_array import DeviceArray

from hpcdaas.backend.cuda import CudaBackend
from hpcdaas.backend.cuda_device import BLOCK
from hpcdaas.backend.cuda_kernels import folder, source
from hpcdaas.backend.cuda_tomo import CudaTomo

HERE = Path(__file__).parent
ORDERS = {"forward": 0, "backward": 1, "random": 2}
CXX = os.environ.get("CXX", "c++")
FENCE = 512  # bytes before and after an array that nobody may write to
FLAGS = [
    "-std=c++20",
    "-O1",
    "-fPIC",
    "-shared",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-warning-option",
    f"-I{HERE}",
]


@dataclass(frozen=True)
class HostKernel:
    """A kernel of one file with its macros."""

    library: ctypes.CDLL

    @cached_property
    def arguments(self) -> list[str]:
        """Kinds and sizes, an asterisk before those of arrays."""
        text = ctypes.create_string_buffer(1024)
        self.library.shim_describe(text)
        return text.value.decode().split()


class Compiler:
    """Compiles kernels when they are first asked for.

    Parameters
    ----------
    target : Path
        Folder for the libraries.
    more : Path
        Another folder with kernels, self-contained.
    """

    def __init__(self, target: Path, *more: Path) -> None:
        self.target, self.places = target, (folder(), *more)
        self._kernels: dict[tuple[Any, ...], HostKernel] = {}
        run(CXX, *FLAGS, "-Wno-clobbered", HERE / "shim.cpp", "-o", target / "libshim.so")
        self.machine = ctypes.CDLL(str(target / "libshim.so"), ctypes.RTLD_GLOBAL)
        self.machine.shim_launch.restype = ctypes.c_char_p

    def kernel(self, file: str, **defines: Any) -> HostKernel:
        """Give the kernel of a file."""
        place = next(place for place in self.places if (place / f"{file}.cu").is_file())
        return self.compile(file, source(file, place), **defines)

    def compile(self, name: str, text: str, **defines: Any) -> HostKernel:
        """Give a kernel of that name from its text."""
        key = (text, *sorted((macro, str(value)) for macro, value in defines.items()))
        if key not in self._kernels:
            code = self.target / f"{name}{len(self._kernels)}.cpp"
            code.write_text(f'#include "shim.h"\n{text}\nSHIM_KERNEL({name})\n')
            macros, out = [f"-D{macro}={value}" for macro, value in defines.items()], code.with_suffix(".so")
            run(CXX, *FLAGS, *macros, code, "-o", out, f"-L{self.target}", "-lshim", "-Wl,-rpath,$ORIGIN")
            self._kernels[key] = HostKernel(ctypes.CDLL(str(out)))
        return self._kernels[key]


def run(*command: Any) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class HostDevice:
    """See `hpcdaas.backend.cuda_device.Device`.

    Parameters
    ----------
    compiler : Compiler
    order : str
        In which the threads of a block run: ``forward``, ``backward`` or ``random``.
    seed : int
        Of the random order.
    cache, free : int
        Bytes of a cache and of memory that it says to have.

    Attributes
    ----------
    crossed : list of int
        Bytes of each copy from or to the host.
    records : int
        How often work was recorded.
    """

    xp = np
    name = "the host"

    def __init__(
        self, compiler: Compiler, order: str = "forward", seed: int = 0, cache: int = 1 << 16, free: int = 1 << 30
    ) -> None:
        self._compiler, self.order, self.seed, self.cache, self._free = compiler, order, seed, cache, free
        self._fences: list[tuple[np.ndarray, int]] = []
        self.crossed: list[int] = []
        self.records = 0
        self._recorded: list[Callable[[], None]] | None = None

    def free(self) -> int:
        return self._free

    def release(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def joint(self) -> HostGpu:
        return HostGpu()

    def pinned(self, shape: Any, dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    def going(self) -> HostDevice:
        return self

    def send(self, array: Any, out: np.ndarray) -> None:
        self.get(array, out)
        array.view(np.uint8).fill(0xFF)

    def finish(self) -> None:
        pass

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self._recorded, DeviceArray.may_change = [], False
        try:
            work()
            started = self._recorded
        finally:
            self._recorded, DeviceArray.may_change = None, True
        self.records += 1

        def start() -> None:
            for again in started:
                again()

        return start

    def kernel(self, file: str, **defines: Any) -> HostKernel:
        return self._compiler.kernel(file, **defines)

    def launch(self, kernel: HostKernel, grid: tuple[int, ...], *arguments: Any) -> None:
        if self._recorded is not None:
            self._recorded.append(partial(self.launch, kernel, grid, *arguments))
            return
        assert len(arguments) == len(kernel.arguments), f"{len(arguments)} for {kernel.arguments}"
        holders = [hold(given, kind) for given, kind in zip(arguments, kernel.arguments, strict=True)]
        pointers = (ctypes.c_void_p * len(holders))(*(ctypes.addressof(holder) for holder in holders))
        whole = (ctypes.c_uint * 3)(*grid, *(1,) * (3 - len(grid)))
        block = (ctypes.c_uint * 3)(*BLOCK, 1)
        library = kernel.library
        wrong = self._compiler.machine.shim_launch(
            library.shim_call, library.shim_clear, whole, block, pointers, ORDERS[self.order], self.seed
        )
        assert wrong is None, wrong.decode()
        for raw, size in self._fences:
            assert (raw[:FENCE] == 0xFF).all(), "something was written before an array"
            assert (raw[FENCE + size :] == 0xFF).all(), "something was written behind an array"

    def empty(self, shape: Any, dtype: Any) -> Any:
        assert self._recorded is None, "memory is not there before"
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        raw = np.full(size + 2 * FENCE, 0xFF, np.uint8)
        self._fences = [*self._fences[-40:], (raw, size)]
        return DeviceArray(raw[FENCE : FENCE + size].view(dtype).reshape(shape))

    def zeros(self, shape: Any, dtype: Any) -> Any:
        out = self.empty(shape, dtype)
        out.fill(0)
        return out

    def is_here(self, array: Any) -> bool:
        return isinstance(array, DeviceArray)

    def put(self, array: Any) -> Any:
        if self.is_here(array):
            return array
        out = self.empty(array.shape, array.dtype)
        out.memory[...] = array
        self.crossed.append(array.nbytes)
        return out

    def get(self, array: Any, out: np.ndarray) -> None:
        assert self.is_here(array)
        out[...] = array.memory
        self.crossed.append(out.nbytes)

    def coming(self, pieces: Iterable[np.ndarray]) -> Iterator[Any]:
        for piece in pieces:
            yield self.put(piece)

    def fft(self, array: Any, axes: int, inverse: bool) -> None:
        if self._recorded is not None:
            self._recorded.append(partial(self.fft, array, axes, inverse))
            return
        assert self.is_here(array)
        assert array.flags.c_contiguous
        over = tuple(range(-axes, 0))
        if inverse:
            array.memory[...] = scipy.fft.ifftn(array.memory, axes=over, norm="forward")
        else:
            array.memory[...] = scipy.fft.fftn(array.memory, axes=over)


class HostGpu:
    """See `hpcdaas.parallel.on_device.Gpu`: what NCCL would do is done by messages of MPI's, sent where they lie."""

    name = "NCCL"

    def __init__(self) -> None:
        self.place, self.nccl = f"of process {os.getpid()}", True

    def settle(self) -> None:
        pass

    def ticket(self) -> bytes:
        return b"ticket"

    def join(self, size: int, rank: int, ticket: bytes) -> HostGpu:
        mpi = importlib.import_module("mpi4py.MPI")
        self._mpi, self._comm = mpi, mpi.COMM_WORLD.Split(0 if ticket == b"ticket" else 1, rank)
        assert self._comm.Get_size() == size
        return self

    def add(self, array: Any) -> bool:
        if isinstance(array, DeviceArray):
            self._comm.Allreduce(self._mpi.IN_PLACE, array.memory)
        return isinstance(array, DeviceArray)

    def exchange(self, sends: Any, receives: Any) -> bool:
        if not all(isinstance(array, DeviceArray) for array in (*sends.values(), *receives.values())):
            return False
        pending = [self._comm.Irecv(array.memory, source) for source, array in receives.items()]
        pending += [self._comm.Isend(array.memory, target) for target, array in sends.items()]
        self._mpi.Request.Waitall(pending)
        return True


class HostBackend(CudaBackend):
    """The backend as it is on a GPU, with the kernels on the host."""

    def __init__(self, device: HostDevice) -> None:
        self.threads, self.device, self.tomo = 1, device, CudaTomo(device)


def hold(given: Any, kind: str) -> Any:
    """Check an argument against what the kernel takes, and put it where a pointer can reach it."""
    if kind.startswith("*"):
        if given is None:
            return ctypes.c_void_p(0)
        assert isinstance(given, DeviceArray), f"an array of the host for {kind}"
        assert given.flags.c_contiguous, "an array that is not contiguous"
        found = "u1" if given.dtype == np.bool_ else given.dtype.str[1:]
        assert f"*{found}" == kind, f"{given.dtype} for {kind}"
        return ctypes.c_void_p(given.memory.ctypes.data)
    assert isinstance(given, np.generic), f"a number of Python's for {kind}"
    assert given.dtype.str[1:] == kind, f"{given.dtype} for {kind}"
    return np.ctypeslib.as_ctypes_type(given.dtype)(given.item())


def make_compiler(*more: Path) -> Iterator[Compiler]:
    with tempfile.TemporaryDirectory() as target:
        yield Compiler(Path(target), *more)
