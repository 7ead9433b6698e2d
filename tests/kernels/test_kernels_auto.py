"""What is chosen where nobody says what computes: the kernels run on the host, whole and broken ones."""

from __future__ import annotations

import numpy as np
import pytest
from host_device import HostBackend, HostDevice

import hpcdaas
from hpcdaas import pipeline
from hpcdaas.backend import auto
from hpcdaas.backend.auto import TRIALS, choose
from hpcdaas.errors import InputError
from hpcdaas.pipeline import Watcher

BROKEN = {"ptychography": ("move", "the object of rPIE"), "tomography": ("filter", "backproject")}


class Lame(HostDevice):
    """A device that doesn't start one kernel, or can't."""

    def __init__(self, compiler, lacks, error=None):
        super().__init__(compiler)
        self._lacks, self._error = lacks, error

    def kernel(self, file, **defines):
        return None if file == self._lacks else super().kernel(file, **defines)

    def launch(self, kernel, grid, *arguments):
        if kernel is not None:
            super().launch(kernel, grid, *arguments)
        elif self._error:
            raise self._error


@pytest.fixture
def use(monkeypatch):
    """Let a device be the GPU that is here."""

    def use(device):
        monkeypatch.setattr(auto, "DRIVER", "libc.so.6")
        monkeypatch.setattr(auto, "CudaBackend", lambda threads: HostBackend(device))

    return use


@pytest.mark.parametrize("technique", TRIALS)
def test_a_gpu_that_finds_the_same_is_taken(compiler, use, technique):
    use(HostDevice(compiler))
    backend, why = choose(technique)
    assert (backend.name, why) == ("cuda", "")


@pytest.mark.parametrize("technique", TRIALS)
def test_one_that_finds_something_else_is_not(compiler, use, technique):
    kernel, what = BROKEN[technique]
    use(Lame(compiler, kernel))
    backend, why = choose(technique, 1)
    assert backend.name == "cpu"
    assert why.startswith(f"{what} differs from the processor's by")


def test_one_that_fails_is_not(compiler, use):
    use(Lame(compiler, "detect", RuntimeError("no kernel image is available")))
    backend, why = choose("ptychography", 1)
    assert (backend.name, why) == ("cpu", "it fails: no kernel image is available")


def test_one_that_can_not_be_had_is_not(monkeypatch):
    def busy(threads):
        raise RuntimeError("all devices are busy\nand a second line")

    monkeypatch.setattr(auto, "DRIVER", "libc.so.6")
    monkeypatch.setattr(auto, "CudaBackend", busy)
    backend, why = choose("tomography", 1)
    assert (backend.name, why) == ("cpu", "it fails: all devices are busy")


def test_without_a_driver_or_what_it_takes_nothing_is_said(monkeypatch):
    monkeypatch.setattr(auto, "CudaBackend", lambda threads: pytest.fail("there is nothing to try"))
    monkeypatch.setattr(auto, "DRIVER", "libnone.so")
    assert choose("tomography", 1)[1] == ""
    monkeypatch.setattr(auto, "DRIVER", "libc.so.6")

    def refuse(threads):
        raise InputError("no CuPy")

    monkeypatch.setattr(auto, "CudaBackend", refuse)
    backend, why = choose("tomography", 1)
    assert (backend.name, why) == ("cpu", "")


@pytest.mark.parametrize(("lacks", "told"), [("", None), ("filter", "The GPU isn't taken, backproject differs")])
def test_a_run_takes_it_or_says_why_not(compiler, use, tmp_path, write_dxchange, counts, lacks, told):
    device = Lame(compiler, lacks)
    use(device)
    scan = write_dxchange({
        "exchange/data": counts((8, 2, 16)), "exchange/data_white": counts((2, 2, 16)) + np.uint16(2000),
        "exchange/data_dark": counts((2, 2, 16)) * np.uint16(0), "exchange/theta": [float(22.5 * i) for i in range(8)],
    })  # fmt: skip
    recipe, said = hpcdaas.default_recipe().override(["scan.center=7.5"]), []
    tried = len(device.crossed)
    pipeline.reconstruct(scan, recipe, tmp_path / "r.h5", register_result=False, watcher=Watcher(say=said.append))
    about = [line for line in said if "GPU" in line]
    assert about[0].startswith(told) if told else not about
    assert len(device.crossed) > tried
