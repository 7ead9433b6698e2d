"""Where the rotation axis is, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from hpcdaas.backend import Float32, Float64
from hpcdaas.params import Parameters
from hpcdaas.step import Axis, Step
from hpcdaas.tomo.block import Block
from hpcdaas.tomo.symmetry import Curve, Minimum, high_pass, local, mirror, wedge
from hpcdaas.tomo.turn import Turn, even_angles, seam

#: Rows that are looked at.
MOST_ROWS = 5
#: A sample reaches beyond the detector where its edge columns hold this share of its largest values.
CUT = 0.1
#: Shares of the width where the axis is looked for: anywhere if nothing is cut off ...
ANYWHERE = (0.03, 0.97)
#: ... and where enough is left on both sides to be compared if something is.
INSIDE = (0.2, 0.8)
#: Off the middle by more than this share of the width, a cut sample is a scan with extended field of view.
OFF_MIDDLE = 0.1
#: Angles, columns and windows of the first search on a sample that is cut.
COARSE_ANGLES, COARSE_COLUMNS, WINDOWS = 180, 256, 31


class Center(Parameters):
    """`center` has no parameters: a known centre is given as ``scan.center``."""


@dataclass(frozen=True)
class CenterEstimate:
    """What was found.

    Attributes
    ----------
    center : float
        Rotation centre, columns; the middle of the detector where nothing could be found.
    confidence : float
        0 to 1; below 0.5 it mustn't be used unasked.
    methods : mapping
        The answer of each method, columns: ``wedge`` (the double wedge of the sinogram),
        ``wedge_turning`` (the same, blind to whatever doesn't turn), ``mirror`` (mirrored
        projections half a turn apart).
    reason : str
        One line: why it is, or isn't, sure.
    """

    center: float
    confidence: float
    methods: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


def center(block: Block, parameters: Center) -> CenterEstimate:
    """Find the rotation centre from a few sinograms and say how sure it is.

    Half a turn is judged by the double wedge of the sinogram (`hpcdaas.tomo.symmetry.wedge`) and
    checked with the correlation of mirrored projections half a turn apart
    (`hpcdaas.tomo.symmetry.mirror`); a full turn the other way round, because it is full of such
    projections. A sample that reaches beyond the detector is judged by its fine structure near the
    axis. The confidence is the product of: how well the methods agree; which share of the rows,
    each split into sets of angles, gives the same answer by itself; and how far the symmetry
    holds there.

    Parameters
    ----------
    block : Block
        Line integrals of a few rows, all angles.
    parameters : Center

    Returns
    -------
    CenterEstimate
    """
    data = block.values()[:, block.halo : block.data.shape[1] - block.halo]
    rows = np.unique(np.linspace(0, data.shape[1] - 1, min(MOST_ROWS, data.shape[1])).round().astype(int))
    return find_center(np.ascontiguousarray(data[:, rows]), block.angles)


@dataclass(frozen=True)
class Evidence:
    """What speaks for an answer.

    Attributes
    ----------
    minima : mapping
        The answer of each method by its name, the one that counts first.
    votes : list of Curve
        Curves of sets of angles, each row a vote of its own.
    agreement, contrast : float
        0 to 1, see `center`.
    columns : int
        Of the detector.
    binning : int
        Columns that were joined to one in `votes`.
    """

    minima: Mapping[str, Minimum]
    votes: list[Curve]
    agreement: float
    contrast: float
    columns: int
    binning: int = 1


def find_center(data: Float32, angles: Float64, extended: bool = False) -> CenterEstimate:
    """Find the rotation centre; see `center`.

    Parameters
    ----------
    data : ndarray, (angle, row, column), float32
        Line integrals.
    angles : ndarray, (angle,), float64
        Radians.
    extended : bool
        Whether the axis may be near the detector's edge with the sample beyond it, because step
        ``extended`` will put the two halves of the turn together.

    Returns
    -------
    CenterEstimate
    """
    columns = data.shape[2]
    refuse = partial(CenterEstimate, (columns - 1) / 2, 0.0, {})
    if not np.isfinite(data).all():
        return refuse("The sinograms hold values that are not finite.")
    turn = even_angles(data, angles)
    if turn is None:
        return refuse("The angles don't cover half a turn without gaps.")
    if columns < 16 or not turns(turn.data):
        return refuse("The sinograms hold nothing that changes with the angle.")
    sides = cut(turn.data)
    if turn.data.shape[1] == 2 * turn.half:
        return _full_turn(turn, sides, extended)
    if extended:
        return refuse("Step 'extended' needs a full turn, and the angles don't cover it.")
    if any(sides):
        return _conclude(_half_turn_cut(data, angles, turn))
    return _conclude(_half_turn(turn))


def turns(data: Float32) -> bool:
    """Tell whether (row, angle, column) holds more that changes with the angle than noise does.

    Noise isn't repeated from one angle to the next but one; a sample is. Without that check a
    background that is symmetric about the detector's middle would look like an axis there.
    """
    changing = data - data.mean(axis=1, keepdims=True)
    energy = float(np.vdot(changing, changing))
    if energy <= 1e-9 * float(np.vdot(data, data)):
        return False
    earlier, later = changing[:, :-2].ravel(), changing[:, 2:].ravel()
    return bool(float(np.vdot(earlier, later)) > max(0.01, 5 / np.sqrt(earlier.size)) * energy)


def cut(data: Float32) -> tuple[bool, bool]:
    """Tell whether the sample reaches beyond the left or the right edge of (row, angle, column) at some angle."""
    rows, angles, columns = data.shape
    groups, margin = min(16, angles), max(2, columns // 64)
    size, cells = angles // groups, columns // margin
    means = data[:, : size * groups].reshape(rows, groups, size, columns).mean(axis=2)
    smooth = np.abs(means[..., : cells * margin].reshape(rows, groups, cells, margin).mean(axis=3))
    right = np.abs(means[..., -margin:].mean(axis=2))
    level = CUT * smooth.max()
    return bool(smooth[..., 0].max() > level), bool(right.max() > level)


def _half_turn(turn: Turn) -> Evidence:
    """Judge half a turn of a sample that is seen whole."""
    columns = turn.data.shape[2]
    low, high = (share * (columns - 1) for share in ANYWHERE)
    data = turn.data[:, : turn.half]
    plain, turning = (curve.within(low, high).joint().best() for curve in wedge(data, columns / 2))
    pairs = mirror(*seam(turn), low, high).joint().best()
    halves = [wedge(data[:, i::2], columns / 2) for i in (0, 1)]
    # the two wedges share their data, so that their agreement alone says less
    first = max(_agree(plain, pairs, columns), 0.8 * _agree(plain, turning, columns))
    second = _agree(turning, pairs, columns)
    chosen = 0 if first >= second or first >= 0.5 else 1
    # what turns must at least point to the same place, or else it is a background that was found
    near = 1 / (1 + ((plain.center - turning.center) / (columns / 25)) ** 2)
    names = {"wedge": plain, "wedge_turning": turning, "mirror": pairs}
    if chosen:
        names = {"wedge_turning": turning, "wedge": plain, "mirror": pairs}
    return Evidence(
        names,
        [half[chosen].within(low, high) for half in halves],
        (first, second)[chosen] * near,
        _ramp(plain.misfit, 0.9, 0.5),
        columns,
    )


def _half_turn_cut(data: Float32, angles: Float64, turn: Turn) -> Evidence:
    """Judge half a turn of a sample that reaches beyond the detector, from its fine structure near the axis."""
    columns = data.shape[2]
    sharp = Turn(high_pass(turn.data), turn.half)
    pairs = mirror(*seam(sharp), *(share * (columns - 1) for share in INSIDE)).joint().best()
    binning = -(-columns // COARSE_COLUMNS)
    binned = data[..., : columns // binning * binning].reshape(*data.shape[:2], -1, binning).mean(axis=3)
    coarse = even_angles(binned, angles, COARSE_ANGLES)
    assert coarse is not None  # its angles are those of `turn`
    middles = np.linspace(*INSIDE, WINDOWS) * (binned.shape[2] - 1)
    first = high_pass(coarse.data[:, : coarse.half])
    place = (local(first, middles)[0].joint().best().center + 0.5) * binning - 0.5
    for _ in range(2):
        plain, turning = (c.joint().best() for c in local(sharp.data[:, : sharp.half], np.array([place])))
        place = plain.center
    votes = [local(first[:, i::2], middles)[0] for i in (0, 1)]
    # noise may fill the fine structure, so that the misfit says nothing: all must agree instead
    agreement = _agree(plain, pairs, columns)
    minima = {"wedge": plain, "wedge_turning": turning, "mirror": pairs}
    return Evidence(minima, votes, agreement, 1.0, columns, binning)


def _full_turn(turn: Turn, sides: tuple[bool, bool], extended: bool) -> CenterEstimate:
    """Judge a full turn: every projection has its mirror image."""
    columns = turn.data.shape[2]
    low, high = (share * (columns - 1) for share in ANYWHERE)
    # over a full turn the mean is symmetric about the axis for a sample, and not for rings
    data = turn.data - turn.data.mean(axis=1, keepdims=True)
    if any(sides):
        data = high_pass(data)
    first, last = data[:, : turn.half], data[:, turn.half :]
    best = mirror(first, last, low, high).joint().best()
    # what drifts is alike at neighbouring angles, so that the votes are stretches of the turn, not every other angle
    parts = np.array_split(np.arange(turn.half), 4)
    votes = [mirror(first[:, some], last[:, some], low, high) for some in parts]
    minima = {"mirror": best}
    agreement = 1.0
    if not any(sides):
        halves = wedge(turn.data[:, : turn.half], columns / 2), wedge(turn.data[:, turn.half :], columns / 2)
        wedges = [half[0].within(low, high).joint().best() for half in halves]
        minima["wedge"] = replace(wedges[0], center=(wedges[0].center + wedges[1].center) / 2)
        agreement = 1 / (1 + ((best.center - minima["wedge"].center) / (columns / 50)) ** 2)
    found = _conclude(Evidence(minima, votes, agreement, 1.0, columns))
    off = abs(best.center - (columns - 1) / 2) > OFF_MIDDLE * columns
    if off and sides[best.center > columns / 2] and not extended:
        return replace(
            found,
            confidence=min(0.4, found.confidence),
            reason=f"The axis is near the detector's edge, at column {best.center:.1f}, and the sample reaches "
            "beyond it: put the step 'extended' into the recipe.",
        )
    return found


def _agree(one: Minimum, other: Minimum, columns: int) -> float:
    """Give 1 where two answers are the same, 1/2 where they differ by what is tolerated."""
    slack = max(0.75, columns / 1000) + 2 * min(max(one.error, other.error), columns / 100)
    return 1 / (1 + ((one.center - other.center) / slack) ** 2)


def _ramp(value: float, none: float, full: float) -> float:
    """Give 0 at `none`, 1 at `full`, linear between."""
    return float(np.clip((value - none) / (full - none), 0, 1))


def _conclude(evidence: Evidence) -> CenterEstimate:
    """Weigh the evidence and put it into words."""
    columns, binning = evidence.columns, evidence.binning
    best = next(iter(evidence.minima.values()))
    votes = [[curve.best(row) for row in range(len(curve.weight))] for curve in evidence.votes]
    places = (np.array([[vote.center for vote in part] for part in votes]) + 0.5) * binning - 0.5
    clear = np.array([[max(1 - vote.misfit, 0.0) for vote in part] for part in votes]).max(axis=0)
    weights = np.mean([curve.weight for curve in evidence.votes], axis=0) * clear  # rows above the sample don't count
    reach = max(0.75, columns / 1000) + 3 * min(best.error, columns / 100) * np.sqrt(places.size) + 2 * (binning - 1)
    support = float((np.abs(places - best.center) <= reach).mean(axis=0) @ weights / (weights.sum() or 1))
    # where the range holds few candidates, chance agrees as well
    candidates = np.ptp(evidence.votes[0].centers) * binning
    luck = max(0.0, 1 - 3 * 2 * reach / candidates)
    confidence = 0.0 if best.at_end else float(evidence.agreement * support * evidence.contrast * luck)
    answers = {name: minimum.center for name, minimum in evidence.minima.items()}
    said = ", ".join(f"{name} {value:.2f}" for name, value in answers.items())
    reasons = {
        "the best fit is at the end of the range that was searched": 0.0 if best.at_end else 1.0,
        "the methods don't agree": evidence.agreement,
        "rows and angles don't agree": support,
        "no axis makes the sinogram symmetric": evidence.contrast,
        "the detector is too narrow to tell it from chance": luck,
    }
    worst = min(reasons, key=lambda text: reasons[text])
    reason = f"Methods and rows agree ({said})." if confidence >= 0.5 else f"{worst[0].upper()}{worst[1:]} ({said})."
    return CenterEstimate(best.center, round(confidence, 3), answers, reason)


STEP = Step(name="center", apply=center, parameters=Center, axis=Axis.SCAN, place=60)
