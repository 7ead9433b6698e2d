"""`hpcdaas bench` as ReFrame tests: the machine, primitives against its floors, whole runs, and ranks.

References are ratios to floors that are measured in the same run, and residuals: they need no number of any site.

    reframe -C benchmarks/reframe/settings.py -c benchmarks/reframe/checks.py -r [-t ci]

Systems say by features what they have (`settings.py` is one for a workstation and for SLURM): `+mpi`, `+gpu`, `+slurm`.
"""

# ruff: noqa: D102, RUF012  (ReFrame reads class attributes, and hooks say by their decorators what they are)

import json
import os
from pathlib import Path

import reframe.utility.sanity as sn
from reframe.core.builtins import run_after, run_before, sanity_function, variable

import reframe as rfm

#: Ratios to the floor that mean something is wrong with the installation: several times what they are where it is well.
TOO_SLOW = {"fbp": 8.0, "backproject": 8.0, "gradient, gaussian": 6.0, "LSQ-ML, compact groups of 32": 8.0, "dm": 8.0}


class Bench(rfm.RunOnlyRegressionTest):
    """`hpcdaas bench` up to a level; its figures are in the stage folder."""

    level = variable(int)
    valid_systems = ["*"]
    valid_prog_environs = ["+hpcdaas"]
    executable = "hpcdaas"
    num_tasks = 1
    time_limit = "30m"
    maintainers = ["hpcdaas"]

    @run_after("init")
    def ask(self):
        self.executable_opts = ["bench", "--level", str(self.level), "-o", "figures.json"]
        if os.environ.get("HPCDAAS_QUICK"):
            self.executable_opts.append("--quick")

    @run_before("run")
    def all_cores(self):
        """Take the cores of a node, where the site's configuration says how many there are."""
        cores = self.current_partition.processor.num_cpus
        self.num_cpus_per_task = int(os.environ.get("HPCDAAS_CORES", cores or 1))

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
        """The figures by name."""
        return {figure["name"]: figure for figure in self.found["figures"]}

    @property
    def threads(self):
        """Name the runs on all cores."""
        threads = self.found["settings"]["threads"]
        return "1 thread" if threads == 1 else f"{threads} threads"

    @sanity_function
    def right(self):
        """It ended well, as far as the scheduler tells, and nothing that was fast was wrong."""
        sn.evaluate(sn.assert_true(self.written.exists(), "hpcdaas bench has written nothing"))
        sn.evaluate(sn.assert_eq(self.found["wrong"], [], "wrong results: {0}"))
        return sn.assert_in(self.job.exitcode, (0, None), "hpcdaas bench has failed")


@rfm.simple_test
class Machine(Bench):
    """Level 0: what the machine can do; shown, and held against nothing."""

    level = 0
    tags = {"ci", "maintenance"}

    @run_before("performance")
    def shown(self):
        names = [name for name, f in self.figures.items() if f["unit"] in ("B/s", "flop/s", "s")]
        self.perf_variables = {key(name): figure(self, name) for name in names}


@rfm.simple_test
class Primitives(Bench):
    """Level 1: primitives and algorithms against the floors of the same run."""

    level = 1
    tags = {"ci", "production", "maintenance"}

    @run_before("performance")
    def against_floors(self):
        on = self.threads
        self.perf_variables = {key(name): ratio(self, f"{name}, {on}") for name in TOO_SLOW}
        self.perf_variables["residual_of_fbp"] = ratio(self, "residual of fbp")
        limits = {key(name): (most, None, 0.0, "x") for name, most in TOO_SLOW.items()}
        quick = os.environ.get("HPCDAAS_QUICK")  # figures of tiny sizes say nothing
        self.reference = {"*": ({} if quick else limits) | {"residual_of_fbp": (1.0, None, 0.0, "x")}}


@rfm.simple_test
class Whole(Bench):
    """Level 2: scan files to registered results, held against the truth."""

    level = 2
    tags = {"production"}

    @run_before("performance")
    def right_and_fast(self):
        residuals = [name for name, f in self.figures.items() if f["residual"]]
        self.perf_variables = {key(name): ratio(self, name) for name in residuals}
        self.reference = {"*": {key(name): (1.0, None, 0.0, "x") for name in residuals}}


@rfm.simple_test
class Gpu(Bench):
    """Level 0 of a GPU."""

    level = 0
    tags = {"ci", "production", "maintenance"}
    valid_systems = ["+gpu"]

    @sanity_function
    def seen(self):
        """It ended well, and has seen the GPU."""
        names = [name for name in self.figures if name.endswith("GPU")]
        return sn.assert_ge(len(names), 1, "hpcdaas bench has seen no GPU")

    @run_before("performance")
    def shown(self):
        names = [name for name in self.figures if name.endswith("GPU")]
        self.perf_variables = {key(name): figure(self, name) for name in names}


@rfm.simple_test
class Ranks(Bench):
    """What ranks do between each other, under the site's launcher, on two nodes where there is SLURM."""

    level = 0
    tags = {"ci", "production", "maintenance"}
    valid_systems = ["+mpi"]
    num_tasks = 2

    @run_before("run")
    def all_cores(self):
        """Take a core for each rank, and a node for each where the scheduler has nodes."""
        self.num_cpus_per_task = 1
        if "slurm" in self.current_partition.features:
            self.num_tasks_per_node = 1

    @run_before("performance")
    def shown(self):
        self.perf_variables = {key(name): figure(self, name) for name in self.figures}


def figure(self, name):
    """Give what answers with a figure's value."""
    found = self.figures[name]
    return sn.make_performance_function(sn.defer(found["value"]), found["unit"] or "1")


def ratio(self, name):
    """Give what answers with a figure's ratio to its limit."""
    found = self.figures[name]
    return sn.make_performance_function(sn.defer(found["ratio"]), "x")


def key(name):
    """Make a name that ReFrame takes."""
    return "".join(c if c.isalnum() else "_" for c in name)
