"""The shim shows what is wrong with a kernel: barriers that lack, arguments that don't fit, writes outside an array."""

from __future__ import annotations

import faulthandler
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from host_device import ORDERS, HostDevice

from hpcdaas.backend import Correction
from hpcdaas.backend.cuda_device import F64, I32
from hpcdaas.backend.cuda_kernels import folder, source
from hpcdaas.backend.cuda_tomo import CudaTomo
from hpcdaas.backend.cuda_views import CudaViews
from hpcdaas.backend.views import LsqStep, PieStep, Sums
from tomo_cases import scan
from views_cases import Case

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("step", [1, -1])
def test_a_missing_barrier_shows(compiler, step):
    values = RNG.standard_normal(512).astype(np.float32)
    expected = values + np.roll(values.reshape(2, 256), -step, axis=1).ravel()
    right = {}
    for macros in ({}, {"BARRIER": 1}):
        for order in ORDERS:
            device = HostDevice(compiler, order)
            there, out = device.put(values), device.empty(512, np.float32)
            device.launch(device.kernel("neighbours", STEP=step, **macros), (2,), there, out)
            right[order, bool(macros)] = np.array_equal(out.get(), expected)
    assert all(right[order, True] for order in ORDERS)
    assert not right["random", False]
    assert not right["forward" if step > 0 else "backward", False]


@pytest.mark.parametrize("order", ORDERS)
def test_collectives_of_a_warp(compiler, order):
    device = HostDevice(compiler, order)
    values = RNG.integers(0, 99, 256).astype(np.int32)
    out = [device.empty(256, np.int32) for _ in range(5)]
    total = device.zeros(1, np.int32)
    device.launch(device.kernel("lanes"), (1,), device.put(values), *out, total)
    warps, lane = values.reshape(8, 32), np.arange(32)
    expected = [
        warps[:, np.where(lane + 3 < 32, lane + 3, lane)], warps[:, np.where(lane >= 5, lane - 5, lane)],
        warps[:, lane ^ 9], warps[:, 0 * lane], np.repeat((warps % 3 == 0).sum(axis=1)[:, None], 32, axis=1),
    ]  # fmt: skip
    for found, wanted in zip(out, expected, strict=True):
        np.testing.assert_array_equal(found.get(), wanted.ravel())
    assert total.item() == values.sum()


def test_threads_that_wait_for_ever_are_reported(compiler):
    device = HostDevice(compiler)
    with pytest.raises(AssertionError, match="don't come"):
        device.launch(device.kernel("stuck"), (1,), device.empty(1, np.int32))
    out = device.empty(256, np.float32)
    device.launch(device.kernel("neighbours", BARRIER=1), (1,), device.zeros(256, np.float32), out)
    assert not out.get().any()  # and the next kernel runs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda device, a: (a[0],), "1 for"),
        (lambda device, a: (np.zeros(256, np.float32), a[1]), "of the host"),
        (lambda device, a: (a[0].astype(np.float64), a[1]), "float64 for"),
        (lambda device, a: (device.zeros(512, np.float32)[::2], a[1]), "contiguous"),
        (lambda device, a: (a[0], device.empty(255, np.float32)), "behind an array"),
    ],
)
def test_wrong_arguments_are_refused(compiler, change, message):
    device = HostDevice(compiler)
    arguments = device.zeros(256, np.float32), device.empty(256, np.float32)
    with pytest.raises(AssertionError, match=message):
        device.launch(device.kernel("neighbours", BARRIER=1), (1,), *change(device, arguments))


def barriers() -> list[tuple[str, int]]:
    """Give each barrier of each kernel with those of its headers: its file and its number there."""
    names = sorted(path.stem for path in folder().glob("*.cu"))
    return [(name, i) for name in names for i in range(len(BARRIER.findall(used(name))))]


BARRIER = re.compile(r"__syncthreads\(\);")


