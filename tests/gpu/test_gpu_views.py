"""The primitives of ptychography on a GPU, and the algorithms that are made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from algorithm_cases import AgainstCpu, OnDevice, on_host, small  # noqa: F401  (a fixture)
from hpcdaas.backend.cpu import CpuBackend
from hpcdaas.backend.views import LsqStep, PieStep, Sums
from hpcdaas.ptycho.simulate import Simulation, SimulationParameters
from ptycho_models import compare, iterate, make_model
from test_ptycho_algorithms import ENOUGH
from views_cases import AgainstReference, Case, near


@pytest.fixture
def make_views(gpu):
    return gpu.views


@pytest.fixture
def backend(gpu):
    return gpu


class TestAgainstReference(AgainstReference):
    """Every primitive."""


class TestAgainstCpu(AgainstCpu):
    """Every algorithm, five iterations."""


@pytest.fixture
def crossed(gpu, monkeypatch):
    """Give the bytes of each copy from or to the host."""
    sizes, device = [], gpu.device
    put, get = device.put, device.get

    def counted_put(array):
        if not device.is_here(array):
            sizes.append(array.nbytes)
        return put(array)

    def counted_get(array, out):
        sizes.append(out.nbytes)
        get(array, out)

    monkeypatch.setattr(device, "put", counted_put)
    monkeypatch.setattr(device, "get", counted_get)
    return sizes


class TestOnDevice(OnDevice):
    """What is on the device stays there."""


@pytest.fixture(scope="module")
def simulation():
    return Simulation(SimulationParameters(photons=4e6))


@pytest.mark.parametrize("name", ENOUGH)
def test_the_object_is_found(gpu, simulation, name):
    model = make_model(simulation.scan(), backend=gpu, defocus=simulation.parameters.defocus)
    iterate(model, name.split()[0], **ENOUGH[name])
    object_, probe = on_host(model)
    found = compare(replace(model, object=object_, probe=probe), simulation)
    assert found.correlation > 0.5
    assert found.error < 0.05


@pytest.mark.parametrize(("n", "views", "probes"), [(256, 40, 1), (128, 100, 4), (200, 30, 2)])
def test_sizes_of_real_scans(gpu, n, views, probes):
    """Against C++: more pieces than one, blocks by the thousand."""
    case, found = Case(n=n, views=views, probes=probes), []
    for primitives in (CpuBackend().views(case.setup), gpu.views(case.setup)):
        object_, probe = case.fields()
        sums = Sums.zeros(object_, probe)
        misfit = primitives.gradient(case.batch, object_, probe, "amplitude", sums)
        step = primitives.lsq(case.batch, [0, views // 2, views], object_, probe, LsqStep(0.1, 0.1, True, True), None)
        found.append((object_, probe, sums, misfit, step))
    (object_, probe, sums, misfit, step), (other, other_probe, other_sums, other_misfit, other_step) = found
    for a, b in ((other, object_), (other_probe, probe), (other_sums.object, sums.object)):
        near(a, b, 1e-4)
    assert other_misfit == pytest.approx(misfit, rel=1e-4)
    assert other_step[1:] == pytest.approx(step[1:], rel=1e-3)


def test_the_same_call_gives_the_same_bits(gpu):
    case, found = Case(n=64, views=60, probes=2), []
    for _ in range(2):
        object_, probe = case.fields()
        gpu.views(case.setup).lsq(case.batch, [0, 25, 60], object_, probe, LsqStep(0.1, 0.1, True, True), None)
        found.append((object_, probe))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("primitive", ["pie", "lsq"])
def test_groups_that_are_recorded_give_the_same_bits(gpu, monkeypatch, primitive):
    """Against groups that are started a kernel at a time; the driver takes the record."""
    case, bounds, found, taken = Case(n=64, views=60, probes=2), [0, 16, 32, 48, 60], [], []
    record = gpu.device.record

    def noted(work):
        start = record(work)
        taken.append(start is not work)
        return start

    for recorded in (noted, lambda work: work):
        monkeypatch.setattr(gpu.device, "record", recorded)
        views, (object_, probe) = gpu.views(case.setup), case.fields()
        for _ in range(2):
            if primitive == "pie":
                numbers = views.pie(case.batch, bounds, object_, probe, PieStep(0.3, 0.8, 0.5, 0.5))
            else:
                steps = views.lsq(case.batch, bounds, object_, probe, LsqStep(0.1, 0.1, True, True), None)
                numbers = (*steps.misfit, *steps[1:])
        found.append([object_, probe, np.array(numbers)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert taken == [True, True]


def test_arrays_of_the_gpu_are_worked_on_where_they_are(gpu):
    case, device = Case(n=48, probes=2), gpu.device
    fields = [device.put(a) for a in (case.object, case.probe, case.waves)]
    sums = Sums.zeros(*fields[:2])
    here = Sums.zeros(case.object, case.probe)
    views = gpu.views(case.setup)
    views.project(case.batch, *fields, (-0.9, 1.0, 1.9), sums)
    views.project(case.batch, case.object, case.probe, case.waves, (-0.9, 1.0, 1.9), here)
    np.testing.assert_array_equal(fields[2].get(), case.waves)
    np.testing.assert_array_equal(sums.object.get(), here.object)
