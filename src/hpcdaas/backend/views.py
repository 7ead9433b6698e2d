"""The primitives of ptychography: views of an object through a probe, and what the detector says of them.

A view's exit waves are ψ = P·O for each probe and object mode, O being the part of the object in the view's window.
Ψ is ψ at the detector: in the far field the unitary Fourier transform with exp(−2πi …), in the near field
F⁻¹[H·F[ψ]]. Frames and masks have the direct beam at index n // 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Complex64 = NDArray[np.complex64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

#: What the change of Ψ follows: the measured amplitude, or the gradient of a likelihood.
Noise = Literal["amplitude", "gaussian", "poisson"]


@dataclass(frozen=True)
class ViewSetup:
    """What is the same for all views.

    Attributes
    ----------
    n : int
        Pixels along an edge of frame and probe.
    probes, objects : int
        Modes of each.
    good : ndarray, (n, n), bool
        Pixels that are used, direct beam at n // 2.
    limit : float
        Counts at or above this aren't used, nor are those below 0.
    near : ndarray, (n, n), complex64, or None
        H, in the order of the transform (frequency 0 first); None in the far field.
    """

    n: int
    probes: int
    objects: int
    good: NDArray[np.bool_]
    limit: float = np.inf
    near: Complex64 | None = None


@dataclass(frozen=True)
class Batch:
    """Views that are worked on together.

    Attributes
    ----------
    frames : ndarray, (frame, n, n)
        Counts in their stored type.
    frame : ndarray, (view,), int32
        Which of them belongs to a view.
    corners : ndarray, (view, 2), int32
        Row and column of the object where a view's window begins.
    slot : ndarray, (view,), int32, or None
        Place of a view in stored waves.
    """

    frames: NDArray[Any]
    frame: Int32
    corners: Int32
    slot: Int32 | None = None

    def __len__(self) -> int:
        return len(self.frame)


class Misfit(NamedTuple):
    """Sums over the used pixels of views: (√I − |Ψ|)², I, and the negative logarithm of the likelihood."""

    error: float
    counts: float
    likelihood: float

    def __add__(self, other: tuple[Any, ...]) -> Misfit:
        return Misfit(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Sums:
    """Sums over views, added to what is there; None where one isn't wanted.

    Attributes
    ----------
    object : ndarray, (mode, y, x), complex64
        Σ P*χ on the object's grid, χ being waves or their changes.
    weight : ndarray, (y, x), float32
        Σ |P|² there, over views and probe modes.
    probe : ndarray, (mode, n, n), complex64
        Σ O*χ on the probe's grid.
    probe_weight : ndarray, (n, n), float32
        Σ |O|² there, over views and object modes.
    """

    object: Complex64 | None = None
    weight: Float32 | None = None
    probe: Complex64 | None = None
    probe_weight: Float32 | None = None

    @classmethod
    def zeros(cls, object_: Complex64, probe: Complex64, move_object: bool = True, move_probe: bool = True) -> Sums:
        """Give sums of 0 for an object (mode, y, x) and a probe (mode, n, n)."""
        return cls(*_zeros(object_, move_object), *_zeros(probe, move_probe))

    def clear(self) -> None:
        """Make all sums 0."""
        for array in (self.object, self.weight, self.probe, self.probe_weight):
            if array is not None:
                array.fill(0)


def _zeros(field: Complex64, wanted: bool) -> tuple[Complex64 | None, Float32 | None]:
    """Give a sum and a weight of 0 for a field, in its memory."""
    if not wanted:
        return None, None
    return np.zeros_like(field), np.zeros_like(field, shape=field.shape[1:], dtype=np.float32)


class PieStep(NamedTuple):
    """How a mini-batch of rPIE moves object and probe: α of each, and steps (0: left alone)."""

    object_alpha: float
    probe_alpha: float
    object_step: float
    probe_step: float


class LsqStep(NamedTuple):
    """How a group of LSQ-ML moves: δ of ΔO, what is added to the diagonal (relative), and what is moved."""

    damping: float
    regularization: float
    move_object: bool
    move_probe: bool


class LsqFound(NamedTuple):
    """Misfit and mean steps of an iteration of LSQ-ML."""

    misfit: Misfit
    object_step: float
    probe_step: float


class Beside(Protocol):
    """The other ranks of a run: what their views do to this rank's part of the object, and a word with them.

    Sums are in the primitives' memory.

    Attributes
    ----------
    near : ndarray, (view, 2), int32
        Corners of their views that reach into this rank's part, group after group; windows may reach beyond it.
    bounds : list of int
        Which of them belong to a group: ``near[bounds[i]:bounds[i + 1]]``.
    all : list of int
        Views of each group on all ranks.
    """

    near: Int32
    bounds: list[int]
    all: list[int]

    def sums(
        self, group: int, object_: Complex64 | None, probe: Complex64 | None, probe_weight: Float32 | None, light: float
    ) -> float:
        """Complete a group's sums in place, those that are wanted; give the largest Σ|P|² of all ranks."""
        ...

    def steps(self, group: int, object_step: float, probe_step: float) -> tuple[float, float]:
        """Add up what all ranks' views say of the steps."""
        ...