def used(name: str) -> str:
    """Give a kernel's text without the functions of headers that it doesn't call."""
    text = source(name)
    for function in ("block_sum", "block_largest", "make_list"):
        if len(re.findall(rf"\b{function}\(", text)) == 1:
            text = re.sub(rf"\n[^\n]*\n[^\n]*\b{function}\(.*?\n}}\n", "\n", text, flags=re.DOTALL)
    return text


class Mutated(HostDevice):
    """A device one of whose kernels lacks one barrier."""

    def __init__(self, compiler, name, text, **more):
        super().__init__(compiler, **more)
        self._name, self._text = name, text

    def kernel(self, file, **defines):
        if file == self._name:
            return self._compiler.compile(file, self._text, **defines)
        return super().kernel(file, **defines)


def of_views(device):
    """Use all kernels of views: more than a pixel's threads take at once, or a block looks for at once."""
    case = Case(n=33, views=40, probes=2)
    object_, probe = case.fields()
    views = CudaViews(device, case.setup)
    misfit = views.lsq(case.batch, [0, 40], object_, probe, LsqStep(0.1, 0.1, True, True), None)
    pie_misfit = views.pie(case.batch, [0, 40], object_, probe, PieStep(0.3, 0.8, 0.5, 0.5))
    many = Case(n=8, views=600)
    sums = Sums.zeros(many.object, many.probe)
    CudaViews(device, many.setup).gradient(many.batch, many.object, many.probe, "gaussian", sums)
    columns, rows = device.zeros(64, np.float64), device.put(np.arange(64 * 300, dtype=np.float32))
    # one sum after the other, so that a warp may be far ahead of another
    device.launch(device.kernel("total", COLUMNS=64), (1,), rows, I32(300), F64(1), columns, None)
    numbers = [*misfit.misfit, *misfit[1:], *pie_misfit, *columns.tolist()]
    fields = (object_, probe, sums.object, sums.probe, np.array(numbers))
    return np.concatenate([field.ravel() for field in fields])


def of_rows(device):
    """Use all kernels of tomography: lines too many to be looked for at once, rows too long for a block."""
    data, plan = scan(33, 3, angles=300)
    slices, logarithm = np.zeros((3, 33, 33), np.float32), replace(Correction.none(data.shape), log=True)
    tomo = CudaTomo(device)
    tomo.fbp(data, None, plan, slices)
    corrected, low = tomo.correct(data[:100], logarithm)
    long, plan = scan(140, 2, angles=9)
    others = np.zeros((2, 140, 140), np.float32)
    tomo.filtered_backprojection(long, None, plan, others)
    return np.concatenate([slices.ravel(), others.ravel(), corrected.ravel(), [low]])


OF_ROWS = {"backproject", "correct", "differences", "gather"}


def results(compiler, name, kind=HostDevice, *more, order="forward"):
    """Use a kernel and those that go with it."""
    device = kind(compiler, *more, order=order, cache=1 << 20)
    return of_rows(device) if name in OF_ROWS else of_views(device)


@pytest.fixture(scope="module")
def right(compiler):
    return {name: results(compiler, name) for name in ("gather", "detect")}


def expected(right, name):
    return right["gather" if name in OF_ROWS else "detect"]


@pytest.mark.parametrize("name", ["gather", "detect"])
@pytest.mark.parametrize("order", ["backward", "random"])
def test_any_order_of_threads_gives_the_same_bits(compiler, right, order, name):
    np.testing.assert_array_equal(results(compiler, name, order=order), right[name])


@pytest.mark.parametrize(("name", "number"), barriers())
def test_every_barrier_is_needed(compiler, right, name, number):
    text = used(name)
    place = list(BARRIER.finditer(text))[number]
    lacking = text[: place.start()] + text[place.end() :]
    for order in ("random", "backward", "forward"):
        if differs(
            lambda order=order: results(compiler, name, Mutated, name, lacking, order=order), expected(right, name)
        ):
            return
    pytest.fail("nobody would notice if this barrier were missing")


def differs(make, right):
    """Say whether results are others, or can't be had at all: in a process of its own, which may crash."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        try:
            os._exit(0 if np.array_equal(make(), right) else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] != 0
