"""The primitives of ptychography in NumPy and complex128: the specification that other backends are tested against."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcdaas.backend.views import (
    Batch,
    Beside,
    Complex64,
    Int32,
    LsqFound,
    LsqStep,
    Misfit,
    Noise,
    OnHost,
    PieStep,
    Sums,
    Touched,
    ViewSetup,
)

Complex128 = NDArray[np.complex128]
Float64 = NDArray[np.float64]

#: Light that the Poisson model has everywhere, counts: a dark model is not infinitely wrong.
BACKGROUND = 0.1


class ReferenceViews(OnHost):
    """See `hpcdaas.backend.views.Views`: readable and slow.

    Parameters
    ----------
    setup : ViewSetup
    """

    def __init__(self, setup: ViewSetup) -> None:
        self.setup = setup

    def forward(self, waves: Complex128) -> Complex128:
        """Give the waves (mode, n, n) at the detector, direct beam at n // 2."""
        if self.setup.near is None:
            return np.fft.fftshift(np.fft.fft2(waves, norm="ortho"), axes=(-2, -1))
        return np.fft.ifft2(self.setup.near * np.fft.fft2(waves))

    def backward(self, waves: Complex128) -> Complex128:
        """Give the waves (mode, n, n) at the sample: the adjoint of `forward`."""
        if self.setup.near is None:
            return np.fft.ifft2(np.fft.ifftshift(waves, axes=(-2, -1)), norm="ortho")
        return np.fft.ifft2(self.setup.near.conj() * np.fft.fft2(waves))

    def asked(self, frame: NDArray[Any], waves: Complex128, noise: Noise) -> tuple[Float64, Misfit]:
        """Give the factor f of the change f·Ψ that a frame asks for (0 where it isn't used), and the misfit."""
        counts = frame.astype(np.float64)
        used = self.setup.good & (counts >= 0) & (counts < self.setup.limit)
        counts = np.where(used, counts, 0)
        y = (np.abs(waves) ** 2).sum(axis=0)
        distance = (np.sqrt(counts) - np.sqrt(y)) ** 2
        if noise == "amplitude":
            factor = np.sqrt(counts / np.maximum(y, 1e-30)) - 1
            likelihood = distance
        elif noise == "gaussian":
            factor = (counts - y) / (1 + counts)
            likelihood = (counts - y) ** 2 / (2 * (1 + counts))
        else:
            factor = counts / (y + BACKGROUND) - 1
            likelihood = y + BACKGROUND - counts * np.log(y + BACKGROUND)
        misfit = Misfit(*(float(np.sum(used * part)) for part in (distance, counts, likelihood)))
        return np.where(used, factor, 0), misfit

    def changes(self, batch: Batch, view: int, object_: Any, probe: Any, noise: Noise) -> tuple[Complex128, Misfit]:
        """Give χ (mode, n, n) of a view."""
        waves = self.forward(self._exit(batch, view, object_, probe))
        factor, misfit = self.asked(batch.frames[batch.frame[view]], waves, noise)
        return self.backward(factor * waves), misfit

    def gradient(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise, sums: Sums) -> Misfit:
        """See `hpcdaas.backend.views.Views.gradient`."""
        total = Misfit(0, 0, 0)
        for view in range(len(batch)):
            chi, misfit = self.changes(batch, view, object_, probe, noise)
            self._add(batch, view, object_, probe, chi, sums)
            total += misfit
        return total

    def evaluate(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise) -> Misfit:
        """See `hpcdaas.backend.views.Views.evaluate`."""
        return self.gradient(batch, object_, probe, noise, Sums())

    def project(
        self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, how: tuple[float, float, float],
        sums: Sums,
    ) -> Misfit:  # fmt: skip
        """See `hpcdaas.backend.views.Views.project`."""
        a, b, c = how
        total = Misfit(0, 0, 0)
        for view, slot in enumerate(_slots(batch)):
            exit_wave, psi = self._exit(batch, view, object_, probe), waves[slot].astype(np.complex128)
            there = self.forward(c * exit_wave + (1 - c) * psi)
            factor, misfit = self.asked(batch.frames[batch.frame[view]], there, "amplitude")
            waves[slot] = (1 - a - b) * psi + a * exit_wave + b * self.backward((1 + factor) * there)
            self._add(batch, view, object_, probe, waves[slot], sums)
            total += misfit
        return total

    def exit_waves(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64) -> None:
        """See `hpcdaas.backend.views.Views.exit_waves`."""
        for view, slot in enumerate(_slots(batch)):
            waves[slot] = self._exit(batch, view, object_, probe)

    def overlap(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, sums: Sums) -> None:
        """See `hpcdaas.backend.views.Views.overlap`."""
        for view, slot in enumerate(_slots(batch)):
            self._add(batch, view, object_, probe, waves[slot], sums)

    def pie(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: PieStep,
        beside: Beside | None = None,
    ) -> Misfit:  # fmt: skip
        """See `hpcdaas.backend.views.Views.pie`."""
        total = Misfit(0, 0, 0)
        for number, group in enumerate(_groups(batch, bounds)):
            sums = Sums.zeros(object_, probe)
            total += self.gradient(group, object_, probe, "amplitude", sums)
            light = self._complete(number, sums, probe, beside, bool(step.object_step), bool(step.probe_step))
            o, s, p, t = _arrays(sums)
            if step.object_step:
                alpha = step.object_alpha
                object_ += step.object_step * o / _safe((1 - alpha) * s + alpha * light)
            if step.probe_step:
                alpha = step.probe_alpha
                probe += step.probe_step * p / _safe((1 - alpha) * t + alpha * t.max())
        return total

    def lsq(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: LsqStep, sums: Sums | None,
        beside: Beside | None = None,
    ) -> LsqFound:  # fmt: skip
        """See `hpcdaas.backend.views.Views.lsq`."""
        total, steps = Misfit(0, 0, 0), []
        for number, group in enumerate(_groups(batch, bounds)):
            here = Sums.zeros(object_, probe)
            total += self.gradient(group, object_, probe, "amplitude", here)
            count = beside.all[number] if beside else len(group)
            here.probe[:] /= count  # type: ignore[index]
            light = self._complete(number, here, probe, beside, step.move_object, step.move_probe, weight=False)
            o, s, probe_move, _ = _arrays(here)
            object_move = o / np.sqrt(s**2 + (step.damping * light) ** 2 + 1e-30)
            these = [self._step(group, i, object_, probe, object_move, probe_move, step) for i in range(len(group))]
            steps += these
            along_object, along_probe = (float(x) for x in np.sum([(0.0, 0.0), *these], axis=0) / count)
            if beside:
                along_object, along_probe = beside.steps(number, along_object, along_probe)
            if sums is not None and sums.object is not None and sums.weight is not None:
                sums.object[:] += o
                sums.weight[:] += s
            elif step.move_object:
                object_ += along_object * object_move
            if step.move_probe:
                probe += along_probe * probe_move
        return LsqFound(total, *(float(x) for x in np.mean(steps or [(0.0, 0.0)], axis=0)))

    def _complete(
        self, number: int, sums: Sums, probe: Any, beside: Beside | None, moves_object: bool, moves_probe: bool,
        weight: bool = True,
    ) -> float:  # fmt: skip
        """Complete a group's sums with what other ranks have of it; give the largest Σ|P|²."""
        assert sums.weight is not None
        if beside is None:
            return float(sums.weight.max())
        n, power = self.setup.n, (np.abs(probe) ** 2).sum(axis=0)
        height, width = sums.weight.shape
        for y, x in beside.near[beside.bounds[number] : beside.bounds[number + 1]]:
            top, bottom, left, right = max(0, y), min(height, y + n), max(0, x), min(width, x + n)
            sums.weight[top:bottom, left:right] += power[top - y : bottom - y, left - x : right - x]
        return beside.sums(
            number,
            sums.object if moves_object else None,
            sums.probe if moves_probe else None,
            sums.probe_weight if moves_probe and weight else None,
            float(sums.weight.max(initial=0)),
        )

    def touched(self, corners: Int32, box: tuple[int, int, int, int]) -> Touched:
        """See `hpcdaas.backend.views.Views.touched`."""
        return _Touched(corners, self.setup.n, box)

    def _step(
        self, batch: Batch, view: int, object_: Any, probe: Any, object_move: Any, probe_move: Any, step: LsqStep
    ) -> tuple[float, float]:
        """Give the best steps of one view along both moves: a 2×2 system with a larger diagonal."""
        chi, _ = self.changes(batch, view, object_, probe, "amplitude")
        a = self._exit(batch, view, object_move, probe).ravel()
        b = self._exit(batch, view, object_, probe_move).ravel()
        more = 1 + step.regularization
        aa, bb, ab = more * np.vdot(a, a).real, more * np.vdot(b, b).real, np.vdot(a, b).real
        ax, bx = np.vdot(a, chi.ravel()).real, np.vdot(b, chi.ravel()).real
        if not step.move_probe:
            return float(ax / aa), 0.0
        if not step.move_object:
            return 0.0, float(bx / bb)
        determinant = aa * bb - ab**2
        return float((bb * ax - ab * bx) / determinant), float((aa * bx - ab * ax) / determinant)

    def _exit(self, batch: Batch, view: int, object_: Any, probe: Any) -> Complex128:
        """Give ψ (probe mode × object mode, n, n) of a view."""
        window = _window(object_, batch, view, self.setup.n).astype(np.complex128)
        waves: Complex128 = (probe[:, None] * window[None]).reshape(-1, self.setup.n, self.setup.n)
        return waves

    def _add(self, batch: Batch, view: int, object_: Any, probe: Any, chi: Any, sums: Sums) -> None:
        n = self.setup.n
        chi = chi.reshape(self.setup.probes, self.setup.objects, n, n)
        window = _window(object_, batch, view, n)
        if sums.object is not None:
            _window(sums.object, batch, view, n)[:] += (probe.conj()[:, None] * chi).sum(axis=0)
        if sums.weight is not None:
            _window(sums.weight, batch, view, n)[:] += (np.abs(probe) ** 2).sum(axis=0)
        if sums.probe is not None:
            sums.probe[:] += (window.conj()[None] * chi).sum(axis=1)
        if sums.probe_weight is not None:
            sums.probe_weight[:] += (np.abs(window) ** 2).sum(axis=0)


