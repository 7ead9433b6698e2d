"""Who does what: plain arithmetic, the same on every rank."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def shares(total: int, ranks: int) -> list[range]:
    """Cut 0 … total − 1 into one run for each rank, in their order; lengths differ by one at most.

    Parameters
    ----------
    total : int
        Number of items; may be smaller than that of ranks, some of which then get none.
    ranks : int
    """
    return [range(total * r // ranks, total * (r + 1) // ranks) for r in range(ranks)]


def _unit(rows: int, ranks: int) -> int:
    """Rows that stay together: pairs, which share a transform, where there are enough."""
    return 2 if rows >= 2 * ranks else 1


def split_rows(rows: range, ranks: int) -> list[range]:
    """Cut detector rows into one run for each rank."""
    unit = _unit(len(rows), ranks)
    return [rows[unit * s.start : unit * s.stop] for s in shares(-(-len(rows) // unit), ranks)]


def most_rows(rows: int, ranks: int) -> int:
    """Give the rows of the rank that `split_rows` gives most."""
    unit = _unit(rows, ranks)
    return min(rows, unit * -(-rows // (unit * ranks)))


def rows_to_read(spans: Sequence[range], halo: int) -> tuple[list[range], list[slice]]:
    """Say which detector rows a block of all ranks needs, and where those of each rank are among them.

    Parameters
    ----------
    spans : sequence of range
        The rows of each rank, ascending; with a step only where `halo` is 0 or each is a single row.
    halo : int
        Rows that each rank needs above and below its own. They may lie beyond the detector.

    Returns
    -------
    reads : list of range
        Rows, one run after the other: one run where the ranks' rows follow each other.
    places : list of slice
        Where a rank's rows, halo included, are in all that is read.
    """
    filled = [span for span in spans if len(span)]
    if not filled:
        return [], [slice(0, 0)] * len(spans)
    step = max(span.step for span in filled)
    if halo == 0 or (step == 1 and all(a.stop == b.start for a, b in itertools.pairwise(filled))):
        first, places = filled[0].start, []
        for span in spans:
            start = (span.start - first) // step if len(span) else 0
            places.append(slice(start, start + len(span) + 2 * halo if len(span) else start))
        last = filled[-1][-1]
        return [range(first - halo, last + halo + 1, step)], places
    reads, places, at = [], [], 0
    for span in spans:  # far from each other: each brings its own halo
        window = range(span.start - halo, span[-1] + halo + 1) if len(span) else range(0)
        places.append(slice(at, at + len(window)))
        reads += [window] if len(window) else []
        at += len(window)
    return reads, places
