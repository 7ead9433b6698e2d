"""What gridding needs beside the data: the kernel, its transform, and where lines go; see ``cpp/src/fbp.cpp``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from hpcdaas.backend import FbpPlan, Float32, Float64
from hpcdaas.backend.cpu import gridding
from hpcdaas.backend.cuda_device import Device

#: Columns of a kernel's table (kernels/gather.cu).
WIDEST = 8


@dataclass(frozen=True)
class KaiserBessel:
    """Kernel of a width in grid points; β after P. J. Beatty, D. G. Nishimura, J. M. Pauly (2005), eq. 5."""

    width: int
    oversampling: float

    @property
    def beta(self) -> float:
        """Its shape."""
        reach = self.width / self.oversampling * (self.oversampling - 0.5)
        return float(np.pi * np.sqrt(reach**2 - 0.8))

    def __call__(self, t: Float64) -> Float64:
        """Give the kernel at t grid points from its middle."""
        v = np.maximum(1 - 4 * t**2 / self.width**2, 0)
        return np.asarray(np.i0(self.beta * np.sqrt(v)) / np.i0(self.beta))

    def transform(self, x: Float64) -> Float64:
        """Give its Fourier transform at x cycles per grid point, which must be less than where it falls to 0."""
        root = np.sqrt(self.beta**2 - (np.pi * self.width * x) ** 2)
        return np.asarray(self.width / np.i0(self.beta) * np.sinh(root) / root)

    def polynomial(self) -> Float32:
        """Give the kernel at each grid point beside a sample, (power, point), the highest power first.

        In the sample's offset z ∈ [−1, 1] from the middle between grid points, interpolated at Chebyshev nodes.
        """
        degree = self.width + 1
        table = np.zeros((degree + 1, WIDEST), np.float32)
        for point in range(self.width):
            found = Chebyshev.interpolate(self._beside, degree, args=(point,))
            table[:, point] = found.convert(kind=Polynomial).coef[::-1]
        return table

    def _beside(self, z: Float64, point: int) -> Float64:
        return self((z + 1) / 2 - self.width / 2 + point)

    def roll_off(self, grid: int, n: int) -> Float32:
        """Give what rows and columns of a slice are multiplied with, the sign included that moves the grid's middle."""
        c = np.arange(n) - n // 2
        sign = np.where((c % 2 != 0) & (grid % 2 == 0), -1.0, 1.0)
        return np.asarray(sign / self.transform(c / grid), np.float32)


@dataclass(frozen=True)
class Gridding:
    """One geometry on the device.

    Attributes
    ----------
    width, grid : int
        Points of the kernel, and of the grid, along an axis.
    padded : int
        Length that rows are padded to.
    arrays : dict
        What kernels are given, by their names for it.
    """

    width: int
    grid: int
    padded: int
    arrays: dict[str, Any]

    @classmethod
    def make(cls, device: Device, n: int, plan: FbpPlan) -> Gridding:
        """Prepare slices of n × n pixels."""
        width, grid = gridding(n, plan.eps)
        kernel, padded = KaiserBessel(width, grid / n), plan.padded
        cosine, sine = np.cos(plan.angles), np.sin(plan.angles)
        # an even slice's axis lies half a pixel before its pixel n/2
        shift = plan.center + (0.0 if n % 2 else 0.5) * (cosine + sine)
        k = np.arange(1, padded // 2 + 1)
        response = np.empty(padded // 2 + 1)
        response[0], response[1:] = plan.response[0], plan.response[1:] / (2 * np.sin(np.pi * k / padded))
        response[-1] /= 2
        arrays = {
            "step_x": cosine * grid / padded,
            "step_y": sine * grid / padded,
            "turn": (shift + 0.5) / padded,
            "weight": (plan.weights * plan.scale / padded).astype(np.float32),
            "response": response.astype(np.float32),
            "polynomial": kernel.polynomial(),
            "factor": kernel.roll_off(grid, n),
        }
        return cls(width, grid, padded, {name: device.put(array) for name, array in arrays.items()})


def difference_filter(plan: FbpPlan) -> Any:
    """Give H/(1 − exp(−2πik/P))/P for k = 0 … P − 1, complex64: the filter for first differences of rows."""
    padded = plan.padded
    k = np.arange(padded)
    h = plan.response[np.minimum(k, padded - k)] / padded
    factor = np.empty(padded, np.complex128)
    factor[0] = h[0]
    factor[1:] = h[1:] * (0.5 - 0.5j / np.tan(np.pi * k[1:] / padded))
    return factor.astype(np.complex64)
