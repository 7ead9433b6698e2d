"""Writes a site file for review from what SLURM says."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from hpcdaas.cluster.site import Site
from hpcdaas.cluster.site.ask import MPI_TYPES, accounts, mpi_types, refusal, timezone
from hpcdaas.cluster.site.in_words import MIB, count, duration, size
from hpcdaas.cluster.site.script import Shape
from hpcdaas.cluster.slurm import Partition, Slurm
from hpcdaas.errors import HpcdaasError

#: Shares of a node's memory that are asked for until SLURM agrees: it may keep some for the system.
SHARES = (1.0, 0.95, 0.9, 0.8)
#: What a worker of the first pool has at most: cores, and the time of its job, s.
WORKER_CORES, WORKER_TIME = 16, 8 * 3600.0
#: Column of the comments.
MARGIN = 38


@dataclass(frozen=True)
class Cluster:
    """What there is.

    Attributes
    ----------
    name : str
    partitions : tuple of Partition
        That this user may use.
    refused : tuple of (str, str)
        Names of the others, and why.
    accounts : tuple of str
        Of this user; empty where SLURM doesn't say.
    mpi : tuple of str
        Words for ``srun --mpi``; empty where there is no srun.
    mpi_default : str
        What srun does without.
    longest_array : str
    timezone : str or None
    modules : tuple of str
        Modules of this program that are loaded.
    """

    name: str
    partitions: tuple[Partition, ...]
    refused: tuple[tuple[str, str], ...] = ()
    accounts: tuple[str, ...] = ()
    mpi: tuple[str, ...] = ()
    mpi_default: str = "none"
    longest_array: str = ""
    timezone: str | None = None
    modules: tuple[str, ...] = ()


def look(slurm: Slurm) -> Cluster:
    """Ask SLURM what there is; nothing is submitted.

    Raises
    ------
    HpcdaasError
        If it doesn't answer, or has no partition that this user may use.
    """
    told = slurm.configuration()
    partitions: list[Partition] = []
    refused: list[tuple[str, str]] = []
    for partition in slurm.partitions():
        allowed, why = _allowed(slurm, partition)
        if allowed:
            partitions.append(allowed)
        else:
            refused.append((partition.name, why))
    if not partitions:
        why = "; ".join(f"{name}: {reason}" for name, reason in refused) or "it has none"
        raise HpcdaasError(f"SLURM has no partition that takes your jobs: {why}.", "Ask who runs the cluster.")
    return Cluster(
        name=told.get("ClusterName", "cluster"),
        partitions=tuple(partitions),
        refused=tuple(refused),
        accounts=accounts(slurm),
        mpi=mpi_types(slurm),
        mpi_default=told.get("MpiDefault", "none"),
        longest_array=told.get("MaxArraySize", ""),
        timezone=timezone(),
        modules=tuple(name for name in os.environ.get("LOADEDMODULES", "").split(":") if name.startswith("hpcdaas/")),
    )


def _allowed(slurm: Slurm, partition: Partition) -> tuple[Partition | None, str]:
    """Give a partition with the memory that jobs may really have; None and the reason where it takes none."""
    why = ""
    for share in SHARES:
        memory = int(share * partition.memory) // MIB * MIB
        shape = Shape(
            partition.name, 1, 1, partition.cores, memory, partition.gpus, min(600.0, partition.time or 600.0)
        )
        why = refusal(slurm, shape.options(Site()))
        if not why:
            return replace(partition, memory=memory), ""
    return None, why


def compose(cluster: Cluster) -> str:
    """Write the site file.

    Returns
    -------
    str
        TOML that `hpcdaas.cluster.site.load_site` reads, with a comment DECIDE wherever a person must.
    """
    c = cluster
    lines = [
        f"# Site file of the cluster '{_comment(c.name)}', from what SLURM said on {date.today().isoformat()}.",
        "# Look over what is marked DECIDE; then: hpcdaas site check; hpcdaas doctor --site (runs small jobs).",
        "",
        _line("name", c.name),
        _line("timezone", c.timezone or "UTC", "of raw times without a zone" + ("" if c.timezone else "; DECIDE")),
        _off("interface", "ib0", "DECIDE: network by which workers reach the watcher; default: the host's name"),
        _off("exclude", ["node7"], "nodes that are never used"),
        *(line for partition in c.partitions for line in _partition(partition, c.accounts)),
    ]  # fmt: skip
    lines += [f"# Partition {_comment(name)} takes no jobs of yours: {_comment(why)}" for name, why in c.refused]
    return "\n".join([*lines, *_pools(c.partitions), *_job(c), *_limits(c), *_others(), ""])


def _partition(partition: Partition, known: Sequence[str]) -> list[str]:
    p = partition
    time = [_line("time", duration(p.time), "longest time of a job")] if p.time else []
    no_time = [] if p.time else [_off("time", "1 day", "DECIDE: longest time of a job; SLURM sets no limit")]
    yours = f"yours: {', '.join(known)}" if known else "default: SLURM's"
    return [
        "",
        "[[partition]]",
        _line("name", p.name, count(p.nodes, "node") + (", SLURM's default" if p.default else "")),
        *time, *no_time,
        _line("nodes", p.job_nodes, "DECIDE: that one job may have"),
        _line("cores", p.cores, "of a node"),
        _line("memory", size(p.memory), "of a node that jobs may have"),
        *([_line("gpus", p.gpus, f"of a node {' '.join(p.gpu_types)}".rstrip())] if p.gpus else []),
        _off("account", (p.accounts or known or ("beamline",))[0], f"DECIDE: whose hours are used; {yours}"),
        _off("qos", (p.qos or ("normal",))[0], "DECIDE, also reservation"),
    ]  # fmt: skip


def _pools(partitions: Sequence[Partition]) -> list[str]:
    home = next((p for p in partitions if p.default), partitions[0])
    cores = min(home.cores, WORKER_CORES)
    found = [
        "", "# Pools: jobs whose workers take small runs one by one.", "[[pool]]",
        _line("name", "cpu"), _line("partition", home.name, "DECIDE"),
        _line("cores", cores, "of a worker"),
        _line("memory", size(home.memory * cores // home.cores // MIB * MIB), "of a worker"),
        _line("time", duration(min(home.time or WORKER_TIME, WORKER_TIME)), "of its jobs"),
        _line("most", 4, "DECIDE: jobs at once"),
    ]  # fmt: skip
    wide = next((p for p in (home, *partitions) if p.job_nodes > 1), None)
    if wide:
        ranks = max(1, min(4, wide.cores // 4))
        found += [
            "", "# DECIDE: with a pool of many ranks, each larger run is one job of that size.", "# [[pool]]",
            _off("name", "mpi"), _off("partition", wide.name), _off("nodes", 2), _off("ranks", ranks, "on each node"),
            _off("cores", wide.cores // ranks, "of a rank"), _off("memory", size(wide.memory), "of a node"),
            _off("time", duration(min(wide.time or WORKER_TIME, WORKER_TIME))),
        ]  # fmt: skip
    fast = next((p for p in sorted(partitions, key=lambda p: p is home) if p.gpus), None)
    if fast:
        found += [
            "", "# DECIDE: workers with a GPU.", "# [[pool]]",
            _off("name", "gpu"), _off("partition", fast.name), _off("cores", max(1, fast.cores // fast.gpus)),
            _off("memory", size(fast.memory // fast.gpus // MIB * MIB)), _off("gpus", 1),
            _off("time", duration(min(fast.time or WORKER_TIME, WORKER_TIME))),
        ]  # fmt: skip
    return found


def _job(c: Cluster) -> list[str]:
    write, names = (_line, c.modules) if c.modules else (_off, ("hpcdaas",))
    options = [f"--mpi={word}" for word in MPI_TYPES if word in c.mpi][:1] if c.mpi_default == "none" else []
    words = f"srun knows {', '.join(c.mpi)}; its default is {c.mpi_default}" if c.mpi else "srun isn't here"
    return [
        "", "[job]",
        write("modules", list(names), "DECIDE; default: the program that submits, seen under the same path on nodes"),
        _off("environment", "/opt/hpcdaas", "or a folder with bin/hpcdaas"),
        _off("image", "/opt/hpcdaas.sif", "or an Apptainer image, with bind = [\"/data\"]"),
        _off("scratch", "/scratch", "DECIDE: fast folder of a node"),
        "", "[mpi]",
        _line("launcher", "srun" if c.mpi else "mpiexec", "what starts ranks; mpiexec: that of mpi4py's MPI"),
        _line("options", options, f"DECIDE: {words}"),
    ]  # fmt: skip


def _limits(c: Cluster) -> list[str]:
    array = f"; SLURM's MaxArraySize is {c.longest_array}" if c.longest_array else ""
    return [
        "", "[limits]",
        _line("queued", 200, "DECIDE: own jobs in the queue, beside the pools'"),
        _line("at_once", 100, f"tasks of a job array that run at once{array}"),
    ]  # fmt: skip


def _others() -> list[str]:
    return [
        "", "[catalog]",
        _off("uri", "https://scicat.example.org", "DECIDE: default: the account's own file"),
        _off("prefix", "20.500.12345/", "of persistent identifiers"),
        _off("raw_pid", "{proposal}.{scan}", "pid that the beamline gives its raw scans"),
        "", "[files]",
        _line("mode", "0660", "of results"),
        _off("group", "beamline", "of results; default: the folder's"),
        "", "# DECIDE: which files are scans, and what shows that one is complete; default: all that readers know.",
        "# [[detector]]",
        _off("name", "eiger"), _off("files", ["*_master.h5"]), _off("quiet", "5 s"),
        "", "# DECIDE: rules for a watcher that serves several groups; default: all belongs to its own account.",
        "# [[owner]]",
        _off("pattern", "/data/{proposal}/raw/**"), _off("group", "p{proposal}"), _off("roots", ["/data/{proposal}"]),
    ]  # fmt: skip


def _line(key: str, value: object, comment: str = "") -> str:
    """Write a line; TOML's strings and lists are those of JSON."""
    text = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    return f"{text:{MARGIN}}# {_comment(comment)}" if comment else text


def _off(key: str, value: object, comment: str = "") -> str:
    """Write a line that is switched off."""
    text = f"# {_line(key, value)}"
    return f"{text:{MARGIN}}# {_comment(comment)}" if comment else text


def _comment(text: str) -> str:
    """Keep words of others on their line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
