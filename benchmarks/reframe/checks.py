"""hpcdaas as ReFrame tests: the machine, primitives against their floors, whole runs, ranks, nodes, a GPU.

References are ratios to floors that are measured in the same run, and residuals: they need no number of any site.

    reframe -C benchmarks/reframe/settings.py -c benchmarks/reframe/checks.py -r -t ci

Partitions say by features what they have, ``mpi``, ``gpu``, ``slurm``, and environments that they hold ``hpcdaas``, and
``tests`` where its Python has pytest. ``-S quick=1`` measures tiny sizes, only to see that all works; ``-S cores=8``
takes as many of a node that isn't one's own (with ``-S exclusive_access=0``).
"""

# ruff: noqa: D102, RUF012  (ReFrame reads class attributes, and hooks say by their decorators what they are)

import json
import re
from pathlib import Path

import reframe.utility.sanity as sn
import reframe.utility.typecheck as typ
from reframe.core.backends import getlauncher
from reframe.core.builtins import parameter, performance_function, run_after, run_before, sanity_function, variable

import reframe as rfm

ROOT = Path(__file__).resolve().parents[2]
#: Ratio to its floor at which something is wrong with the installation: several times what it is where all is well.
TOO_SLOW = 8.0
#: What has a floor that is far below what is possible, or runs on one core only: shown, and held against nothing.
SHOWN = ("correct", "outliers", "phase", "stripes")


class Measured(rfm.RunOnlyRegressionTest):
    """What leaves figures in its stage folder."""

    quick = variable(typ.Bool, value=False)
    cores = variable(int, value=0)
    valid_systems = ["*"]
    valid_prog_environs = ["+hpcdaas"]
    sourcesdir = None
    keep_files = ["figures.json"]
    num_tasks = 1
    exclusive_access = True
    time_limit = "30m"
    extra_resources = {"memory": {"size": "3G"}}
    maintainers = ["hpcdaas"]

    @run_before("run")
    def take(self):
        """Run one process without the launcher, which would give it one core, on as many as are known or asked for."""
        self.job.launcher = getlauncher("local")()
        self.num_cpus_per_task = self.cores or self.current_partition.processor.num_cpus

    @property
    def written(self):
        """Where the figures are."""
        return Path(self.stagedir, "figures.json")

    @property
    def found(self):
        """What was measured."""
        return json.loads(self.written.read_text(encoding="utf-8"))

    @property
    def figures(self):
        """The figures that say something."""
        return self.found["figures"]

    @sanity_function
    def right(self):
        """It ended well, as far as the scheduler tells, has measured, and nothing that was fast was wrong."""
        sn.evaluate(sn.assert_true(self.written.exists(), "no figures were written"))
        sn.evaluate(sn.assert_eq(self.found.get("wrong", []), [], "wrong results: {0}"))
        sn.evaluate(sn.assert_true(self.figures, f"nothing was measured: {' '.join(self.found['notes'])}"))
        return sn.assert_in(self.job.exitcode, (0, None), "it has failed with code {0}")

    def show(self, figures, limit=lambda figure: None):
        """Report ratios, where there are none values; hold a ratio against a limit where there is one."""
        held = {}
        for figure in figures:
            name, most = key(figure), limit(figure)
            number, unit = figure["ratio"], "x"
            if number is None:
                number, unit = figure["value"], figure["unit"] or "1"
            self.perf_variables[name] = sn.make_performance_function(sn.defer(number), unit)
            if most is not None:
                held[name] = (most, None, 0.0, unit)
        if held:
            self.reference = {"*": held}


class Bench(Measured):
    """`hpcdaas bench` up to a level."""

    level = variable(int)
    executable = "hpcdaas"

    @run_after("init")
    def ask(self):
        quick = ["--quick"] if self.quick else []
        self.executable_opts = ["bench", "--level", str(self.level), "--out", "figures.json", *quick]


@rfm.simple_test
class Machine(Bench):
    """Level 0: what the machine can do; shown, and held against nothing."""

    descr = "Memory, cores, transforms, files and ranks of a node"
    level = 0
    tags = {"ci", "maintenance"}

    @run_before("performance")
    def machine(self):
        self.show([figure | {"ratio": None} for figure in self.figures])


@rfm.simple_test
class Primitives(Bench):
    """Level 1: primitives and algorithms against the floors of the same run."""

    descr = "Primitives and algorithms against their floors"
    level = 1
    tags = {"ci", "production", "maintenance"}

    @run_before("performance")
    def against_floors(self):
        self.show([figure for figure in self.figures if figure["flops"] or figure["residual"]], self.limit)

    def limit(self, figure):
        """Hold residuals, and what runs on one thread: how it scales is for people to look at."""
        if figure["residual"]:
            return figure["goal"]["must"]
        name, _, threads = figure["name"].rpartition(", ")
        return None if self.quick or name in SHOWN or threads != "1 thread" else TOO_SLOW


