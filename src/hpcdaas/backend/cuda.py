"""The primitives on a GPU of NVIDIA's: the one place that imports CuPy, and only when a backend is made.

What runs is in ``kernels/`` and in the modules beside this one, which ask a `Device` for what they need. Here that is
CuPy: its memory pools, NVRTC (which keeps what it has compiled, by text and architecture), cuFFT, and streams of their
own for copies to and from the device, through pinned memory.
"""

from __future__ import annotations

import importlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Correction, FbpPlan, Float32, Float64
from hpcdaas.backend.cpu import available_threads, outliers
from hpcdaas.backend.cpu_sorting import CpuSorting
from hpcdaas.backend.cuda_copies import Inbound, Outbound, hand_over
from hpcdaas.backend.cuda_device import BLOCK
from hpcdaas.backend.cuda_kernels import source
from hpcdaas.backend.cuda_nccl import CudaGpu
from hpcdaas.backend.cuda_tomo import CudaTomo
from hpcdaas.backend.cuda_views import CudaViews
from hpcdaas.backend.views import ViewSetup
from hpcdaas.errors import InputError

#: In which variables launchers say which of a node's processes this one is.
LOCAL_RANK = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")
#: FFT plans that are kept, with their room.
PLANS = 12


def load() -> Any:
    """Import CuPy, where it can be used.

    Raises
    ------
    InputError
        Without CuPy, a driver or a GPU; says what is missing.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise InputError(
            f"The backend 'cuda' needs CuPy: {error}.",
            "pip install 'hpcdaas[cuda13]', with a driver for CUDA 12: 'hpcdaas[cuda12]'; or use --backend cpu.",
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        importlib.import_module("cupy.cuda.cufft")
    except (cupy.cuda.runtime.CUDARuntimeError, ImportError) as error:
        raise InputError(
            f"CuPy is here, and no GPU that it can use: {error}.",
            "Install NVIDIA's driver and the libraries of CUDA (nvidia-smi shows the GPU), or use --backend cpu.",
        ) from error
    if not count:
        raise InputError("This process sees no GPU.", "Ask for one (SLURM: --gres=gpu:1), or use --backend cpu.")
    return cupy


def local_rank(environment: Mapping[str, str] | None = None) -> int:
    """Say which of the processes on this node this one is; each takes a GPU of those that it sees."""
    found = os.environ if environment is None else environment
    for name in LOCAL_RANK:
        if found.get(name, "").isdigit():
            return int(found[name])
    return 0


class CudaBackend:
    """One GPU of this node; see `hpcdaas.backend.Backend`.

    Parameters
    ----------
    threads : int, optional
        Of the processor, for what else a run does.
    """

    name = "cuda"
    sorting = CpuSorting()

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or available_threads()
        self.device = CudaDevice(load(), local_rank())
        self.tomo = CudaTomo(self.device)

    @cached_property
    def gpu(self) -> Any:
        """See `hpcdaas.backend.Backend.gpu`."""
        return self.device.joint()

    def work_bytes(self, columns: int, rows: int, angles: int, padding: float, eps: float) -> int:
        """See `hpcdaas.backend.Backend.work_bytes`: pinned copies of rows and slices on their way."""
        return 2 * 4 * rows * columns * (angles + columns)

    def state(self) -> dict[str, Any]:
        """See `hpcdaas.backend.Backend.state`."""
        return {"device": self.device.name}

    def resume(self, name: str, state: dict[str, Any]) -> bool:
        """See `hpcdaas.backend.Backend.resume`."""
        return name == self.name and state.get("device") == self.device.name

    def views(self, setup: ViewSetup) -> CudaViews:
        """See `hpcdaas.backend.Backend.views`."""
        return CudaViews(self.device, setup)

    def outliers(self, frames: NDArray[Any], size: int, threshold: float, inner: slice) -> int:
        """See `hpcdaas.backend.Backend.outliers`: by the processor, where the counts are."""
        return outliers(frames, size, threshold, inner, self.threads)

    def correct(self, data: NDArray[Any], correction: Correction) -> tuple[Float32, int]:
        """See `hpcdaas.backend.Backend.correct`."""
        return self.tomo.correct(data, correction)

    def fbp(self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32) -> int:
        """See `hpcdaas.backend.Backend.fbp`."""
        return self.tomo.fbp(data, correction, plan, out)

    def filtered_backprojection(
        self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32
    ) -> int:
        """See `hpcdaas.backend.Backend.filtered_backprojection`."""
        return self.tomo.filtered_backprojection(data, correction, plan, out)

    def backproject(self, data: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.backproject`."""
        self.tomo.backproject(data, angles, center, out)

    def project(self, slices: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.project`."""
        self.tomo.project(slices, angles, center, out)


class CudaDevice:
    """See `hpcdaas.backend.cuda_device.Device`.

    Parameters
    ----------
    cupy : module
    rank : int
        Of this process on its node.
    """

    def __init__(self, cupy: Any, rank: int = 0) -> None:
        self.xp = cupy
        runtime = cupy.cuda.runtime
        self._device = cupy.cuda.Device(rank % runtime.getDeviceCount())
        self._device.use()
        self.name = runtime.getDeviceProperties(self._device.id)["name"].decode()
        self.cache = int(self._device.attributes["L2CacheSize"])
        self._kernels: dict[tuple[Any, ...], Any] = {}
        self._plans: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self.copies_in = cupy.cuda.Stream(non_blocking=True)
        self.copies_out = cupy.cuda.Stream(non_blocking=True)

    def free(self) -> int:
        """See `hpcdaas.backend.cuda_device.Device.free`."""
        free, _ = self.xp.cuda.runtime.memGetInfo()
        return int(free) + int(self.xp.get_default_memory_pool().free_bytes())

    def release(self) -> None:
        """See `hpcdaas.backend.cuda_device.Device.release`."""
        self._plans.clear()
        self.xp.get_default_memory_pool().free_all_blocks()

    def synchronize(self) -> None:
        """Wait until all that was started has ended."""
        self._device.synchronize()

    def joint(self) -> CudaGpu:
        """Give what this device is joined with others by."""
        return CudaGpu(self.xp, self._device.id, self.synchronize)

    def kernel(self, file: str, **defines: Any) -> Any:
        """See `hpcdaas.backend.cuda_device.Device.kernel`."""
        key = (file, *sorted(defines.items()))
        if key not in self._kernels:
            macros = tuple(f"-D{name}={value}" for name, value in sorted(defines.items()))
            module = self.xp.RawModule(code=source(file), options=("-std=c++17", *macros))
            self._kernels[key] = module.get_function(file)
        return self._kernels[key]

    def launch(self, kernel: Any, grid: tuple[int, ...], *arguments: Any) -> None:
        """See `hpcdaas.backend.cuda_device.Device.launch`."""
        kernel(grid, BLOCK, tuple(np.uintp(0) if given is None else given for given in arguments))

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """See `hpcdaas.backend.cuda_device.Device.record`. Where the driver refuses, `work` itself is given."""
        stream = self.xp.cuda.Stream(non_blocking=True)
        try:
            with stream:
                stream.begin_capture()
                try:
                    work()
                finally:
                    graph = stream.end_capture()
        except self.xp.cuda.runtime.CUDARuntimeError:
            return work
        start: Callable[[], None] = graph.launch
        return start

    def empty(self, shape: Any, dtype: Any) -> Any:
        """See `hpcdaas.backend.cuda_device.Device.empty`."""
        return self.xp.empty(shape, dtype)

    def zeros(self, shape: Any, dtype: Any) -> Any:
        """See `hpcdaas.backend.cuda_device.Device.zeros`."""
        return self.xp.zeros(shape, dtype)

    def is_here(self, array: Any) -> bool:
        """See `hpcdaas.backend.cuda_device.Device.is_here`."""
        return isinstance(array, self.xp.ndarray)

    def put(self, array: Any) -> Any:
        """See `hpcdaas.backend.cuda_device.Device.put`."""
        return array if self.is_here(array) else self.xp.asarray(np.ascontiguousarray(array))

    def get(self, array: Any, out: NDArray[Any]) -> None:
        """See `hpcdaas.backend.cuda_device.Device.get`."""
        if out.flags.c_contiguous:
            array.get(out=out)
        else:
            out[...] = array.get()

    def coming(self, pieces: Iterable[NDArray[Any]]) -> Iterator[Any]:
        """See `hpcdaas.backend.cuda_device.Device.coming`."""
        return hand_over(pieces, (Inbound(self), Inbound(self)))

    def going(self) -> Outbound:
        """See `hpcdaas.backend.cuda_device.Device.going`."""
        return Outbound(self)

    def fft(self, array: Any, axes: int, inverse: bool) -> None:
        """See `hpcdaas.backend.cuda_device.Device.fft`."""
        cufft = self.xp.cuda.cufft
        key = (array.shape, axes)
        if key not in self._plans:
            over = tuple(range(array.ndim - axes, array.ndim))
            make = importlib.import_module("cupyx.scipy.fft").get_fft_plan
            self._plans[key] = make(array, axes=over, value_type="C2C")
            while len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        self._plans[key].fft(array, array, cufft.CUFFT_INVERSE if inverse else cufft.CUFFT_FORWARD)

    def is_pinned(self, array: NDArray[Any]) -> bool:
        """Say whether the host's memory can be copied from and to while others work."""
        runtime = self.xp.cuda.runtime
        return bool(runtime.pointerGetAttributes(array.ctypes.data).type == 1)  # cudaMemoryTypeHost

    def pinned(self, shape: Any, dtype: Any) -> NDArray[Any]:
        """Give an array of the host whose copies don't wait."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = self.xp.cuda.alloc_pinned_memory(max(size, 1))
        out: NDArray[Any] = np.frombuffer(memory, np.uint8, size).view(dtype).reshape(shape)
        return out
