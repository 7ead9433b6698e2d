"""The CUDA backend where there is no GPU: nothing is imported unasked, and one line says what is missing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import MAIN
from hpcdaas.backend import get_backend
from hpcdaas.backend.cuda import local_rank
from hpcdaas.backend.cuda_kernels import folder
from hpcdaas.errors import InputError

has_cupy = importlib.util.find_spec("cupy") is not None
needs_none = pytest.mark.skipif(has_cupy, reason="CuPy is here")


@needs_none
def test_without_cupy_one_line_says_what_to_install():
    with pytest.raises(InputError) as refused:
        get_backend("cuda")
    assert "needs CuPy" in refused.value.message
    assert "hpcdaas[cuda13]" in refused.value.hint
    assert "\n" not in refused.value.message + refused.value.hint


@pytest.mark.skipif(not has_cupy or Path("/dev/nvidiactl").exists(), reason="needs CuPy and no GPU")
def test_without_a_gpu_one_line_says_so():
    with pytest.raises(InputError, match="no GPU"):
        get_backend("cuda")


@needs_none
def test_the_command_line_refuses_with_code_2(tmp_path, write_dxchange, counts):
    scan = write_dxchange({
        "exchange/data": counts((8, 2, 16)), "exchange/data_white": counts((2, 2, 16)),
        "exchange/data_dark": counts((2, 2, 16)), "exchange/theta": [float(22.5 * i) for i in range(8)],
    })  # fmt: skip
    command = [sys.executable, "-c", MAIN, "reconstruct", scan, "-o", tmp_path / "r.h5"]
    done = subprocess.run([*command, "--backend", "cuda", "--center", "7.5", "--json"], capture_output=True, text=True)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "needs CuPy" in error["message"]
    assert "pip install" in error["hint"]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r.h5").exists()


def test_a_wrong_name_leads_to_the_nearest():
    with pytest.raises(InputError, match="cuda"):
        get_backend("cdua")


def test_the_program_doesnt_import_cupy_unasked():
    code = "import sys, hpcdaas.backend.cuda, hpcdaas.pipeline, hpcdaas.cli.main; print('cupy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_each_process_of_a_node_takes_its_own_gpu():
    assert local_rank({}) == 0
    assert local_rank({"SLURM_LOCALID": "3"}) == 3
    assert local_rank({"OMPI_COMM_WORLD_LOCAL_RANK": "1", "SLURM_LOCALID": "0"}) == 1


def test_kernels_are_found_beside_the_checkout_and_in_an_installation(tmp_path, monkeypatch):
    assert (folder() / "detect.cu").is_file()
    package = tmp_path / "site-packages" / "hpcdaas"
    (package / "kernels").mkdir(parents=True)
    (package / "kernels" / "element.h").touch()
    monkeypatch.setattr("hpcdaas.__file__", str(package / "__init__.py"))
    folder.cache_clear()
    try:
        assert folder() == package / "kernels"
    finally:
        folder.cache_clear()
