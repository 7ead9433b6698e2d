"""The primitives of ptychography on any backend against the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest

from hpcdaas.backend.reference import ReferenceBackend
from hpcdaas.backend.views import Batch, LsqStep, PieStep, Sums, ViewSetup

NOISES = ("amplitude", "gaussian", "poisson")


def normal(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


class Case:
    """A few views of random fields, with bad pixels, counts over the limit and below 0."""

    def __init__(self, n=16, views=7, probes=1, objects=1, dtype=np.uint16, near=False, seed=0):
        rng = np.random.default_rng(seed)
        self.object = normal(rng, objects, n + 9, n + 13)
        self.probe = normal(rng, probes, n, n)
        good = rng.random((n, n)) > 0.1
        transfer = np.exp(2j * np.pi * rng.random((n, n))).astype(np.complex64) if near else None
        self.setup = ViewSetup(n, probes, objects, good, 40.0, transfer)
        frames = rng.poisson(8, (views + 2, n, n))
        frames[rng.random(frames.shape) < 0.02] = 77
        if np.dtype(dtype).kind != "u":
            frames[rng.random(frames.shape) < 0.02] = -1
        corners = np.stack([rng.integers(0, 10, views), rng.integers(0, 14, views)], 1).astype(np.int32)
        frame, slot = rng.permutation(views + 2)[:views].astype(np.int32), rng.permutation(views).astype(np.int32)
        self.batch = Batch(frames.astype(dtype), frame, corners, slot)
        self.waves = normal(rng, views, probes * objects, n, n)

    def fields(self):
        return self.object.copy(), self.probe.copy()

    def reference(self):
        return ReferenceBackend().views(self.setup)


def near(found, expected, tolerance=1e-5):
    assert np.linalg.norm(np.ravel(found) - np.ravel(expected)) <= tolerance * np.linalg.norm(np.ravel(expected))


def same_sums(found, expected):
    for name in ("object", "weight", "probe", "probe_weight"):
        near(getattr(found, name), getattr(expected, name))


class HalfAway:
    """The views of a group are shared with another rank, whose sums are known."""

    def __init__(self, put, case, first, others):
        self._put, self._others = put, others
        self.near, self.all = case.batch.corners[first:], [len(case.batch)]
        self.bounds = [0, len(self.near)]

    def sums(self, group, object_, probe, probe_weight, light):
        for name, array in (("object", object_), ("probe", probe), ("probe_weight", probe_weight)):
            if array is not None:
                array += self._put(getattr(self._others, name))
        return light

    def steps(self, group, object_step, probe_step):
        return object_step, probe_step


def half_is_another_ranks(make_views, put):
    """The sums of a group of which another rank has the other half are those of the whole group.

    `put` takes an array to where the primitives' arrays are.
    """
    case, half = Case(n=16, views=8, probes=2), 5
    views, b = make_views(case.setup), case.batch
    theirs = Sums.zeros(case.object, case.probe)
    views.gradient(Batch(b.frames, b.frame[half:], b.corners[half:]), *case.fields(), "amplitude", theirs)
    mine = Batch(b.frames, b.frame[:half], b.corners[:half])
    step, results = PieStep(0.3, 0.8, 0.9, 0.5), []
    for batch, beside in ((b, None), (mine, HalfAway(put, case, half, theirs))):
        object_, probe = case.fields()
        views.pie(batch, [0, len(batch)], object_, probe, step, beside)
        results.append((object_, probe))
    near(results[1][0], results[0][0])
    near(results[1][1], results[0][1])


CASES = {
    "plain": {},
    "modes": {"probes": 3, "objects": 2},
    "odd": {"n": 21, "views": 5},
    "near field": {"near": True, "probes": 2},
    "signed": {"dtype": np.int32},
    "bytes": {"dtype": np.uint8},
    "floats": {"dtype": np.float32, "n": 40},
    "one view": {"views": 1},
}


@pytest.mark.parametrize("name", CASES)
class AgainstReference:
    """Every primitive against the reference; the fixture `make_views` makes those of a backend from a setup."""

    @pytest.mark.parametrize("noise", NOISES)
    def test_gradient(self, name, make_views, noise):
        case = Case(**CASES[name])
        results = []
        for views in (case.reference(), make_views(case.setup)):
            sums = Sums.zeros(case.object, case.probe)
            misfit = views.gradient(case.batch, case.object, case.probe, noise, sums)
            assert views.evaluate(case.batch, case.object, case.probe, noise) == pytest.approx(misfit, rel=1e-6)
            results.append((misfit, sums))
        (expected, expected_sums), (found, found_sums) = results
        assert found == pytest.approx(expected, rel=1e-5)
        same_sums(found_sums, expected_sums)

    def test_project_and_overlap(self, name, make_views):
        case = Case(**CASES[name])
        results = []
        for views in (case.reference(), make_views(case.setup)):
            waves, sums, again = case.waves.copy(), *(Sums.zeros(case.object, case.probe) for _ in range(2))
            misfit = views.project(case.batch, case.object, case.probe, waves, (-0.9, 1.0, 1.9), sums)
            views.overlap(case.batch, case.object, case.probe, waves, again)
            same_sums(again, sums)
            results.append((misfit, waves, sums))
        (expected, expected_waves, expected_sums), (found, found_waves, found_sums) = results
        assert found == pytest.approx(expected, rel=1e-5)
        near(found_waves, expected_waves)
        same_sums(found_sums, expected_sums)

    def test_exit_waves(self, name, make_views):
        case = Case(**CASES[name])
        found = [np.zeros_like(case.waves) for _ in range(2)]
        for views, waves in zip((case.reference(), make_views(case.setup)), found, strict=True):
            views.exit_waves(case.batch, case.object, case.probe, waves)
        near(found[1], found[0], 1e-6)

    @pytest.mark.parametrize("step", [PieStep(0.3, 0.8, 0.9, 0.5), PieStep(1.0, 1.0, 1.0, 0.0)])
    def test_pie(self, name, make_views, step):
        case = Case(**CASES[name])
        count = len(case.batch)
        for bounds in ([0, count], list(range(count + 1))):
            results = []
            for views in (case.reference(), make_views(case.setup)):
                object_, probe = case.fields()
                results.append((views.pie(case.batch, bounds, object_, probe, step), object_, probe))
            (expected, *expected_fields), (found, *found_fields) = results
            assert found == pytest.approx(expected, rel=1e-5)
            for a, b in zip(found_fields, expected_fields, strict=True):
                near(a, b)

    @pytest.mark.parametrize(
        ("moves", "compact"),
        [((True, True), False), ((True, False), False), ((False, True), False), ((True, True), True)],
    )
    def test_lsq(self, name, make_views, moves, compact):
        case = Case(**CASES[name])
        count = len(case.batch)
        bounds = sorted({0, (count + 1) // 2, count})
        results = []
        for views in (case.reference(), make_views(case.setup)):
            object_, probe = case.fields()
            sums = Sums(np.zeros_like(object_), np.zeros(object_.shape[1:], np.float32)) if compact else None
            found = views.lsq(case.batch, bounds, object_, probe, LsqStep(0.1, 0.1, *moves), sums)
            results.append((found, object_, probe, sums))
        (expected, *expected_fields, expected_sums), (found, *found_fields, found_sums) = results
        assert found.misfit == pytest.approx(expected.misfit, rel=1e-5)
        assert found[1:] == pytest.approx(expected[1:], rel=1e-4)
        for a, b in zip(found_fields, expected_fields, strict=True):
            near(a, b)
        if compact:
            near(found_sums.object, expected_sums.object)
            near(found_sums.weight, expected_sums.weight)