class Touched(Protocol):
    """The pixels of a field in the primitives' memory that some windows touch, as far as they lie in a box.

    Attributes
    ----------
    pixels : int
        How many there are, each once.
    """

    pixels: int

    def pack(self, field: Complex64) -> Complex64:
        """Give their values of a field (mode, y, x), (mode, pixel)."""
        ...

    def add(self, packed: Complex64, field: Complex64) -> None:
        """Add values to a field in place."""
        ...


class Views(Protocol):
    """The primitives. Object (mode, y, x) and probe (mode, n, n) are complex64.

    They work in a memory of their own, which may be a device's: `put` brings fields there, and they stay. NumPy's
    functions work on arrays of any memory, but on those of one alone at once, and make new ones from one that is
    there (``np.zeros_like``). Arrays of the host are taken, too, and copied at every call.
    """

    setup: ViewSetup

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give an array in the primitives' memory; one that is there is given as it is."""
        ...

    def get(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give an array in the host's memory; one that is there is given as it is."""
        ...

    def reserve(self, size: int) -> None:
        """Keep bytes of the primitives' memory free for fields that are put there or made of them.

        Raises
        ------
        InputError
            If there are not as many.
        """
        ...

    def waves(self, count: int, saved: Complex64 | None = None) -> Complex64:
        """Give room for the exit waves of some views, (slot, mode, n, n), where they are best kept.

        `saved` are waves of the host: they are in it then.
        """
        ...

    def gradient(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise, sums: Sums) -> Misfit:
        """Add up what the detector asks for: χ = F⁻¹[f·Ψ], f of `kernels/element.h`, 0 at pixels that aren't used."""
        ...

    def evaluate(self, batch: Batch, object_: Complex64, probe: Complex64, noise: Noise) -> Misfit:
        """Give the misfit alone."""
        ...

    def project(
        self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, how: tuple[float, float, float],
        sums: Sums,
    ) -> Misfit:  # fmt: skip
        """ψ ← (1 − a − b)ψ + a·PO + b·F[c·PO + (1 − c)ψ], F the modulus constraint; then sums of the new ψ.

        `waves` is (slot, mode, n, n), a view's modes being (probe mode, object mode).
        """
        ...

    def exit_waves(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64) -> None:
        """ψ = P·O into the slots."""
        ...

    def overlap(self, batch: Batch, object_: Complex64, probe: Complex64, waves: Complex64, sums: Sums) -> None:
        """Add up stored waves."""
        ...

    def pie(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: PieStep,
        beside: Beside | None = None,
    ) -> Misfit:  # fmt: skip
        """Move object and probe after each mini-batch, views bounds[i] … bounds[i + 1] − 1, in place.

        O += s Σ P*χ / ((1 − α) S + α max S), S = Σ |P|²; the probe alike, from the object before it moved.
        With `beside` the views are this rank's, and a mini-batch may be empty here.
        """
        ...

    def lsq(
        self, batch: Batch, bounds: list[int], object_: Complex64, probe: Complex64, step: LsqStep, sums: Sums | None,
        beside: Beside | None = None,
    ) -> LsqFound:  # fmt: skip
        """Move object and probe along their directions after each group, in place, by the views' mean best steps.

        ΔO = Σ P*χ / √(S² + (δ max S)²), ΔP = mean O*χ. With `sums` the object stays, and Σ P*χ and S of all groups
        are added up.
        """
        ...

    def touched(self, corners: Int32, box: tuple[int, int, int, int]) -> Touched:
        """Give the pixels that windows at `corners` (view, 2) touch in a box: (top, bottom, left, right), as slices."""
        ...


class OnHost:
    """The memory of primitives that work in the host's: nothing is copied. See `Views`."""

    setup: ViewSetup

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """See `Views.put`."""
        return array

    def get(self, array: NDArray[Any]) -> NDArray[Any]:
        """See `Views.get`."""
        return array

    def reserve(self, size: int) -> None:
        """See `Views.reserve`: the plan of a run has counted the host's memory."""

    def waves(self, count: int, saved: Complex64 | None = None) -> Complex64:
        """See `Views.waves`."""
        return room_for_waves(self.setup, count) if saved is None else saved


def room_for_waves(setup: ViewSetup, count: int) -> Complex64:
    """Give memory of the host for the exit waves of some views, (slot, mode, n, n)."""
    return np.empty((count, setup.probes * setup.objects, setup.n, setup.n), np.complex64)
