"""A GPU that is joined with those of other ranks by NCCL, NVIDIA's library of collectives, through CuPy.

What it is given is ordered as kernels are: whoever uses an array later on the same stream finds in it what has come.
"""

from __future__ import annotations

import importlib
import os
import socket
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.errors import HpcdaasError

#: NCCL's names of types, and how many of them a number is made of.
TYPES = {"f4": ("NCCL_FLOAT32", 1), "f8": ("NCCL_FLOAT64", 1), "c8": ("NCCL_FLOAT32", 2), "c16": ("NCCL_FLOAT64", 2)}
#: The variable that keeps ranks from it, with the value 0.
SWITCH = "HPCDAAS_NCCL"


class CudaGpu:
    """See `hpcdaas.parallel.on_device.Gpu`.

    Parameters
    ----------
    cupy : module
    device : int
        Its number in this process.
    settle : callable
        Waits until it has done what it was given.
    """

    def __init__(self, cupy: Any, device: int, settle: Callable[[], None]) -> None:
        self._cupy, self.settle = cupy, settle
        self._nccl: Any = None if os.environ.get(SWITCH) == "0" else _load()
        self.place = f"{socket.gethostname()} {cupy.cuda.runtime.deviceGetPCIBusId(device)}"
        self.nccl = self._nccl is not None

    def ticket(self) -> bytes:
        """See `hpcdaas.parallel.on_device.Gpu.ticket`."""
        found: bytes = self._nccl.get_unique_id()
        return found

    def join(self, size: int, rank: int, ticket: bytes) -> ByNccl:
        """See `hpcdaas.parallel.on_device.Gpu.join`.

        Raises
        ------
        HpcdaasError
            If NCCL says no.
        """
        try:
            return ByNccl(self._cupy, self._nccl, self._nccl.NcclCommunicator(size, ticket, rank))
        except self._nccl.NcclError as error:
            raise HpcdaasError(
                f"NCCL can't join the ranks' GPUs: {error}.",
                f"NCCL_DEBUG=INFO lets it say why; with {SWITCH}=0 ranks exchange by MPI.",
            ) from error


def _load() -> Any:
    """Give CuPy's module for it, or None where the library isn't there."""
    try:
        with warnings.catch_warnings():  # that it isn't there is nothing to warn of
            warnings.simplefilter("ignore")
            nccl = importlib.import_module("cupy.cuda.nccl")
    except ImportError:
        return None
    return nccl if getattr(nccl, "available", False) else None


class ByNccl:
    """See `hpcdaas.parallel.comm.Links`.

    Parameters
    ----------
    cupy, nccl : module
    joined : NcclCommunicator
    """

    name = "NCCL"

    def __init__(self, cupy: Any, nccl: Any, joined: Any) -> None:
        self._cupy, self._nccl, self._joined = cupy, nccl, joined

    def add(self, array: NDArray[Any]) -> bool:
        """See `hpcdaas.parallel.comm.Links.add`."""
        if not self._is_here(array):
            return False
        pointer, *what = self._described(array)
        self._joined.allReduce(pointer, pointer, *what, self._nccl.NCCL_SUM, self._stream())
        return True

    def exchange(self, sends: Mapping[int, NDArray[Any]], receives: Mapping[int, NDArray[Any]]) -> bool:
        """See `hpcdaas.parallel.comm.Links.exchange`."""
        if not all(self._is_here(array) for array in (*sends.values(), *receives.values())):
            return False
        self._nccl.groupStart()  # none waits for another within it
        for source, array in receives.items():
            self._joined.recv(*self._described(array), source, self._stream())
        for target, array in sends.items():
            self._joined.send(*self._described(array), target, self._stream())
        self._nccl.groupEnd()
        return True

    def _is_here(self, array: Any) -> bool:
        return isinstance(array, self._cupy.ndarray)

    def _described(self, array: Any) -> tuple[int, int, int]:
        """Give address, count and type, as NCCL takes them."""
        assert array.flags.c_contiguous
        kind, parts = TYPES[np.dtype(array.dtype).str[1:]]
        return array.data.ptr, array.size * parts, getattr(self._nccl, kind)

    def _stream(self) -> int:
        pointer: int = self._cupy.cuda.get_current_stream().ptr
        return pointer