@rfm.simple_test
class Whole(Bench):
    """Level 2: scan files to registered results, held against the truth."""

    descr = "Whole runs, from a scan file to the catalogue"
    level = 2
    tags = {"production"}

    @run_before("performance")
    def right_and_fast(self):
        whole = [figure for figure in self.figures if "," in figure["group"] and not figure["flops"]]
        self.show(whole, lambda figure: figure["goal"]["must"] if figure["residual"] else None)


@rfm.simple_test
class Ranks(Bench):
    """What ranks do between each other on a node, under the site's launcher."""

    descr = "Two ranks on a node"
    level = 0
    tags = {"ci", "production", "maintenance"}
    valid_systems = ["+mpi"]
    num_tasks = 2
    num_tasks_per_node = 2

    @run_before("run")
    def take(self):
        """Take a core for each rank, and the site's launcher."""
        self.num_cpus_per_task = 1

    @run_before("performance")
    def between(self):
        self.show(self.figures)


@rfm.simple_test
class Nodes(Ranks):
    """The same through the network."""

    descr = "Two ranks on two nodes"
    valid_systems = ["+mpi +slurm"]
    num_tasks_per_node = 1


@rfm.simple_test
class Gpu(Bench):
    """Level 0 of a GPU."""

    descr = "Memory, transforms and multiply-adds of a GPU, and the way to it"
    level = 0
    tags = {"ci", "production", "maintenance"}
    valid_systems = ["+gpu"]
    num_gpus_per_node = 1

    @property
    def figures(self):
        """The figures of the GPU."""
        return [figure for figure in self.found["figures"] if figure["group"] == "GPU"]

    @run_before("performance")
    def gpu(self):
        self.show(self.figures)


class OfProgram(Measured):
    """What the Python runs in which hpcdaas is."""

    valid_systems = ["+gpu"]
    num_gpus_per_node = 1
    prerun_cmds = ['python=$(dirname "$(readlink -f "$(command -v hpcdaas)")")/python']
    executable = '"$python"'
    env_vars = {"PYTHONDONTWRITEBYTECODE": "1"}


@rfm.simple_test
class GpuPrimitives(OfProgram):
    """The scripts that hold results on a GPU against the definition or C++, and times against the GPU's floors."""

    technique = parameter(["ptycho", "tomo"])
    tags = {"production", "maintenance"}

    @run_after("init")
    def ask(self):
        self.descr = f"Primitives on a GPU against its floors: {self.technique}"
        script = str(ROOT / "benchmarks" / f"bench_gpu_{self.technique}.py")
        self.executable_opts = [f"'{script}'", "--json", "figures.json", *(["--quick"] if self.quick else [])]

    @run_before("performance")
    def against_floors(self):
        self.show([figure for figure in self.figures if figure["ratio"] is not None], self.limit)

    def limit(self, figure):
        """Hold errors against what is allowed, and what has a goal against its floor."""
        if figure["goal"] is None:
            return None
        if not figure["unit"]:
            return figure["goal"]["must"]
        return None if self.quick else TOO_SLOW


@rfm.simple_test
class GpuTests(OfProgram):
    """The tests of the GPU backend."""

    descr = "Tests of the GPU backend"
    tags = {"ci", "maintenance"}
    valid_prog_environs = ["+hpcdaas +tests"]
    keep_files = []
    executable_opts = ["-m", "pytest", f"'{ROOT / 'tests' / 'gpu'}'", "-rs", "-p", "no:cacheprovider"]

    @sanity_function
    def right(self):
        """Some have passed, and none has failed."""
        sn.evaluate(sn.assert_found(r"\d+ passed", self.stdout))
        sn.evaluate(sn.assert_not_found(r"\d+ (failed|error)", self.stdout))
        return sn.assert_in(self.job.exitcode, (0, None))

    @performance_function("tests")
    def passed(self):
        return sn.extractsingle(r"(\d+) passed", self.stdout, 1, int)


def key(figure):
    """Make a name that ReFrame takes: the figure's, and of what size it was."""
    size = figure["group"].partition(", ")[2]
    name = figure["name"] if size in figure["name"] else f"{figure['name']} {size}"
    return "_".join(re.findall("[A-Za-z0-9]+", re.sub(r"(\d+)²", r"\1x\1", name).replace(" × ", "x")))
