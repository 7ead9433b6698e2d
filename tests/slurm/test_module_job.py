"""The module in real jobs: what a user's script loads, and what the site file says that jobs load."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from private_slurm import Cluster, eventually

from desk import Desk

ROOT = Path(__file__).parents[2]
#: How a batch script, which is no login shell, comes to `module`.
MODULE = Path("/etc/profile.d/modules.sh")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out an installation, whose hpcdaas is that of this environment; give the folder for `module use`."""
    if not MODULE.exists():
        what = "no Tcl Modules: apt-get install environment-modules"
        pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)
    top = tmp_path_factory.mktemp("site").resolve()
    given = {"PREFIX": top / "opt", "MODULEFILES": top / "modulefiles", "ENVIRONMENT": sys.prefix}
    environment = {**os.environ, **{name: str(value) for name, value in given.items()}}
    command = ["make", "--no-print-directory", "install"]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    return top / "modulefiles"


def test_the_doctor_runs_in_a_job(slurm: Cluster, site: Path, tmp_path: Path) -> None:
    script = tmp_path / "job"
    script.write_text(
        f'#!/bin/bash\n. /etc/profile\nmodule use "{site}"\nmodule load hpcdaas\n'
        'echo "$HPCDAAS_PREFIX" >prefix\nhpcdaas doctor --json >found\nmv found done\n'
    )
    slurm.command("sbatch", "--export=NONE", f"--chdir={tmp_path}", "--mem=2G", "--cpus-per-task=2", str(script))
    eventually("the doctor's end", (tmp_path / "done").exists, 90)
    assert Path((tmp_path / "prefix").read_text().strip()) == site.with_name("opt")
    found = json.loads((tmp_path / "done").read_text())
    assert found["ok"] is True
    assert {check["name"]: check["state"] for check in found["checks"]}["program"] == "ok"


def user(desk: Desk, *lines: str) -> subprocess.CompletedProcess[str]:
    """Run lines in a login shell of a user, in the folder of the desk."""
    environment = {**desk.cluster.environment, "HOME": str(desk.folder)}
    slurm = f'export PATH="$PATH:{environment["PATH"]}"'  # where this machine's SLURM and tools are
    return subprocess.run(
        ["bash", "-c", "\n".join([". /etc/profile", slurm, *lines])],
        cwd=desk.folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["hpcdaas", "hpcdass"])
def test_a_submitted_run_loads_the_module(desk: Desk, site: Path, name: str) -> None:
    """Its job knows where modules are, and keeps to the run's site file, whatever the module's is."""
    desk.site(f'[job]\nmodules = ["{name}"]\n[limits]\npool_seconds = 0\ntries = 1')
    (site.with_name("opt") / "etc" / "site.toml").write_text("not = [ TOML")
    scan = desk.scan()
    load = [f'module use "{site}"', "module load hpcdaas", "command -v hpcdaas"]
    done = user(
        desk, *load, f'hpcdaas submit "{scan}" -r r.toml -o out/ --site site.toml --wait; hpcdaas status --json'
    )
    said = done.stdout[done.stdout.index("{") :]
    (run,) = json.loads(said)["runs"]
    log = Path(run["log"]).read_text()
    if name == "hpcdaas":
        assert run["state"] == "registered", done.stderr + log
        assert done.stdout.startswith(str(site.with_name("opt") / "bin"))
    else:
        assert run["state"] == "failed"
        assert re.search("Unable to locate a modulefile for.*hpcdass", log)
