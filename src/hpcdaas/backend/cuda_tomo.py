"""The primitives of tomography on a GPU: which kernels run in which order; they say themselves what they do.

Rows of the detector come a few at once, in any amount: while some are worked on, the next are copied to the device and
slices back to the host. Where memory doesn't suffice, fewer come at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend import Correction, FbpPlan, Float32, Float64
from hpcdaas.backend.cuda_device import F32, F64, I32, Device, tiles
from hpcdaas.backend.cuda_gridding import Gridding, difference_filter
from hpcdaas.backend.cuda_pieces import COUNTS
from hpcdaas.errors import HpcdaasError, InputError

#: Pairs of slices that share the work of finding places and weights.
PAIRS = 4
#: Blocks along z that a launch may have, at most.
GRID = 65535
#: Bytes of projections that are corrected at once.
AT_ONCE = 64 << 20

Work = Callable[[Any, int], Any]


class CudaTomo:
    """See `hpcdaas.backend.Backend`; arrays are NumPy's.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._known: dict[tuple[Any, ...], Gridding] = {}

    def correct(self, data: NDArray[Any], correction: Correction) -> tuple[Float32, int]:
        """See `hpcdaas.backend.Backend.correct`."""
        data, device, out = _stored(data), self._device, np.empty(data.shape, np.float32)
        angles, rows, columns = data.shape
        flats, some = Flats(device, correction, data), min(max(1, AT_ONCE // max(1, data[:1].nbytes)), GRID)
        starts, going = range(0, angles, some), device.going()
        kernel = device.kernel("correct", COUNTS=flats.counts)
        for first, there in zip(starts, device.coming(data[a : a + some] for a in starts), strict=True):
            done = device.empty(there.shape, F32)
            device.launch(
                kernel, (tiles(columns), tiles(rows), len(there)), there, *flats.arguments(0, first), I32(rows),
                I32(columns), I32(first), done, *flats.found,
            )  # fmt: skip
            going.send(done, out[first : first + some])
        going.finish()
        return out, flats.check()

    def fbp(self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32) -> int:
        """See `hpcdaas.backend.Backend.fbp`."""
        data, device = _stored(data), self._device
        g, flats = self.gridding(data.shape[2], plan), Flats(device, correction, data)
        self._by_rows(data, out, lambda there, first: self.fbp_block(there, first, g, flats), flats)
        return flats.check()

    def fbp_block(self, there: Any, first: int, g: Gridding, flats: Flats) -> Any:
        """Give slices (row, n, n) of rows from `first` on that are on the device: (angle, row, n)."""
        device, arrays, half = self._device, g.arrays, g.padded // 2
        angles, rows, n = there.shape
        pairs, edge = -(-rows // 2), -(-g.grid // 16)
        lines, sums = self._differences(there, flats, first, g.padded)
        samples = device.empty((angles, 2 * half + 1, pairs), np.complex64)
        device.launch(
            device.kernel("spectrum", PAIRS=pairs), (-(-(2 * half + 1) // 256), angles), lines, sums, arrays["turn"],
            arrays["weight"], arrays["response"], I32(half), samples,
        )  # fmt: skip
        grid = device.empty((pairs, g.grid, g.grid), np.complex64)
        device.launch(
            device.kernel("gather", PAIRS=pairs, WIDTH=g.width), (edge, edge), samples, arrays["step_x"],
            arrays["step_y"], I32(angles), I32(half), arrays["polynomial"], I32(g.grid), grid,
        )  # fmt: skip
        device.fft(grid, 2, inverse=True)
        slices = device.empty((rows, n, n), F32)
        device.launch(
            device.kernel("image"), (tiles(n), tiles(n), pairs), grid, arrays["factor"], I32(g.grid), I32(n), I32(rows),
            slices,
        )  # fmt: skip
        return slices

    def filtered_backprojection(
        self, data: NDArray[Any], correction: Correction | None, plan: FbpPlan, out: Float32
    ) -> int:
        """See `hpcdaas.backend.Backend.filtered_backprojection`."""
        data, device = _stored(data), self._device
        angles, padded, n = len(data), plan.padded, data.shape[2]
        flats, rays = Flats(device, correction, data), _Rays(device, plan.angles, plan.center)
        factor, weight = (device.put(a) for a in (difference_filter(plan), (plan.weights * plan.scale).astype(F32)))

        def work(there: Any, first: int) -> Any:
            lines, sums = self._differences(there, flats, first, padded)
            grid = (-(-padded // 256), lines.shape[1], angles)
            device.launch(device.kernel("filter"), grid, lines, sums, factor, weight, I32(padded))
            device.fft(lines, 1, inverse=True)
            return self._rays_to_pixels(lines, rays, padded, n, there.shape[1])

        self._by_rows(data, out, work, flats)
        return flats.check()

    def backproject(self, data: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.backproject`."""
        device, rays = self._device, _Rays(self._device, angles, center)

        def work(there: Any, first: int) -> Any:
            count, rows, columns = there.shape
            lines = device.zeros((count, -(-rows // 2), columns), np.complex64)
            parts = lines.view(F32).reshape(*lines.shape, 2)
            parts[..., 0] = there[:, ::2]
            parts[:, : rows // 2, :, 1] = there[:, 1::2]
            return self._rays_to_pixels(lines, rays, 0, out.shape[1], rows)

        self._by_rows(data, out, work)

    def project(self, slices: Float32, angles: Float64, center: float, out: Float32) -> None:
        """See `hpcdaas.backend.Backend.project`."""
        device, xp, rays = self._device, self._device.xp, _Rays(self._device, angles, center)
        upright = np.abs(np.sin(angles)) > np.abs(np.cos(angles))
        which = [device.put(np.flatnonzero(chosen).astype(I32)) for chosen in (~upright, upright)]
        n, columns = slices.shape[1], out.shape[2]

        def work(there: Any, first: int) -> Any:
            rows = len(there)
            lines = device.empty((len(angles), rows, columns), F32)
            turned = device.empty(there.shape, F32)
            turned[...] = xp.swapaxes(there, 1, 2)
            for image, along, across, those in (
                (there, rays.cosine, rays.sine, which[0]),
                (turned, rays.sine, rays.cosine, which[1]),
            ):
                if len(those):
                    device.launch(
                        device.kernel("project", SLICES=PAIRS),
                        (tiles(columns), -(-len(those) // 8), -(-rows // PAIRS)), image, along, across, those,
                        I32(len(those)), I32(n), I32(rows), I32(columns), F64(center), lines,
                    )  # fmt: skip
            return lines

        self._by_rows(slices, out, work, axis=0, out_axis=1)

    def gridding(self, n: int, plan: FbpPlan) -> Gridding:
        """Give what gridding needs; the last one is kept."""
        numbers = (plan.angles, plan.weights, plan.response)
        key = (n, plan.center, plan.scale, plan.eps, *(array.tobytes() for array in numbers))
        if key not in self._known:
            self._known = {key: Gridding.make(self._device, n, plan)}
        return self._known[key]

    def _differences(self, there: Any, flats: Flats, first: int, padded: int) -> tuple[Any, Any]:
        """Give spectra of rows' differences (angle, pair, padded), and the rows' sums (angle, pair)."""
        angles, rows, columns = there.shape
        pairs = -(-rows // 2)
        lines = self._device.empty((angles, pairs, padded), np.complex64)
        sums = self._device.empty((angles, pairs), np.complex64)
        self._device.launch(
            self._device.kernel("differences", COUNTS=flats.counts), (pairs, angles), there, *flats.arguments(first),
            I32(rows), I32(columns), I32(padded), lines, sums, *flats.found,
        )  # fmt: skip
        self._device.fft(lines, 1, inverse=False)
        return lines, sums

    def _rays_to_pixels(self, lines: Any, rays: _Rays, period: int, n: int, rows: int) -> Any:
        angles, pairs, columns = lines.shape
        slices = self._device.empty((rows, n, n), F32)
        together = min(pairs, 2)
        self._device.launch(
            self._device.kernel("backproject", PAIRS=together), (tiles(n), tiles(n), -(-pairs // together)), lines,
            rays.cosine, rays.sine, I32(angles), I32(pairs), I32(columns), I32(period), F64(rays.center), I32(n),
            I32(rows), slices,
        )  # fmt: skip
        return slices

    def _by_rows(
        self,
        data: NDArray[Any],
        out: Float32,
        work: Work,
        flats: Flats | None = None,
        axis: int = 1,
        out_axis: int = 0,
    ) -> None:
        """Send rows through, as many at once as there is memory for.

        Raises
        ------
        HpcdaasError
            If the device hasn't the memory for two.
        """
        rows, pairs, row = data.shape[axis], PAIRS, 0
        while row < rows:
            starts, going = range(row, rows, 2 * pairs), self._device.going()
            try:
                coming = self._device.coming(_part(data, axis, a, 2 * pairs) for a in starts)
                for first, there in zip(starts, coming, strict=True):
                    if flats:
                        flats.begin()
                    going.send(work(there, first), _part(out, out_axis, first, 2 * pairs))
                    row = min(rows, first + 2 * pairs)
                going.finish()
            except MemoryError as error:
                going.finish()
                if flats:
                    flats.go_back()
                self._device.release()
                if pairs == 1:
                    raise HpcdaasError(
                        "The GPU has too little memory for two slices.", "Use one with more, or --backend cpu."
                    ) from error
                pairs //= 2


class Flats:
    """The correction on the device, and what is found in the data."""

    def __init__(self, device: Device, correction: Correction | None, data: NDArray[Any]) -> None:
        self.counts, self._rows, self._c = COUNTS[data.dtype.str[1:]], data.shape[1], correction
        self.found = device.zeros(1, np.uint64), device.put(np.full(1, np.iinfo(I32).max, I32))
        self.begin()
        if correction is not None:
            c = correction
            self._frames = [device.put(np.ascontiguousarray(a, F32)) for a in (c.dark, c.net)]
            self._group, self._weight = device.put(c.group.astype(I32)), device.put(c.weight.astype(F32))

    def arguments(self, first_row: int, first_angle: int = 0) -> tuple[Any, ...]:
        """Give the correction as kernels take it."""
        c = self._c
        if c is None:
            return None, None, None, None, I32(0), I32(0), I32(0), I32(0), F32(0)
        of_angles = self._group[first_angle:], self._weight[first_angle:]
        sizes = I32(len(c.net)), I32(first_row), I32(self._rows)
        return *self._frames, *of_angles, *sizes, I32(c.log), F32(c.floor)

    def begin(self) -> None:
        """Remember what was found so far."""
        self._before = [array.copy() for array in self.found]

    def go_back(self) -> None:
        """Forget what was found since then: the same data come again."""
        for array, before in zip(self.found, self._before, strict=True):
            array[...] = before

    def check(self) -> int:
        """Give how many values weren't positive.

        Raises
        ------
        InputError
            If a value is not finite; names the frame.
        """
        nonpositive, wrong = (int(array.tolist()[0]) for array in self.found)
        if wrong < np.iinfo(I32).max:
            raise InputError(f"Projection {wrong} holds values that are not finite.")
        return nonpositive


class _Rays:
    """Angles on the device."""

    def __init__(self, device: Device, angles: Float64, center: float) -> None:
        self.cosine, self.sine = device.put(np.cos(angles)), device.put(np.sin(angles))
        self.center = center


def _stored(data: NDArray[Any]) -> NDArray[Any]:
    return data if data.dtype.str[1:] in COUNTS and data.dtype.isnative else data.astype(np.float32)


def _part(array: NDArray[Any], axis: int, first: int, count: int) -> NDArray[Any]:
    return array[first : first + count] if axis == 0 else array[:, first : first + count]
