"""Every kernel compiles for GPUs, without a GPU: no warnings; registers and spills are shown."""

from __future__ import annotations

import os

import device_compilers
import pytest

from hpcdaas.backend.cuda_kernels import folder, source
from hpcdaas.backend.cuda_pieces import COUNTS

NAMES = sorted(path.stem for path in folder().glob("*.cu"))
#: Modes, types and noise models, each in one of them.
PLAIN = {"PROBES": 2, "OBJECTS": 3, "COUNTS": "float", "NOISE": 2, "PAIRS": 1}
MANY = {"PROBES": 4, "COUNTS": "unsigned short", "NOISE": 0, "PAIRS": 4, "SLICES": 4}


@pytest.fixture(scope="module")
def compiler():
    found = device_compilers.find()
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("neither NVRTC nor nvcc is here, and kernels are compiled on each commit")
    if found is None:
        pytest.skip("neither NVRTC (pip install nvidia-cuda-nvrtc) nor nvcc is here")
    return found


@pytest.mark.parametrize("macros", [PLAIN, MANY], ids=["two by three modes", "four modes"])
def test_kernels_compile_without_a_word(compiler, tmp_path, macros):
    assert compiler.compile(NAMES, macros, False, tmp_path).strip() == ""


def test_registers_suffice(compiler, tmp_path, tell_registers):
    report = device_compilers.parse(compiler.compile(NAMES, MANY, True, tmp_path))
    tell_registers(compiler.name, report)
    assert {key[0] for key in report} == set(NAMES)
    assert {key[1] for key in report} == set(device_compilers.ARCHITECTURES)
    assert [key for key, (_, spilled) in report.items() if spilled] == []


def test_the_text_holds_each_header_once_and_keeps_line_numbers():
    text = source("detect").splitlines()
    assert sum("struct OneFloat" in line for line in text) == 1
    assert not any("#include" in line or "#pragma" in line for line in text)
    for name in ("detect.cu", "views.h", "device.h", "element.h"):
        original = (folder() / name).read_text().splitlines()
        here, at = "", 0
        seen = {}
        for line in text:
            if line.startswith("#line"):
                _, number, quoted = line.split()
                here, at = quoted.strip('"'), int(number)
                continue
            seen[here, at] = line
            at += 1
        for number, line in enumerate(original, 1):
            if not line.startswith(("#include", "#pragma")):
                assert seen[name, number] == line


def test_each_kernel_is_named_like_its_file_and_says_how_it_is_launched():
    for name in NAMES:
        text = (folder() / f"{name}.cu").read_text()
        assert text.count("HPCDAAS_KERNEL") == 1
        assert f"HPCDAAS_KERNEL {name}(" in text
        assert "// Grid: " in text.split("#include")[0]
        assert not {"texture", "surf2D", "cudaMalloc", "cufft", "<<<"} & set(text.split())


def test_all_types_of_counts_are_known():
    assert set(COUNTS) == {"u1", "u2", "i2", "u4", "i4", "f4"}
