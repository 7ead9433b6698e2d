"""What a piece of work can't do without: the floor that a primitive is held against, in one table with the reasons.

floor = max(bytes / bandwidth, Σ transforms · time of each + multiply-adds / peak), with the figures of level 0 that
were measured in the same rounds, on as many threads. Transforms and multiply-adds take turns in the same units of a
core, and so they add up; memory can be busy meanwhile (S. Williams, A. Waterman, D. Patterson, Commun. ACM 52, 65
(2009)). Nothing is counted for index arithmetic, square roots, divisions, moving data within a cache, or threads that
wait: no program reaches 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpcdaas.backend import next_smooth
from hpcdaas.backend.cpu import gridding
from hpcdaas.bench.cores import BYTE, MULTIPLY_ADD, line, line_flops, threads_in_words
from hpcdaas.bench.rounds import Rounds

#: Bytes of a real and a complex number, and of a count as detectors store it.
REAL, COMPLEX, COUNT = 4, 8, 2
#: What a floor may be set by.
MEMORY, CORES = "memory", "cores"


@dataclass(frozen=True)
class Work:
    """Of one piece, a slice or a view's mode.

    Attributes
    ----------
    bytes : float
        Through memory at least: what comes in once, what goes out once.
    multiply_adds : float
    lines : mapping
        Transforms by their length.
    why : str
        Where the numbers come from.
    """

    bytes: float
    multiply_adds: float
    lines: Mapping[int, float]
    why: str

    @property
    def flops(self) -> float:
        """Count the operations: two for a multiply-add, 5 n log2 n for a transform."""
        return 2 * self.multiply_adds + sum(count * line_flops(n) for n, count in self.lines.items())

    def floor(self, rounds: Rounds, name: str, threads: int) -> Rounds:
        """Add the floor to rounds that hold the figures of level 0, under a name."""
        return self._parts(rounds, threads).largest(name, (MEMORY, CORES))

    def bound(self, rounds: Rounds, threads: int) -> str:
        """Say what sets the floor: ``memory`` or ``cores``."""
        found = self._parts(rounds, threads)
        return max((MEMORY, CORES), key=found.median)

    def _parts(self, rounds: Rounds, threads: int) -> Rounds:
        on = f", {threads_in_words(threads)}"
        parts = {MULTIPLY_ADD + on: self.multiply_adds} | {line(n) + on: count for n, count in self.lines.items()}
        return rounds.sum(MEMORY, {BYTE + on: self.bytes}).sum(CORES, parts)


def fbp_lengths(n: int, eps: float = 1e-3) -> tuple[int, int]:
    """Give P and G, the lengths of `fbp`'s transforms for slices of n²."""
    return next_smooth(2 * n), gridding(n, eps)[1]


def slices(n: int, angles: int, eps: float = 1e-3) -> dict[str, Work]:
    """Give the work of a slice of n², by the primitives of tomography."""
    width, (padded, grid) = gridding(n, eps)[0], fbp_lengths(n, eps)
    values, pixels = angles * n, n * n
    sums = Work(
        REAL * (values + pixels), 2.0 * angles * pixels, {},
        "each pixel takes from each projection a value between two columns (1) and adds it up (1)",
    )  # fmt: skip
    fbp = Work(
        REAL * (values + pixels), float(angles * padded * width**2),
        {padded: angles / 2, grid: (grid + n) / 2},
        "two real rows and two real slices share a transform: angles/2 of the padded length P, (G + n)/2 of the grid's "
        "G; each of the P/2 complex frequencies of a row goes to the kernel's width² points, 2 each",
    )  # fmt: skip
    return {
        "correct": Work(
            (COUNT + REAL) * values, 11.0 * values, {},
            "counts are read, line integrals written; less dark (1), by the flat in time (2), a logarithm as a "
            "polynomial of degree 8 (8)",
        ),
        "fbp": fbp,
        "fbp of raw counts": Work(
            COUNT * values + REAL * pixels, fbp.multiply_adds + 11.0 * values, fbp.lines, "as fbp and correct together"
        ),
        "backproject": Work(
            sums.bytes, sums.multiply_adds + values, {padded: float(angles)},
            "the ray sum, and two transforms of the padded length for two rows at once, times the filter",
        ),
        "ray sum": sums,
        "projector": Work(sums.bytes, sums.multiply_adds, {}, "the ray sum's adjoint: as much per pixel and angle"),
    }  # fmt: skip


def views(n: int, modes: int, object_pixels: float) -> dict[str, Work]:
    """Give the work of a view's mode, by the primitives of ptychography.

    Parameters
    ----------
    n, modes : int
        Rows of a frame; modes of the probe.
    object_pixels : float
        Pixels of the object for each view.
    """
    pixels = n * n
    frame = COUNT * pixels / modes
    field = object_pixels / modes
    once, moved = frame + COMPLEX * field, frame + (3 * COMPLEX + 2 * REAL) * field
    pair = {n: 4.0 * n}
    same = "a complex product is 4, |·|² is 2; "
    return {
        "evaluate": Work(once, 6.0 * pixels, {n: 2.0 * n}, same + "wave (4), intensity (2); one transform of 2n lines"),
        "gradient": Work(
            moved, 20.0 * pixels, pair,
            same + "wave (4), intensity (2), its change (2), onto object and probe (4 + 4) and their weights (2 + 2); "
            "there and back 4n lines; frames are read once, the object and its sums once for all views",
        ),
        "rPIE": Work(moved, 20.0 * pixels, pair, "as the gradient"),
        "LSQ-ML": Work(
            moved, 36.0 * pixels, pair,
            "as the gradient, and the best step along each of two directions: a product (4), its square (2) and its "
            "product with the change (2)",
        ),
        "difference map": Work(
            moved + 2 * COMPLEX * pixels, 30.0 * pixels, pair,
            same + "wave (4), what is projected (4), intensity (2), new modulus (2), new wave (6), onto object and "
            "probe (4 + 4), weights (2 + 2); the wave is read and written",
        ),
        "iteration of ML": Work(
            once + moved, 26.0 * pixels, {n: 6.0 * n}, "a gradient, and one look along the line (evaluate)"
        ),
    }  # fmt: skip
