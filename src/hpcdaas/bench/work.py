"""What a piece of work can't do without: the floor that a primitive is held against, in one table with the reasons.

floor = max(bytes / bandwidth, Σ transforms · time of each + multiply-adds / peak), with the figures of level 0 that
were measured in the same rounds, on as many threads. Transforms and multiply-adds take turns in the same units of a
core, and so they add up; memory can be busy meanwhile (S. Williams, A. Waterman, D. Patterson, Commun. ACM 52, 65
(2009)). A comparison counts as a multiply-add: it takes the same units. Nothing is counted for index arithmetic, square
roots, divisions, moving data within a cache, or threads that wait: no program reaches 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lgamma, log, log2

from scipy.fft import next_fast_len

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


def projections(rows: int, columns: int, margin: int) -> dict[str, Work]:
    """Give the work of a projection, by the steps of tomography that go over projections.

    Parameters
    ----------
    rows, columns : int
        Of the block, halo included.
    margin : int
        Columns that `phase` adds on either side.
    """
    pixels = rows * columns
    high, wide = next_fast_len(rows, real=True), next_fast_len(columns + 2 * margin, real=True)
    lines = {wide: float(high)}
    lines[high] = lines.get(high, 0.0) + wide
    return {
        "outliers": Work(
            COUNT * pixels, 6.0 * pixels, {},
            "counts are read, and next to none are written; all that most pixels need: the minimum of 3 × 3, two "
            "comparisons along each axis (4), times the threshold (1), compared with it (1)",
        ),
        "phase": Work(
            2 * REAL * pixels, float(high * wide), lines,
            "two real rows of the padded frame share a transform, and half of the columns are kept: there and back as "
            "many lines as it has rows, and as many as it has columns; half of its points times a real response (2)",
        ),
    }  # fmt: skip


def sinograms(columns: int, angles: int, size: int, large_size: int) -> dict[str, Work]:
    """Give the work of a sinogram, by the steps of tomography that go over sinograms.

    Parameters
    ----------
    columns, angles : int
    size, large_size : int
        Columns of the medians of `stripes`.
    """
    values = angles * columns
    sort = lgamma(angles + 1) / log(2) / angles
    medians = log2(size) + log2(large_size)
    return {
        "stripes": Work(
            2 * REAL * values, (sort + medians + 9) * values, {},
            "read and written once; each column is sorted once, log2(angles!) comparisons; a running median of s "
            "columns takes log2 s a value (J. Gil, M. Werman, IEEE Trans. PAMI 15, 504 (1993)); dead columns: smoothed "
            "along the angle (2), the difference to it (1), its size (1) and sum (1); large ones: the difference to "
            "the median (1), a median of that (2), taken off (1)",
        )
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
