"""The ReFrame tests of benchmarks/reframe: what they list, and that they run here and as jobs of a private SLURM."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from private_slurm import Cluster, eventually
from test_module_job import site

from hpcdaas.backend import get_backend
from hpcdaas.cli.bench import app
from hpcdaas.errors import InputError
from test_cli_bench import BREAK_FBP, RUN

__all__ = ["site"]  # a fixture

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CHECKS, SETTINGS = (BENCHMARKS / "reframe" / name for name in ("checks.py", "settings.py"))
#: Seconds within which pip, and a run of ReFrame, must end.
PATIENCE = 240
CI, PRODUCTION, MAINTENANCE = "ci", "production", "maintenance"
ALWAYS = {CI, PRODUCTION, MAINTENANCE}
#: What there is on any partition, where it has ranks, nodes, a GPU; and the tags.
ANYWHERE = {"Machine": {CI, MAINTENANCE}, "Primitives": ALWAYS, "Whole": {PRODUCTION}}
RANKS, NODES = {"Ranks": ALWAYS}, {"Nodes": ALWAYS}
GPU = {
    "Gpu": ALWAYS, "GpuPrimitives %technique=ptycho": {PRODUCTION, MAINTENANCE},
    "GpuPrimitives %technique=tomo": {PRODUCTION, MAINTENANCE}, "GpuTests": {CI, MAINTENANCE},
}  # fmt: skip


def assigned(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Give the names to which something is assigned, attributes too, and what it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield getattr(target, "id", getattr(target, "attr", "")), node.value


def texts(tree: ast.AST) -> list[str]:
    """Give the strings of a piece of code."""
    return [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def test_the_checks_name_no_site_and_give_options_that_there_are() -> None:
    tree = ast.parse(CHECKS.read_text(encoding="utf-8"))
    ast.parse(SETTINGS.read_text(encoding="utf-8"))
    found = list(assigned(tree))
    chosen = [
        text for name, value in found if name in ("valid_systems", "valid_prog_environs") for text in texts(value)
    ]
    assert len(chosen) >= 5
    assert [text for text in chosen if not re.fullmatch(r"\*|\+\w+( \+\w+)*", text)] == []
    references = [value for name, value in found if name == "reference"]
    assert references
    assert all([ast.literal_eval(key) for key in value.keys] == ["*"] for value in references)
    given = {text for name, value in found if name in ("executable_opts", "quick") for text in texts(value)}
    there = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
    assert {text for text in given if text.startswith("--")} == {"--level", "--out", "--quick", "--json"}
    assert {"--level", "--out", "--quick"} <= there
    techniques = next(texts(value) for name, value in found if name == "technique")
    scripts = [BENCHMARKS / f"bench_gpu_{technique}.py" for technique in techniques]
    assert sorted(scripts) == sorted(BENCHMARKS.glob("bench_gpu_*.py"))
    for script in scripts:
        done = subprocess.run(
            [sys.executable, script, "--help"], capture_output=True, text=True, timeout=60, check=True
        )
        assert {"--json", "--quick"} <= set(re.findall(r"--\w+", done.stdout))


@dataclass(frozen=True)
class ReFrame:
    """ReFrame with the checks and the configuration of the benchmarks.

    Attributes
    ----------
    program : Path
    folder : Path
        Its home, and where it leaves what it makes.
    environment : dict of str
    """

    program: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Run it; give what it said."""
        command = [self.program, "-C", SETTINGS, "-c", CHECKS, "--prefix", self.folder, "--nocolor", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | variables, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def cases(self, system: str, *arguments: str, **variables: str) -> set[str]:
        """List the names of the checks that can run on a system."""
        said = self.run("-LC", "--system", system, *arguments, **variables)
        return set(re.findall(rf"^- (\S.*?) /\w+ @{system}\+installed$", said, re.MULTILINE))

    def tags(self, system: str, **variables: str) -> dict[str, set[str]]:
        """Give the checks that can run on a system, with their tags."""
        described = json.loads(self.run("--describe", "--system", system, **variables))
        return {check["display_name"]: set(check["tags"]) for check in described}

    def report(self, *arguments: str, code: int = 0, **variables: str) -> dict[str, dict[str, Any]]:
        """Run checks at tiny sizes; give ReFrame's report of each."""
        file = self.folder / "report.json"
        file.unlink(missing_ok=True)
        self.run("-r", "-S", "quick=1", "--report-file", str(file), *arguments, code=code, **variables)
        (run,) = json.loads(file.read_text())["runs"]
        return {case["display_name"]: case for case in run["testcases"]}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install ReFrame into an environment of its own."""
    venv = tmp_path_factory.mktemp("reframe") / "venv"
    kept = {name: value for name, value in os.environ.items() if name not in ("PIP_USER", "PIP_TARGET", "PIP_PREFIX")}
    pip = [
        venv / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "ReFrame-HPC>=4.7",
    ]
    try:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True, capture_output=True, timeout=PATIENCE)
        subprocess.run(pip, env=kept, check=True, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        what = f"ReFrame can't be installed: {said[-1] if said else error}"
        pytest.fail(what) if os.environ.get("CI") == "true" else pytest.skip(what)
    return venv / "bin" / "reframe"


def beside(cluster: Cluster, program: Path, folder: Path) -> ReFrame:
    """Give ReFrame beside a cluster; neither hpcdaas nor a GPU's driver is on the PATH."""
    without = [part for part in cluster.environment["PATH"].split(":") if part != str(Path(sys.executable).parent)]
    home = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("DATA", "CACHE", "STATE", "CONFIG")}
    kept = {name: value for name, value in cluster.environment.items() if not name.startswith(("RFM_", "HPCDAAS_"))}
    path = ":".join([write(folder / "none" / "nvidia-smi", "#!/bin/sh\nexit 9\n"), *without])
    return ReFrame(program, folder, kept | home | {"HOME": str(folder), "PATH": path})


