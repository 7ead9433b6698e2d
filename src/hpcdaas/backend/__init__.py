"""Arrays and primitives: the hot loops, each with a NumPy reference and faster bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.sorting import Sorting
from hpcdaas.backend.views import Views, ViewSetup
from hpcdaas.errors import InputError, nearest

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

#: What a transmission at or below zero is set to before the logarithm: one count of a 16-bit detector.
FLOOR = 2.0**-16


@dataclass(frozen=True)
class Correction:
    """Flat field and logarithm, applied by kernels while they load raw counts.

    t = (counts − dark) / ((1 − a) net[k] + a net[k+1]) with k, a per angle; a pixel whose net
    flat is not positive is dead and gets t = 1. With `log`, p = −ln t, t ≤ 0 becoming `floor`.

    Attributes
    ----------
    dark : ndarray, (row, column), float32
        Mean dark.
    net : ndarray, (group, row, column), float32
        Mean flat minus dark, for each group of flats in time order.
    group : ndarray, (angle,), int32
        k of each angle.
    weight : ndarray, (angle,), float32
        a of each angle, 0 to 1; 0 where k is the last group.
    log : bool
        Whether −ln is taken.
    floor : float
        Transmission that stands in for values at or below zero.
    """

    dark: Float32
    net: Float32
    group: NDArray[np.int32]
    weight: Float32
    log: bool = False
    floor: float = FLOOR

    @classmethod
    def none(cls, shape: tuple[int, int, int]) -> Correction:
        """Give the correction that only changes the type of data of shape (angle, row, column)."""
        angles, *frame = shape
        return cls(
            np.zeros(frame, np.float32),
            np.ones((1, *frame), np.float32),
            np.zeros(angles, np.int32),
            np.zeros(angles, np.float32),
        )


@dataclass(frozen=True)
class FbpPlan:
    """What filtered back-projection needs beside the data; see `hpcdaas.tomo.fbp`.

    Attributes
    ----------
    angles, weights : ndarray, (angle,), float64
        θ and w_θ, radians.
    response : ndarray, (P/2 + 1,), float64
        H, the filter's frequency response at k/P cycles per pixel.
    center : float
        Rotation centre, columns.
    scale : float
        Factor on the result: 1 / pixel size.
    eps : float
        Relative error asked for.
    """

    angles: Float64
    weights: Float64
    response: Float64
    center: float
    scale: float = 1.0
    eps: float = 1e-3

    @property
    def padded(self) -> int:
        """P, the length that rows are padded to."""
        return 2 * (len(self.response) - 1)


def next_smooth(n: int) -> int:
    """Give the smallest even number 2^a 3^b 5^c 7^d that is at least n: a length for fast transforms."""
    length = max(2, n + n % 2)
    while True:
        rest = length
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 2


class Backend(Protocol):
    """The primitives that algorithms are written against."""

    name: str
    threads: int

    @property
    def gpu(self) -> Any:
        """What ranks are joined by (`hpcdaas.parallel.on_device.Gpu`), where arrays are on one; else None."""
        ...

    @property
    def sorting(self) -> Sorting:
        """The primitives of steps that sort the columns of sinograms."""
        ...

    def work_bytes(self, columns: int, rows: int, angles: int, padding: float, eps: float) -> int:
        """Say how much memory the primitives work in for a batch of rows, beside data and slices."""
        ...

    def state(self) -> dict[str, Any]:
        """Give what the last bits of results depend on, JSON-able: it goes into checkpoints."""
        ...

    def resume(self, name: str, state: dict[str, Any]) -> bool:
        """Work as a backend with this name and state did; false where that isn't possible here."""
        ...

    def views(self, setup: ViewSetup) -> Views:
        """Give the primitives of ptychography for views of one kind."""
        ...

    def outliers(self, frames: NDArray[Any], size: int, threshold: float, inner: slice) -> int:
        """Replace pixels above the median around them by more than a share of it with that median, in place.

        Pixels at a frame's edge are repeated beyond it; a pixel with a value around it that is not a number stays.

        Parameters
        ----------
        frames : ndarray, (frame, row, column), any integer or float type
        size : int
            Edge of the neighbourhood, odd.
        threshold : float
            The share.
        inner : slice
            Rows in which replaced pixels are counted.

        Returns
        -------
        int
            How many were replaced there.
        """
        ...

    def correct(self, data: NDArray[Any], correction: Correction) -> tuple[Float32, int]:
        """Apply a correction to data (angle, row, column) of any integer or float type.

        Returns
        -------
        corrected : ndarray, float32, of the data's shape
        nonpositive : int
            How many values were at or below zero before the logarithm.

        Raises
        ------
        InputError
            If a value is not finite; names the frame.
        """
        ...

    def fbp(self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32) -> int:
        """Filter and back-project by gridding: (angle, row, column) into out (row, n, n); gives nonpositive."""
        ...

    def filtered_backprojection(
        self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32
    ) -> int:
        """Filtered back-projection by the ray sum over pixels, linear interpolation; gives nonpositive."""
        ...

    def backproject(self, data: Float32, angles: Float64, center: float, out: Float32) -> None:
        """Ray sum over pixels, linear interpolation, zero off the detector: (angle, row, column) into (row, n, n)."""
        ...

    def project(self, slices: Float32, angles: Float64, center: float, out: Float32) -> None:
        """Line integrals of slices (row, n, n) into (angle, row, column): the adjoint of `backproject`."""
        ...


def get_backend(name: str = "cpu", threads: int | None = None) -> Backend:
    """Give a backend by name: ``cpu``, ``cuda`` or ``reference``; `hpcdaas.backend.auto` chooses one.

    Raises
    ------
    InputError
        If there is none of that name here, or it can't be used; says what is missing.
    """
    if name == "cpu":
        from hpcdaas.backend.cpu import CpuBackend

        return CpuBackend(threads)
    if name == "cuda":
        from hpcdaas.backend.cuda import CudaBackend

        return CudaBackend(threads)
    if name == "reference":
        from hpcdaas.backend.reference import ReferenceBackend

        return ReferenceBackend()
    raise InputError(f"There is no backend '{name}' in this version.", nearest(name, ["cpu", "cuda"]))


def default_threads(sharing: int = 1) -> int:
    """Count the threads of this process: the cores that it may use, over the ranks that share them."""
    from hpcdaas.backend.cpu import available_threads

    return available_threads(sharing)
