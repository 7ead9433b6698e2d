"""The kernels of ptychography, run on the host, against the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest
from host_device import ORDERS, HostDevice

from hpcdaas.backend.cuda_views import CudaViews
from hpcdaas.backend.views import LsqStep, PieStep, Sums
from views_cases import AgainstReference, Case, half_is_another_ranks, near, same_sums


@pytest.fixture
def make_views(compiler):
    return lambda setup: CudaViews(HostDevice(compiler), setup)


class TestAgainstReference(AgainstReference):
    """Every primitive, with the threads of a block one after the other."""


@pytest.mark.parametrize("order", [*ORDERS, "cache of one view", "no room"])
def test_order_and_memory_dont_matter(compiler, order):
    """Pieces of one view, frames that don't stay on the device, groups whose χ isn't kept."""
    case, found = Case(n=21, views=9, probes=2, objects=2), []
    more = {"order": order} if order in ORDERS else {"cache": 1} if "cache" in order else {"cache": 1, "free": 0}
    for device in (HostDevice(compiler), HostDevice(compiler, **more)):
        views, (object_, probe), sums = CudaViews(device, case.setup), case.fields(), Sums.zeros(*case.fields())
        misfit = views.lsq(case.batch, [0, 5, 9], object_, probe, LsqStep(0.1, 0.1, True, True), None)
        more_misfit = views.pie(case.batch, [0, 4, 9], object_, probe, PieStep(0.3, 0.8, 0.5, 0.5))
        views.gradient(case.batch, object_, probe, "gaussian", sums)
        found.append((object_, probe, sums, (*misfit.misfit, *misfit[1:], *more_misfit)))
    (object_, probe, sums, numbers), (other_object, other_probe, other_sums, other_numbers) = found
    same_sums(other_sums, sums)
    near(other_object, object_)
    near(other_probe, probe)
    assert other_numbers == pytest.approx(numbers, rel=1e-4)


@pytest.mark.parametrize("probes", [1, 2])
@pytest.mark.parametrize("primitive", ["pie", "lsq", "lsq of an object that stays"])
def test_groups_that_are_recorded_give_the_same_bits(compiler, primitive, probes):
    """Of two sizes, of which one comes too seldom; against groups that are started a kernel at a time."""
    case, bounds, found = Case(n=12, views=23, probes=probes), [0, 5, 10, 14, 19, 23], []
    for recorded in (True, False):
        device = HostDevice(compiler, cache=3 * 8 * probes * 12**2 * 2)  # pieces of 3 views
        if not recorded:
            device.record = lambda work: work
        views, (object_, probe) = CudaViews(device, case.setup), case.fields()
        sums = Sums.zeros(object_, probe)
        for _ in range(2):
            if primitive == "pie":
                numbers = views.pie(case.batch, bounds, object_, probe, PieStep(0.3, 0.8, 0.5, 0.5))
            else:
                stays = None if primitive == "lsq" else sums
                found_steps = views.lsq(case.batch, bounds, object_, probe, LsqStep(0.1, 0.1, True, True), stays)
                numbers = (*found_steps.misfit, *found_steps[1:])
        assert device.records == 2 * recorded
        found.append([object_, probe, sums.object, sums.weight, np.array(numbers)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


class Refusing(HostDevice):
    """A device whose driver gives up in the middle of a record."""

    def launch(self, kernel, grid, *arguments):
        if self._recorded is not None and len(self._recorded) > 4:
            raise RuntimeError("not while it is recorded")
        super().launch(kernel, grid, *arguments)

    def record(self, work):
        with pytest.raises(RuntimeError, match="not while"):
            super().record(work)
        return work


def test_groups_that_can_not_be_recorded_are_done_as_they_are(compiler):
    case, found = Case(n=12, views=24), []
    for device in (HostDevice(compiler), Refusing(compiler)):
        views, (object_, probe) = CudaViews(device, case.setup), case.fields()
        misfit = views.lsq(case.batch, [0, 6, 12, 18, 24], object_, probe, LsqStep(0.1, 0.1, True, True), None)
        found.append([object_, probe, np.array([*misfit.misfit, *misfit[1:]])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_recorded_makes_no_arrays(compiler):
    device = HostDevice(compiler)
    there = device.zeros(3, np.float32)

    def add():
        there[:2].fill(1)

    for work in (add, lambda: device.put(np.zeros(3)), lambda: there + there):
        with pytest.raises((TypeError, AssertionError)):
            device.record(work)
    add()
    np.testing.assert_array_equal(there.get(), [1, 1, 0])


def test_arrays_of_the_device_are_worked_on_where_they_are(compiler):
    case, device = Case(n=20, probes=2), HostDevice(compiler)
    views = CudaViews(device, case.setup)
    object_, probe, waves = device.put(case.object), device.put(case.probe), device.put(case.waves)
    sums = Sums.zeros(object_, probe)
    here = Sums.zeros(case.object, case.probe)
    for psi, totals, fields in ((waves, sums, (object_, probe)), (case.waves, here, (case.object, case.probe))):
        views.project(case.batch, *fields, psi, (-0.9, 1.0, 1.9), totals)
        views.overlap(case.batch, *fields, psi, totals)
    np.testing.assert_array_equal(waves.get(), case.waves)
    np.testing.assert_array_equal(sums.object.get(), here.object)
    np.testing.assert_array_equal(sums.probe_weight.get(), here.probe_weight)


def test_views_of_other_ranks_count(compiler):
    device = HostDevice(compiler)
    half_is_another_ranks(lambda setup: CudaViews(device, setup), device.put)


def test_views_beyond_the_object_are_refused(compiler):
    case = Case()
    views = CudaViews(HostDevice(compiler), case.setup)
    far = type(case.batch)(case.batch.frames, case.batch.frame, case.batch.corners + np.int32(20))
    with pytest.raises(ValueError, match="beyond the object"):
        views.evaluate(far, case.object, case.probe, "amplitude")


@pytest.mark.parametrize(("bounds", "message"), [([0, 3], "cover the views"), ([0, 4, 4, 7], "is empty")])
def test_groups_that_are_not_all_views_are_refused(compiler, bounds, message):
    case = Case()
    views = CudaViews(HostDevice(compiler), case.setup)
    with pytest.raises(ValueError, match=message):
        views.pie(case.batch, bounds, *case.fields(), PieStep(1, 1, 1, 1))
