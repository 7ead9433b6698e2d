"""Checks a site file against the cluster, without a job: what it names is there, and SLURM would take such jobs."""

from __future__ import annotations

import grp
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from hpcdaas.catalog.address import base_url
from hpcdaas.catalog.scicat_http import Connection
from hpcdaas.catalog.settings import CatalogSettings, load_settings
from hpcdaas.catalog.store import default_path
from hpcdaas.cluster.site import Partition, Site, load_site
from hpcdaas.cluster.site.ask import mpi_types, refusal
from hpcdaas.cluster.site.finding import Finding, note, ok, wrong
from hpcdaas.cluster.site.in_words import count, duration, size
from hpcdaas.cluster.site.preamble import lines, program
from hpcdaas.cluster.site.script import Shape
from hpcdaas.cluster.slurm import Node, Slurm
from hpcdaas.cluster.slurm import Partition as Known
from hpcdaas.cluster.slurm.environment import for_jobs
from hpcdaas.errors import HpcdaasError, InputError, nearest

#: Seconds for loading modules and starting the program, and for the catalogue.
START, CATALOGUE = 60.0, 3.0
#: A job that is asked about has this time, s, or what the partition allows if that is less.
SHORT = 600.0


def findings(path: Path | None, state: Path) -> Iterator[Finding]:
    """Check a site file.

    Parameters
    ----------
    path : Path or None
        The file; None where there is none.
    state : Path
        State folder that would be used.

    Yields
    ------
    Finding

    Raises
    ------
    InputError
        If there is no file, or it is malformed.
    """
    if path is None:
        raise InputError("There is no site file to check.", "'hpcdaas site init' writes one; --site names it.")
    site = load_site(path)
    yield ok(
        "file", f"{path}: '{site.name}', {count(len(site.partition), 'partition')}, {count(len(site.pool), 'pool')}"
    )
    if site.is_local:
        yield note("partitions", "none: runs are processes of this machine")
    else:
        yield from _cluster(site)
    yield from _folders(site, state)
    yield start(site)
    yield catalogue(site.catalog.uri)


def _cluster(site: Site) -> Iterator[Finding]:
    try:
        slurm = Slurm()
        version = slurm.configuration().get("SLURM_VERSION", "of an unknown version")
        known, nodes = slurm.partitions(), slurm.nodes()
    except HpcdaasError as error:
        yield wrong("SLURM", error.message, error.hint)
        return
    yield ok("SLURM", f"{version}, {count(len(known), 'partition')}")
    for partition in site.partition:
        yield _partition(site, partition, known, nodes, slurm)
    yield from _pools(site, known, slurm)
    yield _launcher(site, slurm)
    strange = [name for name in site.exclude if "[" not in name and name not in {node.name for node in nodes}]
    if strange:
        yield wrong("exclude", f"SLURM knows no node {', '.join(strange)}", "Correct 'exclude'.")


def _partition(site: Site, asked: Partition, known: Sequence[Known], nodes: Sequence[Node], slurm: Slurm) -> Finding:
    """Compare a partition with SLURM's, then ask SLURM whether it takes a job that uses all that is said."""
    name = f"partition {asked.name}"
    there = next((each for each in known if each.name == asked.name), None)
    if there is None:
        return wrong(name, "SLURM has no such partition", nearest(asked.name, (each.name for each in known)))
    too_much = _too_much(asked, there, nodes)
    if too_much:
        return wrong(name, too_much, "Give less in the site file.")
    shape = _whole_node(asked)
    why = refusal(slurm, shape.options(site))
    if why:
        return wrong(name, f"SLURM would refuse a job of {_words(shape)}: {why}", "Correct its table [[partition]].")
    said = f"{asked.nodes} of its {count(there.nodes, 'node')}, each {_each(shape)}"
    fitting = [node for node in nodes if asked.name in node.partitions and _fits(asked, node)]
    if len(fitting) < there.nodes:
        return note(name, f"{said}: fits {len(fitting)} of its {count(there.nodes, 'node')}", "Others are never used.")
    if not there.up or not any(node.usable for node in fitting):
        return note(
            name, f"{said}: {'its nodes are down' if there.up else 'it is switched off'} now", "sinfo says why."
        )
    return ok(name, f"{said}; SLURM would take such a job")


