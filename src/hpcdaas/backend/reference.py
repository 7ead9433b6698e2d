"""The primitives in NumPy and float64: the specification that other backends are tested against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Correction, FbpPlan, Float32, Float64
from hpcdaas.backend.reference_outliers import replace_outliers
from hpcdaas.backend.reference_views import ReferenceViews
from hpcdaas.backend.sorting import ReferenceSorting
from hpcdaas.backend.views import ViewSetup
from hpcdaas.errors import InputError


class ReferenceBackend:
    """Readable and slow."""

    name = "reference"
    gpu = None
    sorting = ReferenceSorting()
    threads = 1

    def work_bytes(self, columns: int, rows: int, angles: int, padding: float, eps: float) -> int:
        """See `hpcdaas.backend.Backend.work_bytes`."""
        return 16 * columns * (int(padding * columns) + rows * (columns + angles))

    def state(self) -> dict[str, Any]:
        """See `hpcdaas.backend.Backend.state`."""
        return {}

    def resume(self, name: str, state: dict[str, Any]) -> bool:
        """See `hpcdaas.backend.Backend.resume`."""
        return name == self.name

    def views(self, setup: ViewSetup) -> ReferenceViews:
        """See `hpcdaas.backend.Backend.views`."""
        return ReferenceViews(setup)

    def correct(self, data: NDArray[Any], correction: Correction) -> tuple[Float32, int]:
        """See `hpcdaas.backend.Backend.correct`."""
        c = correction
        a = c.weight.astype(np.float64)[:, None, None]
        following = np.minimum(c.group + 1, len(c.net) - 1)
        net = (1 - a) * c.net[c.group] + a * c.net[following]
        dead = net <= 0
        t = np.where(dead, 1.0, (data.astype(np.float64) - c.dark) / np.where(dead, 1.0, net))
        if not np.isfinite(t).all():
            frame = int(np.argwhere(~np.isfinite(t))[0, 0])
            raise InputError(f"Projection {frame} holds values that are not finite.")
        nonpositive = 0
        if c.log:
            nonpositive = int((t <= 0).sum())
            t = -np.log(np.where(t <= 0, c.floor, t))
        return t.astype(np.float32), nonpositive

    def outliers(self, frames: NDArray[Any], size: int, threshold: float, inner: slice) -> int:
        """See `hpcdaas.backend.Backend.outliers`."""
        return replace_outliers(frames, size, threshold, inner)

    def fbp(self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32) -> int:
        """Evaluate the definition: q is a trigonometric polynomial, evaluated at every pixel."""
        p, nonpositive = self.correct(data, correction or Correction.none(data.shape))
        n, padded = data.shape[2], plan.padded
        x = np.arange(n) - (n - 1) / 2
        k = np.arange(padded // 2 + 1)
        once = np.where((k == 0) | (k == padded // 2), 1.0, 2.0)
        total = np.zeros((data.shape[1], n, n))
        for j, (theta, weight) in enumerate(zip(plan.angles, plan.weights, strict=True)):
            spectrum = np.fft.rfft(p[j].astype(np.float64), padded, axis=1) * plan.response * once / padded
            # u = center + x cos θ + y sin θ, and so exp(2πi k u/P) is a product of one factor for each x and each y
            along_x = np.exp(2j * np.pi / padded * np.outer(k, x * np.cos(theta)))
            along_y = np.exp(2j * np.pi / padded * np.outer(plan.center + x * np.sin(theta), k))
            for row, line in enumerate(spectrum):
                total[row] += weight * ((line * along_y) @ along_x).real
        out[:] = total * plan.scale
        return nonpositive

    def filtered_backprojection(
        self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32
    ) -> int:
        """Filter rows, then interpolate linearly between q at whole columns (periodic in P)."""
        p, nonpositive = self.correct(data, correction or Correction.none(data.shape))
        n, padded = data.shape[2], plan.padded
        x = np.arange(n) - (n - 1) / 2
        q = np.fft.irfft(np.fft.rfft(p.astype(np.float64), padded, axis=2) * plan.response, padded, axis=2)
        total = np.zeros((data.shape[1], n, n))
        for j, (theta, weight) in enumerate(zip(plan.angles, plan.weights, strict=True)):
            u = plan.center + x[None, :] * np.cos(theta) + x[:, None] * np.sin(theta)
            left = np.floor(u).astype(int)
            t = u - left
            total += weight * ((1 - t) * q[j][:, left % padded] + t * q[j][:, (left + 1) % padded])
        out[:] = total * plan.scale
        return nonpositive

    def backproject(self, data: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.backproject`."""
        n, columns = out.shape[1], data.shape[2]
        total = np.zeros(out.shape)
        for j, theta in enumerate(angles):
            for column, t in _shares(n, columns, theta, center):
                total += t * data[j][:, column]
        out[:] = total

    def project(self, slices: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.project`."""
        n, columns = slices.shape[1], out.shape[2]
        for j, theta in enumerate(angles):
            line = np.zeros((len(slices), columns))
            for column, t in _shares(n, columns, theta, center):
                for i, one in enumerate(slices):
                    np.add.at(line[i], column.ravel(), (t * one).ravel())
            out[j] = line


def _shares(n: int, columns: int, theta: float, center: float) -> list[tuple[NDArray[np.int64], Float64]]:
    """Columns to the left and right of each pixel's ray, with the pixel's share in each; 0 off the detector."""
    x = np.arange(n) - (n - 1) / 2
    u = center + x[None, :] * np.cos(theta) + x[:, None] * np.sin(theta)
    left = np.floor(u).astype(np.int64)
    t = u - left
    shares = []
    for column, share in ((left, 1 - t), (left + 1, t)):
        inside = (column >= 0) & (column < columns)
        shares.append((np.where(inside, column, 0), np.where(inside, share, 0.0)))
    return shares
