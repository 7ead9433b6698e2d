"""How positions lie on the object is found from frames alone, or it is said that it isn't sure."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from hpcdaas.errors import Interrupted
from hpcdaas.pipeline.ptychography import SURE
from hpcdaas.ptycho import orientation, simulate
from hpcdaas.ptycho.orientation import Oriented, find_orientation
from hpcdaas.scan import ORIENTATIONS, PtychoScan, oriented
from ptycho_models import make_model
from ptycho_scans import FAR, NEAR, simulated

FOUR = ("+y+x", "+y-x", "+x+y", "+x-y")


def stored(scan: PtychoScan, name: str) -> PtychoScan:
    """The scan as a file holds it that has to be read with this orientation."""
    back = next(
        other for other in ORIENTATIONS
        if np.array_equal(oriented(oriented(scan.positions, other), name), scan.positions)
    )  # fmt: skip
    return replace(scan, positions=oriented(scan.positions, back), orientation="auto")


def found(scan: PtychoScan) -> Oriented:
    return find_orientation(scan, make_model, lambda: None)


@pytest.fixture(scope="module")
def far() -> PtychoScan:
    return simulated(FAR)


@pytest.fixture(scope="module")
def near() -> PtychoScan:
    return simulated(NEAR)


@pytest.mark.parametrize("name", FOUR)
def test_each_of_the_far_field(far: PtychoScan, name: str) -> None:
    result = found(stored(far, name))
    assert result.orientation == name
    assert result.confidence > SURE
    assert set(result.errors) == set(FOUR)
    ordered = sorted(result.errors.values())
    assert result.errors[name] == ordered[0]
    assert result.confidence == pytest.approx(min(1, (ordered[1] / ordered[0] - 1) / 0.5))


@pytest.mark.parametrize("name", ["+y+x", "-y-x", "-x+y"])
def test_each_of_the_near_field(near: PtychoScan, name: str) -> None:
    """There both signs turned are another object."""
    result = found(stored(near, name))
    assert (result.orientation, set(result.errors)) == (name, set(ORIENTATIONS))
    assert result.confidence > SURE


def test_all_signs_turned_leave_no_trace_in_the_far_field(far: PtychoScan) -> None:
    """What is found stands for both; the first of the pair is its name."""
    result = found(replace(far, positions=-far.positions))
    assert result.orientation == "+y+x"
    assert result.confidence > SURE


def test_an_empty_object_has_no_orientation() -> None:
    with mock.patch.object(simulate, "sample", lambda shape, *_: np.ones(shape, np.complex64)):
        scan = simulated(FAR)
    assert found(scan).confidence < SURE


def test_frames_of_noise_have_no_orientation(far: PtychoScan) -> None:
    noise = np.random.default_rng(0).permutation(far.frames.values)
    scan = replace(far, frames=type(far.frames)(noise))
    assert found(scan).confidence < SURE


def test_a_single_line_has_a_twin(far: PtychoScan) -> None:
    """Views along a column, whose places across it are all the same: the sign of those says nothing."""
    positions = far.positions.copy()
    line = np.abs(positions[:, 1] - np.median(positions[:, 1])) < 4 * far.object_pixel[1]
    frames = type(far.frames)(far.frames.values[line])
    positions = np.stack([positions[line, 0], np.zeros(line.sum())], axis=1)
    result = found(replace(far, frames=frames, positions=positions))
    assert result.confidence < SURE
    assert result.errors["+y+x"] == pytest.approx(result.errors["+y-x"], rel=1e-6)


def test_it_ends_when_it_is_asked_to(far: PtychoScan) -> None:
    asked = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise Interrupted("Stopped.")

    with mock.patch.object(orientation, "ITERATIONS", 1), pytest.raises(Interrupted):
        find_orientation(far, make_model, stop)
    assert len(asked) == 2