def _whole_node(asked: Partition) -> Shape:
    seconds = min(SHORT, asked.time or SHORT)
    options = tuple(asked.options().items())
    return Shape(asked.name, 1, 1, asked.cores, asked.memory, asked.gpus, seconds, options)


def _too_much(asked: Partition, there: Known, nodes: Sequence[Node]) -> str:
    """Say what the site file promises beyond SLURM's limits; not every SLURM refuses such jobs, some let them wait."""
    if asked.time and there.time and asked.time > there.time:
        return f"time is {duration(asked.time)}, SLURM's limit {duration(there.time)}"
    if asked.time is None and there.time:
        return f"no time is given, SLURM's limit is {duration(there.time)}"
    if asked.nodes > there.job_nodes:
        return f"nodes is {asked.nodes}, SLURM allows a job {there.job_nodes}"
    home = [node for node in nodes if asked.name in node.partitions]
    for what, wanted, most in (
        ("cores", asked.cores, max(node.cores * node.threads for node in home)),
        ("memory", int(asked.memory), max(node.memory for node in home)),
        ("gpus", asked.gpus, max(node.gpus for node in home)),
    ):
        if wanted > most:
            shown, there_is = (size(wanted), size(most)) if what == "memory" else (wanted, most)
            return f"{what} is {shown}, its largest node has {there_is}"
    return "" if any(_fits(asked, node) for node in home) else "no node has so many cores, memory and GPUs together"


def _fits(asked: Partition, node: Node) -> bool:
    return asked.cores <= node.cores * node.threads and asked.memory <= node.memory and asked.gpus <= node.gpus


def _pools(site: Site, known: Sequence[Known], slurm: Slurm) -> Iterator[Finding]:
    names = {each.name for each in known}
    for pool in site.pool:
        if pool.partition not in names:
            continue  # that was said of the partition
        options = tuple({**site.partition_of(pool).options(), **pool.options()}.items())
        shape = Shape(pool.partition, pool.nodes, pool.ranks, pool.cores, pool.memory, pool.gpus, pool.time, options)
        why = refusal(slurm, shape.options(site))
        name = f"pool {pool.name}"
        if why:
            yield wrong(name, f"SLURM would refuse a job of {_words(shape)}: {why}", "Correct its table [[pool]].")
        else:
            yield ok(name, f"SLURM would take its jobs: {_words(shape)}")


def _words(shape: Shape) -> str:
    """Say what a job is given."""
    many = f"{count(shape.nodes, 'node')} with {count(shape.ranks, 'rank')} of {count(shape.cores, 'core')}"
    who = "".join(f", {name} {value}" for name, value in shape.asked)
    given = f"{many} and {size(shape.memory)}" if shape.nodes * shape.ranks > 1 else _each(shape)
    return f"{given}, {duration(shape.seconds)} in {shape.partition}{who}"


def _each(shape: Shape) -> str:
    """Say what a node is."""
    gpus = f", {count(shape.gpus, 'GPU')}" if shape.gpus else ""
    return f"{count(shape.cores, 'core')}, {size(shape.memory)}{gpus}"


def _launcher(site: Site, slurm: Slurm) -> Finding:
    words = " ".join((site.mpi.launcher, *site.mpi.options))
    if not shutil.which(site.mpi.launcher):
        if site.job.modules or site.job.environment:
            return note("launcher", f"{words}: not here; jobs may find it by their modules or environment")
        return wrong("launcher", f"{site.mpi.launcher} isn't on the PATH", "Load its module, or correct [mpi].")
    asked = next((option.partition("=")[2] for option in site.mpi.options if option.startswith("--mpi=")), "")
    types = mpi_types(slurm) if site.mpi.launcher == "srun" and asked else ()
    if types and asked not in types:
        return wrong("launcher", f"srun knows no --mpi={asked}", f"Known: {', '.join(types)}.")
    return ok("launcher", f"{words}; whether ranks meet shows 'hpcdaas doctor --site'")