class _Touched:
    """Pixels of a box, row after row."""

    def __init__(self, corners: Int32, n: int, box: tuple[int, int, int, int]) -> None:
        top, bottom, left, right = box
        here = np.zeros((max(0, bottom - top), max(0, right - left)), np.bool_)
        for y, x in corners:
            here[max(0, y - top) : max(0, y + n - top), max(0, x - left) : max(0, x + n - left)] = True
        rows, columns = np.nonzero(here)
        self._at = (slice(None), rows + top, columns + left)
        self.pixels = len(rows)

    def pack(self, field: Complex64) -> Complex64:
        return field[self._at]

    def add(self, packed: Complex64, field: Complex64) -> None:
        field[self._at] += packed


def _window(array: NDArray[Any], batch: Batch, view: int, n: int) -> NDArray[Any]:
    y, x = batch.corners[view]
    return array[..., y : y + n, x : x + n]


def _slots(batch: Batch) -> list[int]:
    assert batch.slot is not None
    return [int(slot) for slot in batch.slot]


def _groups(batch: Batch, bounds: list[int]) -> Iterator[Batch]:
    for a, b in pairwise(bounds):
        yield Batch(batch.frames, batch.frame[a:b], batch.corners[a:b])


def _arrays(sums: Sums) -> tuple[Any, Float64, Any, Float64]:
    """Give sums that are all there, the weights in float64."""
    assert sums.weight is not None
    assert sums.probe_weight is not None
    return sums.object, sums.weight.astype(np.float64), sums.probe, sums.probe_weight.astype(np.float64)


def _safe(weight: Float64) -> Float64:
    """Infinity where nothing shines: what is divided by it stays 0."""
    return np.where(weight > 0, weight, np.inf)
