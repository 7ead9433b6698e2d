from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcdaas.cluster.site import Site
from hpcdaas.cluster.site.preamble import environment, interpreter, lines, program

#: What a shell would do something with.
ODD = "a b'c\"d$(touch harm)`touch harm`;&*\\"


def in_shell(site: Site, command: str, folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    script = "\n".join([before, *lines(site), command])
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def site(**job: Any) -> Site:
    return Site.model_validate({"job": job})


def test_variables_reach_the_program_as_they_are(tmp_path: Path) -> None:
    done = in_shell(site(variables={"ODD": ODD}), 'printf %s "$ODD"', tmp_path)
    assert done.stdout == ODD
    assert not (tmp_path / "harm").exists()


def test_the_environment_comes_first_in_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "an environment" / "bin"
    folder.mkdir(parents=True)
    (folder / "hpcdaas").write_text("#!/bin/sh\necho mine\n")
    (folder / "hpcdaas").chmod(0o755)
    here = site(environment=str(folder.parent))
    assert in_shell(here, "hpcdaas", tmp_path).stdout == "mine\n"
    assert in_shell(here, shlex.join(program(here)), tmp_path).stdout == "mine\n"


def test_without_an_environment_it_is_this_one(tmp_path: Path) -> None:
    assert interpreter(Site()) == [str(Path(sys.executable).parent / "python")]
    done = in_shell(Site(), shlex.join([*program(Site()), "--help"]), tmp_path)
    assert "reconstruct" in done.stdout, done.stderr


def test_modules_are_loaded_and_one_that_is_missing_ends_the_job(tmp_path: Path) -> None:
    has = 'module() { [ "$2" != missing ] && echo "$1 $2"; }'
    done = in_shell(site(modules=["tools", ODD]), "echo on", tmp_path, before=has)
    assert done.stdout == f"load tools\nload {ODD}\non\n"
    done = in_shell(site(modules=["missing", "tools"]), "echo on", tmp_path, before=has)
    assert (done.stdout, done.returncode) == ("", 1)


def test_scratch_is_made_and_used(tmp_path: Path) -> None:
    scratch = tmp_path / "fast $disk"
    assert in_shell(site(scratch=str(scratch)), 'printf %s "$TMPDIR"', tmp_path).stdout == str(scratch)
    assert scratch.is_dir()


@pytest.mark.parametrize(("locking", "word"), [(False, "FALSE"), (True, "TRUE")])
def test_hdf5_locks_as_the_site_says(locking: bool, word: str) -> None:
    assert environment(Site.model_validate({"files": {"locking": locking}}))["HDF5_USE_FILE_LOCKING"] == word


def test_an_image_is_entered_with_its_paths(tmp_path: Path) -> None:
    inside = site(image="/images/hpc daas.sif", bind=["/data", "/scratch:/tmp"])
    words = ["apptainer", "--silent", "exec", "--nv", "--bind", "/data", "--bind", "/scratch:/tmp"]
    assert program(inside) == [*words, "/images/hpc daas.sif", "hpcdaas"]
    assert interpreter(inside) == [*words, "/images/hpc daas.sif", "python3"]
    assert not any(line.startswith("export PATH") for line in lines(inside))