def _folders(site: Site, state: Path) -> Iterator[Finding]:
    if writable(state):
        yield ok("state", f"{state} can be written{'' if state.exists() else ' (made when it is needed)'}")
    else:
        yield wrong("state", f"{state} can't be written", "Give --state, or set XDG_STATE_HOME.")
    missing = [root for root in site.roots if not root.is_dir()]
    if missing:
        yield wrong(
            "roots", f"no folder {', '.join(map(str, missing))}", "Correct the roots of [[owner]], or mount it."
        )
    elif site.roots:
        yield ok("roots", ", ".join(map(str, site.roots)))
    scratch = site.job.scratch
    if scratch and scratch.exists() and not writable(scratch):
        yield wrong("scratch", f"{scratch} can't be written", "Correct [job] scratch.")
    elif scratch:
        yield ok("scratch", str(scratch)) if scratch.exists() else note("scratch", f"{scratch} isn't on this machine")
    if site.files.group:
        yield _group(site.files.group)
    if site.interface:
        there = [name for _, name in socket.if_nameindex()]
        fine = site.interface in there
        yield (
            ok("interface", site.interface)
            if fine
            else wrong("interface", f"this machine has no '{site.interface}'", nearest(site.interface, there))
        )


def _group(name: str) -> Finding:
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        return wrong("group", f"there is no group {name}", "Correct [files] group.")
    if number not in (os.getegid(), *os.getgroups()) and os.geteuid() != 0:
        return wrong("group", f"you aren't in the group {name}", "Ask to be taken in, or correct [files] group.")
    return ok("group", name)


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the one below which it would be made."""
    with suppress(OSError):
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return False


def start(site: Site) -> Finding:
    """Start the program as a job does, here: modules, environment or image, and the variables."""
    here = site.model_copy(update={"job": site.job.model_copy(update={"scratch": None})})  # that is the nodes'
    if site.job.image and not shutil.which("apptainer"):
        there = site.job.image.exists()
        said = f"{site.job.image}{'' if there else ' is missing'}; no apptainer on this machine to start it"
        return note("program", said) if there else wrong("program", said, "Correct [job] image.")
    script = "\n".join([*lines(here), shlex.join([*program(here), "--version"])])
    try:
        done = subprocess.run(
            ["bash", "-c", script], env=for_jobs(os.environ), capture_output=True, text=True, timeout=START, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"no answer in {START:g} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        return wrong("program", f"it can't be started as jobs do: {reason}", "Correct [job].")
    words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        return wrong("program", f"jobs couldn't start it: {words[-1] if words else done.returncode}", "Correct [job].")
    return ok("program", f"{words[0]}, started as jobs do: {program(here)[-1]}")


def catalogue(uri: str | None) -> Finding:
    """See whether a catalogue can be used: an address answers (nobody logs in), or a file can be written."""
    if not uri or "://" not in uri or uri.startswith("sqlite:"):
        path = Path(uri.removeprefix("sqlite:///")).expanduser() if uri else default_path()
        if (uri and not path.parent.is_dir()) or not writable(path.parent) or not _can_be_written(path):
            return wrong("catalogue", f"{path} can't be written", "Set XDG_DATA_HOME, or name another one.")
        return ok("catalogue", f"{path}{'' if path.exists() else ' (made when it is needed)'}")
    began = time.monotonic()
    try:
        where = base_url(uri)
        http = Connection(where, CatalogSettings(ca_file=load_settings().ca_file), patience=CATALOGUE)
        try:
            answer = http.get("/api/v3/datasets", filter='{"limits": {"limit": 1}}')
        finally:
            http.close()
    except HpcdaasError as error:
        return wrong("catalogue", error.message, error.hint)
    if answer.status == 404:
        return wrong("catalogue", f"There is no SciCat backend at {where}.", "Give the address of the backend.")
    return ok("catalogue", f"{where} answers in {1e3 * (time.monotonic() - began):.0f} ms (without login)")


def _can_be_written(path: Path) -> bool:
    return not path.exists() or os.access(path, os.W_OK)
