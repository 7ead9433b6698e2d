"""Projections at even angles, whatever the angles of the scan are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from hpcdaas.backend import Float32, Float64

#: Angles of half a turn that are looked at; more are averaged.
MOST_ANGLES = 720


@dataclass(frozen=True)
class Turn:
    """Projections at even angles.

    Attributes
    ----------
    data : ndarray, (row, angle, column), float32
    half : int
        Angles in half a turn, an even number: angle j and angle j + half are half a turn apart.
    """

    data: Float32
    half: int


def even_angles(data: Float32, angles: Float64, most: int = MOST_ANGLES) -> Turn | None:
    """Average projections into even angles over what was measured of a full turn.

    Each projection stands for the angles up to half-way to its neighbours, and adds to an even
    angle in proportion to what they share. Angles of several turns are laid on one another.

    Parameters
    ----------
    data : ndarray, (angle, row, column), float32
    angles : ndarray, (angle,), float64
        Radians, in any order.
    most : int
        Most even angles in half a turn.

    Returns
    -------
    Turn or None
        None where the angles leave half a turn open.
    """
    turn = 2 * np.pi
    folded = np.mod(angles, turn)
    order = np.argsort(folded, kind="stable")
    gaps = np.diff(folded[order], append=folded[order[0]] + turn)
    step = float(np.median(gaps[gaps > 1e-9])) if (gaps > 1e-9).any() else turn
    widest = int(gaps.argmax())
    closed = gaps[widest] <= max(5 * step, np.deg2rad(2.0))
    if not closed:  # begin after the widest gap
        order = np.roll(order, -widest - 1)
        gaps = np.roll(gaps, -widest - 1)
        gaps[-1] = step
    if np.delete(gaps, -1).max(initial=0) > max(5 * step, np.deg2rad(2.0)) or len(order) < 8:
        return None
    covered = turn if closed else float(gaps.sum())
    if covered < np.pi - max(0.5 * step, np.deg2rad(0.2)):
        return None
    covered = max(covered, np.pi)  # the last projection stands for what is missing
    half = int(min(most, round(np.pi * len(order) / covered))) // 2 * 2
    count = 2 * half if closed else int(covered / np.pi * half + 0.05)
    edges = np.concatenate([[-gaps[-1] / 2], np.cumsum(gaps)[:-1] - gaps[:-1] / 2, [0.0]])
    edges[-1] = edges[0] + covered
    weights = _shares(edges, edges[0] + np.pi / half * np.arange(count + 1))
    flat = data[order].reshape(len(order), -1)
    even = np.asarray(weights @ flat, np.float32).reshape(count, *data.shape[1:])
    return Turn(np.ascontiguousarray(even.swapaxes(0, 1)), half)


def _shares(edges: Float64, bins: Float64) -> scipy.sparse.csr_matrix:
    """Give the share (bin, cell) of each cell between `edges` in each of the `bins`, rows adding to 1."""
    cuts = np.union1d(edges, bins)
    cuts = cuts[(cuts >= max(edges[0], bins[0])) & (cuts <= min(edges[-1], bins[-1]))]
    middle, length = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    cell = np.clip(np.searchsorted(edges, middle) - 1, 0, len(edges) - 2)
    place = np.clip(np.searchsorted(bins, middle) - 1, 0, len(bins) - 2)
    matrix = scipy.sparse.csr_matrix((length, (place, cell)), shape=(len(bins) - 1, len(edges) - 1), dtype=np.float32)
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return scipy.sparse.diags((1 / np.where(total > 0, total, 1)).astype(np.float32)) @ matrix


def seam(turn: Turn) -> tuple[Float32, Float32]:
    """Give pairs half a turn apart: all there are, or else both sides drawn out to the seam.

    A scan of 180° without its end stops one step before its first projection's mirror image. Both
    are drawn out linearly to the middle of that step, so that neither side moves against the other.

    Returns
    -------
    left, right : ndarray, (row, pair, column), float32
    """
    count = turn.data.shape[1] - turn.half
    if count > 0:
        left, right = turn.data[:, :count], turn.data[:, turn.half :]
    else:
        left = 1.5 * turn.data[:, :1] - 0.5 * turn.data[:, 1:2]
        right = 1.5 * turn.data[:, -1:] - 0.5 * turn.data[:, -2:-1]
    return left, right