@pytest.fixture
def reframe(program: Path, slurm: Cluster, tmp_path: Path) -> ReFrame:
    """Give ReFrame beside a SLURM without accounting."""
    return beside(slurm, program, tmp_path)


@pytest.fixture
def reframe_accounted(program: Path, accounted: Cluster, tmp_path: Path) -> ReFrame:
    """Give ReFrame beside a SLURM whose accounting says where jobs ran, and how they ended."""
    return beside(accounted, program, tmp_path)


def write(path: Path, script: str) -> str:
    """Write a program; give its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return str(path.parent)


def on_path(reframe: ReFrame, *folders: object) -> str:
    """Give a PATH that begins with folders."""
    return ":".join([*map(str, folders), reframe.environment["PATH"]])


@pytest.mark.long
def test_what_is_listed_follows_the_features(reframe: ReFrame) -> None:
    """Of this machine by what is on the PATH; the private SLURM says that its nodes have GPUs."""
    here = str(Path(sys.executable).parent)  # with hpcdaas, mpiexec and pytest
    assert reframe.cases("here:local") == set(ANYWHERE)
    assert reframe.tags("here:local", PATH=on_path(reframe, here)) == ANYWHERE | RANKS
    gpu = write(reframe.folder / "one" / "nvidia-smi", "#!/bin/sh\necho 'GPU 0: One (UUID: GPU-1)'\n")
    assert reframe.tags("here:local", PATH=on_path(reframe, gpu, here)) == ANYWHERE | RANKS | GPU
    assert reframe.tags("here:slurm", PATH=on_path(reframe, here)) == ANYWHERE | RANKS | NODES | GPU
    assert "GpuTests" not in reframe.cases("here:slurm"), "there is no pytest"
    assert reframe.cases("here:slurm", "-t", "maintenance", PATH=on_path(reframe, here)) == {
        name for name, tags in (ANYWHERE | RANKS | NODES | GPU).items() if MAINTENANCE in tags
    }


def assert_right(found: dict[str, dict[str, Any]], expected: set[str], system: str) -> None:
    """All have passed, and report ratios to floors that were measured in the same run."""
    assert {name: case["result"] for name, case in found.items()} == dict.fromkeys(expected, "pass")
    for name in expected:
        values = {key.removeprefix(f"{system}:"): value for key, value in found[name]["perfvalues"].items()}
        assert all(value[0] > 0 for value in values.values())
        if name == "Primitives":
            for task in ("fbp", "stripes", "gradient_gaussian", "difference_map", "lsqml"):
                (ratio,) = [value for key, value in values.items() if key.startswith(f"{task}_1_thread_")]
                assert ratio[4] == "x"
            (residual,) = [value for key, value in values.items() if key.startswith("residual_of_fbp")]
            assert residual[0] < residual[1] == 1  # the reference
            assert residual[5] == "pass"
        elif name == "Machine":
            assert values["memory_c_a_b_1_thread"][4] == "B/s"
        else:
            assert values["a_message_of_8_bytes_one_way"][4] == "s"


@pytest.mark.long
def test_ci_on_this_machine(reframe: ReFrame) -> None:
    found = reframe.report("-t", CI, "--system", "here:local", PATH=on_path(reframe, Path(sys.executable).parent))
    assert_right(found, {"Machine", "Primitives", "Ranks"}, "here:local")
    assert json.loads((reframe.folder / "output/here/local/installed/Primitives/figures.json").read_text())["figures"]


@pytest.mark.long
def test_what_is_fast_and_wrong_fails(reframe: ReFrame) -> None:
    wrong = write(reframe.folder / "wrong" / "hpcdaas", f"#!{sys.executable}\n{BREAK_FBP}{RUN}\n")
    found = reframe.report(
        "-n", "Primitives", "--system", "here:local", code=1,
        PATH=on_path(reframe, wrong, Path(sys.executable).parent),
    )  # fmt: skip
    assert (found["Primitives"]["result"], found["Primitives"]["fail_phase"]) == ("fail", "sanity")
    assert "wrong results: ['residual of fbp']" in found["Primitives"]["fail_reason"]


@pytest.mark.long
def test_ci_as_jobs_that_load_the_module(reframe_accounted: ReFrame, accounted: Cluster, site: Path) -> None:
    reframe, given = reframe_accounted, {"HPCDAAS_MODULE": "hpcdaas", "MODULEPATH": str(site)}
    found = reframe.report("-t", CI, "--system", "here:slurm", "-x", "^Gpu", **given)
    assert_right(found, {"Machine", "Primitives", "Ranks", "Nodes"}, "here:slurm")
    assert {case["job_exitcode"] for case in found.values()} == {0}
    nodes = (
        "sacct",
        "--allocations",
        "--noheader",
        "--parsable2",
        "--name=rfm_Ranks,rfm_Nodes",
        "--format=JobName,NNodes",
    )
    eventually("both jobs' records", lambda: len(accounted.command(*nodes).split()) == 2)
    assert set(accounted.command(*nodes).split()) == {"rfm_Ranks|1", "rfm_Nodes|2"}
    jobs = reframe.folder / "output" / "here" / "slurm" / "installed"
    lines = (jobs / "Primitives" / "rfm_job.sh").read_text().splitlines()
    assert [line for line in lines if line.startswith("module load")] == ["module load hpcdaas"]
    assert {"#SBATCH --exclusive", "#SBATCH --mem=3G"} <= set(lines)
    assert any(a.startswith("module load") and b.startswith("hpcdaas bench --level 1") for a, b in pairwise(lines))


@pytest.mark.long
def test_checks_of_a_gpu_pass_where_there_is_one_and_fail_where_there_is_none(reframe: ReFrame, site: Path) -> None:
    """The private SLURM says that its nodes have GPUs: what they find is this machine's, or nothing."""
    try:
        get_backend("cuda")
        result = "pass"
    except InputError:
        result = "fail"
    given = {"HPCDAAS_MODULE": "hpcdaas", "MODULEPATH": str(site)}
    shared = ["-S", "cores=2", "-S", "exclusive_access=0"]
    found = reframe.report("-n", "^Gpu", "--system", "here:slurm", *shared, code=int(result == "fail"), **given)
    assert {name: case["result"] for name, case in found.items()} == dict.fromkeys(GPU, result)
    if result == "pass":
        return
    for name, case in found.items():
        lines = (Path(case["stagedir"]) / "rfm_job.sh").read_text().splitlines()
        assert {"#SBATCH --gres=gpu:1", "#SBATCH --cpus-per-task=2"} <= set(lines)
        assert "#SBATCH --exclusive" not in lines
        assert case["fail_phase"] == "sanity"
        assert ("passed" if name == "GpuTests" else "nothing was measured") in case["fail_reason"]
